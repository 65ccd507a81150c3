"""Parse parameters of requests: clients, times, event types, ids."""

from collections.abc import Collection
from typing import Annotated, Final

from msgspec import Meta

from commerce_event.api.operations import Call
from commerce_event.contract.catalogue import Catalogue
from commerce_event.contract.near_names import nearest_name
from commerce_event.core import ids
from commerce_event.core.clock import parse_rfc3339
from commerce_event.core.model import Scope
from commerce_event.core.problems import child, invalid, together
from commerce_event.registry.authentication import check_client

Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]  # like the ids of the contract
Time = Annotated[str, Meta(max_length=40, examples=["2026-01-31T00:00:00Z"])]

_TYPES_MAX: Final = 50  # names in a query, as in a body
# In 2089, a day before the last time that an id can have: a search by time also reads a little after it.
_TIME_MAX_MS: Final = ids.EPOCH_MS + 2**41 - 86_400_000


def scope_for(call: Call, client_id: int | None) -> Scope:
    """Return the caller's scope, limited to the client if given. Raises Problem 403 when it is not allowed."""
    if client_id is None:
        return call.scope
    check_client(call.key, client_id)
    return call.scope.narrowed_to(client_id)


def read_time(text: str | None, name: str) -> int | None:
    """Return milliseconds, limited to times that an event can have. Raises Problem 422."""
    if text is None:
        return None
    try:
        ms = parse_rfc3339(text.replace(" ", "+"))  # a plus in a query means a space
    except (ValueError, OverflowError):
        raise invalid(name, "write the time as for example 2026-01-31T00:00:00Z") from None
    return max(0, min(ms, _TIME_MAX_MS))


def read_types(catalogue: Catalogue, names: list[str], pointer: str) -> tuple[str, ...]:
    """Return the event types of these names and categories; ``pointer`` is the place of the list or the parameter.

    Raises Problem 422 with every unknown name, or for more than 50 names.
    """
    if len(names) > _TYPES_MAX:
        raise invalid(pointer, f"name at most {_TYPES_MAX} event types")
    faults = []
    for index, name in enumerate(names):
        if name not in catalogue.types and name not in catalogue.categories:
            place = pointer if pointer.startswith("?") else child(pointer, index)
            faults.append(invalid(place, unknown_type(name, catalogue.entries[1:], "categories do too")))
    if faults:
        raise together(faults)
    return tuple(each.name for each in catalogue.select(names))


def unknown_type(name: str, known: Collection[str], also: str = "") -> str:
    """Return the message for an unknown event type, with the nearest name."""
    near = nearest_name(name, known)
    hint = f"did you mean {near}?" if near else "GET /v1/event-types lists the names" + (f"; {also}" if also else "")
    return f"there is no event type {name[:60]!r}; {hint}"


def read_id(prefix: ids.Prefix, text: str | None, pointer: str) -> int | None:
    """Return the number of an id in text form. Raises Problem 422."""
    if text is None:
        return None
    try:
        return ids.decode(prefix, text)
    except ids.InvalidIdError as error:
        raise invalid(pointer, str(error)) from None
