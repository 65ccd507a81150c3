"""The body that an endpoint gets: the event as it was accepted, or only the properties that the endpoint selects.

A selection names properties at the top level of the body: those of the contract or of an own event type by name, any
other one as ``$.Name``. ``ClientId`` and the properties that the event's type requires always stay; every other
property is left out, unknown ones included. Each value that stays is copied byte for byte, so no number is rounded.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from commerce_event.contract.catalogue import EventType
from commerce_event.core.filters import unknown_property
from commerce_event.core.problems import Fault

PROPERTIES_MAX: Final = 100
NAME_MAX: Final = 256  # characters
_OUTSIDE: Final = "$."  # before a name that no event type has
_HINTS_MAX: Final = 5  # each compares a name with all known ones

_DECODER: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODER: Final = msgspec.json.Encoder()


def sent_body(body: bytes, event_type: EventType, properties: Sequence[str] | None) -> bytes:
    """Return the body that an endpoint with this selection of properties gets of an accepted event.

    It is ``body`` itself when nothing is left out, else its other members in their order, without the whitespace
    between them. The time that it takes is proportional to the length of the body.
    """
    if properties is None:
        return body
    kept = event_type.required.union(map(plain_name, properties))
    members: dict[str, Any] = _DECODER.decode(body)
    selected = {name: value for name, value in members.items() if name in kept}
    return body if len(selected) == len(members) else _ENCODER.encode(selected)


def plain_name(selected: str) -> str:
    """Return the name that a selected property has in the body."""
    return selected.removeprefix(_OUTSIDE)


def find_selection_faults(properties: Sequence[str], known: frozenset[str]) -> list[Fault]:
    """Return what is wrong with a selection. ``known`` are the properties of the endpoint's event types.

    Each fault points at its name, as in ``/0``.
    """
    faults: list[Fault] = []
    for index, name in enumerate(properties):
        if name in known:
            continue
        if not name.startswith("$"):
            hint = known if len(faults) < _HINTS_MAX else frozenset[str]()
            faults.append(Fault(f"/{index}", unknown_property(name, hint)))
        elif not name.startswith(_OUTSIDE) or not plain_name(name) or "." in plain_name(name):
            faults.append(Fault(f"/{index}", "write $.Name: a property is selected as a whole, without steps into it"))
    return faults
