"""Find the known name that is nearest to a misspelt one."""

import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from itertools import combinations
from typing import Final

_MISSING_MAX: Final = 2  # letters
_EXTRA_MAX: Final = 1  # letters; each more would multiply the cost by the length
_NAME_MAX: Final = 100  # characters; a longer one is no misspelling
_OTHER: Final = re.compile(r"[\W_]+")
_ENDINGS: Final = re.compile(r"(?:event|notification)\Z")


def nearest_name(name: str, known: Collection[str]) -> str | None:
    """Return the known name that differs least: in case, separators, its ending, or one or two letters; else None.

    The cost is bounded for every ``name`` and does not grow with the number of known names. The known names are
    indexed once.
    """
    return None if len(name) > _NAME_MAX else _index(frozenset(known)).find(name)


class _Index:
    """The known names by what is left of them without up to two letters."""

    def __init__(self, names: Collection[str]) -> None:
        self._names: dict[str, str] = {}
        forms = [(form, name) for name in sorted(names) for form in _forms(name)]
        self._letters_max = max((len(form) for form, _ in forms), default=0) + _EXTRA_MAX
        for count in range(_MISSING_MAX + 1):  # the fewest first
            for form, name in forms:
                for rest in _without(form, count):
                    self._names.setdefault(rest, name)

    def find(self, name: str) -> str | None:
        return next((self._names[rest] for rest in self.tried(name) if rest in self._names), None)

    def tried(self, name: str) -> Iterator[str]:
        """Yield what is looked up: about twice as many texts as the longest known name has letters, at most."""
        forms = [form for form in _forms(name) if len(form) <= self._letters_max]
        for count in range(_EXTRA_MAX + 1):
            for form in forms:
                yield from _without(form, count)


def _forms(name: str) -> list[str]:
    """Return the letters of a name, also without the ending that all names of its kind have."""
    letters = _OTHER.sub("", name.casefold())
    return [form for form in dict.fromkeys((letters, _ENDINGS.sub("", letters))) if form]


def _without(letters: str, count: int) -> Iterator[str]:
    """Yield the letters without ``count`` of them, unless too few would be left to recognise a name."""
    if count and len(letters) < 2 * count + 2:
        return
    for places in combinations(range(len(letters)), count):
        rest, end = "", 0
        for place in places:
            rest += letters[end:place]
            end = place + 1
        yield rest + letters[end:]


@lru_cache(maxsize=16)
def _index(names: frozenset[str]) -> _Index:
    return _Index(names)
