"""Check the field names of event settings against the fields that an entity is known to have."""

from collections.abc import Collection, Iterator
from itertools import accumulate
from typing import Final

from commerce_event.contract.near_names import nearest_name
from commerce_event.core.filters import names_in
from commerce_event.core.model import Filter
from commerce_event.core.problems import Fault, child

_NEAR_MAX: Final = 200  # known names among which the nearest one is looked for
_NEAR_LENGTH_MAX: Final = 40  # characters of such a name
_SPELLINGS_MAX: Final = 30_000  # of all such names: one of n letters has about n * n / 2
_PREFIXES: Final = ("before.", "after.")


class KnownFields:
    """The fields that changes of an entity are known to have.

    When a change source maps the entity, there are no others. Otherwise the list may be incomplete, so only a name that
    looks like a misspelt one is refused.
    """

    def __init__(self, entity: str, names: Collection[str], *, is_mapped: bool) -> None:
        self._entity = entity
        self.names = frozenset(names)
        self.is_mapped = is_mapped
        near = sorted(
            [name for name in self.names if len(name) <= _NEAR_LENGTH_MAX], key=lambda name: (len(name), name)
        )
        spellings = accumulate(len(name) ** 2 // 2 for name in near)
        self._near = frozenset(
            [name for name, count in zip(near[:_NEAR_MAX], spellings, strict=False) if count <= _SPELLINGS_MAX]
        )

    def field_faults(self, fields: Collection[str], pointer: str) -> Iterator[Fault]:
        """Yield a fault for each name in a list of fields that is refused."""
        for index, name in enumerate(fields):
            message = self._fault(name)
            if message is not None:
                yield Fault(child(pointer, index), message)

    def filter_faults(self, filter_: Filter, pointer: str) -> Iterator[Fault]:
        """Yield a fault for each name and path in a valid filter that is refused."""
        for place, name in names_in(filter_):
            message = None if name in self.names else self._fault(_field_of(name))
            if message is not None:
                yield Fault(pointer + place, message)

    def _fault(self, name: str) -> str | None:
        """Return why a field is refused; None when it is accepted."""
        if name in self.names:
            return None
        near = nearest_name(name, self._near)
        if near is None and not self.is_mapped:
            return None
        hint = f"did you mean {near}?" if near else "no change source maps a column to it"
        return f"{self._entity} has no field {name[:60]!r}; {hint}"


def _field_of(name: str) -> str:
    """Return the field that a name or path of a filter begins with: of ``$.before.City.Name`` it is ``City``."""
    is_path = name.startswith("$.")
    name = name.removeprefix("$.")
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            name = name[len(prefix) :]
            break
    return name.partition(".")[0] if is_path else name
