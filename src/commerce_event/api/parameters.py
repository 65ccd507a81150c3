"""What requests name: clients, times, event types, ids."""

import difflib
from collections.abc import Collection
from typing import Annotated, Final

from msgspec import Meta

from commerce_event.api.operations import Call
from commerce_event.contract.catalogue import CATEGORIES, EVENT_TYPES
from commerce_event.core import ids
from commerce_event.core.clock import parse_rfc3339
from commerce_event.core.model import Scope
from commerce_event.core.problems import child, invalid, together
from commerce_event.registry.authentication import check_client

Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]  # as the contract has its ids
Time = Annotated[str, Meta(max_length=40, examples=["2026-01-31T00:00:00Z"])]

# A day before the last that an id can hold, in 2089: a search of a time looks a little behind it.
_TIME_MAX_MS: Final = ids.EPOCH_MS + 2**41 - 86_400_000


def scope_for(call: Call, client_id: int | None) -> Scope:
    """Return the caller's scope, narrowed when a client is named. Raises Problem 403 when it is out of reach."""
    if client_id is None:
        return call.scope
    check_client(call.key, client_id)
    return call.scope.narrowed_to(client_id)


def read_time(text: str | None, name: str) -> int | None:
    """Return milliseconds; times that no event can have become the nearest that one can. Raises Problem 422."""
    if text is None:
        return None
    try:
        ms = parse_rfc3339(text.replace(" ", "+"))  # a plus in a query means a space
    except (ValueError, OverflowError):
        raise invalid(name, "write the time as for example 2026-01-31T00:00:00Z") from None
    return max(0, min(ms, _TIME_MAX_MS))


def read_types(names: list[str], pointer: str) -> tuple[str, ...]:
    """Return event type names from those and categories; ``pointer`` leads to the list, or names the parameter.

    Raises Problem 422 for every name that the contract does not have.
    """
    faults = []
    for index, name in enumerate(names):
        if name not in EVENT_TYPES and name not in CATEGORIES:
            place = pointer if pointer.startswith("?") else child(pointer, index)
            faults.append(invalid(place, unknown_type(name, {*CATEGORIES, *EVENT_TYPES}, "categories do too")))
    if faults:
        raise together(faults)
    chosen = set(names)
    return tuple(each.name for each in EVENT_TYPES.values() if chosen & {each.name, each.category})


def unknown_type(name: str, known: Collection[str], also: str) -> str:
    """Return what is wrong with the name of an event type, and the nearest that there is."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"GET /v1/event-types lists the names; {also}"
    return f"there is no event type {name[:60]!r}; {hint}"


def read_id(prefix: ids.Prefix, text: str | None, pointer: str) -> int | None:
    """Return the number behind an id that was given as a value. Raises Problem 422."""
    if text is None:
        return None
    try:
        return ids.decode(prefix, text)
    except ids.InvalidIdError as error:
        raise invalid(pointer, str(error)) from None
