"""Which event types an endpoint takes: turn one on or off without changing what it says of the others. Pure."""

from collections.abc import Iterable, Sequence

import msgspec

from commerce_event.contract.catalogue import Catalogue, EventType


class TypeSelection(msgspec.Struct, frozen=True):
    """Names, categories or ``*``, and the names or categories that are left out of them."""

    event_types: tuple[str, ...]
    except_types: tuple[str, ...] = ()

    @classmethod
    def of(cls, event_types: Iterable[str], except_types: Iterable[str]) -> "TypeSelection":
        return cls(tuple(event_types), tuple(except_types))

    def includes(self, event_type: EventType) -> bool:
        return event_type.is_selected(self.event_types, self.except_types)

    def without_type(self, event_type: EventType) -> "TypeSelection":
        """Return the selection without this type. ``*`` and its category stay, with an exception."""
        if not self.includes(event_type):
            return self
        rest = TypeSelection(_without(self.event_types, event_type.name), self.except_types)
        if not rest.includes(event_type):
            return rest
        return TypeSelection(rest.event_types, (*self.except_types, event_type.name))

    def with_type(self, event_type: EventType, catalogue: Catalogue) -> "TypeSelection":
        """Return the selection with this type: its exception goes, or it is added by name.

        When its category is left out, the other types of the category are left out by name from then on.
        """
        if self.includes(event_type):
            return self
        left_out = _without(self.except_types, event_type.name)
        if event_type.category in left_out:
            others = [each.name for each in catalogue.types.values() if each.category == event_type.category]
            names = [each for each in others if each != event_type.name]
            left_out = tuple(dict.fromkeys([*_without(left_out, event_type.category), *names]))
        found = TypeSelection(self.event_types, left_out)
        return found if found.includes(event_type) else TypeSelection((*self.event_types, event_type.name), left_out)


def describe_types(event_types: Sequence[str], except_types: Sequence[str]) -> str:
    """Return what an endpoint takes in words, such as ``everything except OrderReceivedEvent``."""
    taken = "everything" if "*" in event_types else ", ".join(event_types)
    return f"{taken} except {', '.join(except_types)}" if except_types else taken


def _without(entries: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(each for each in entries if each != name)
