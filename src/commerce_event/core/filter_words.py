"""Say a filter in words."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import UNSET

from commerce_event.core.filters import Condition
from commerce_event.core.model import Filter

_NAMES_MAX: Final = 8  # fields or values in a row; the rest is counted
_TEXT_MAX: Final = 40  # characters of a name or a value
_CONDITIONS_MAX: Final = 10  # of a filter; the rest is counted
_MISSES_MAX: Final = 3  # conditions that did not hold

COMPARISON_WORDS: Final = {
    "eq": "is",
    "ne": "is not",
    "in": "is one of",
    "not_in": "is none of",
    "gt": "is more than",
    "gte": "is at least",
    "lt": "is less than",
    "lte": "is at most",
    "prefix": "begins with",
    "suffix": "ends with",
    "contains": "contains",
}


def describe_filter(filter_: Filter) -> str:
    """Return a filter as a clause of bounded length, such as ``Source is WEB and Total is at least 100``."""
    return _Filter().clauses(filter_)


def describe_misses(conditions: Sequence[Condition]) -> str:
    """Return which conditions of a filter did not hold, and what was found instead."""
    missed = [each for each in conditions if not each.passed]
    said = [f"{describe_filter({each.path: {each.operator: each.wanted}})}: {_found(each)}" for each in missed]
    more = len(said) - _MISSES_MAX
    return "; ".join(said[:_MISSES_MAX]) + (f"; and {_count(more, 'more condition')}" if more > 0 else "")


def _found(condition: Condition) -> str:
    found = condition.found
    if found is UNSET:
        return "no, it is absent"
    if isinstance(found, dict | list):
        return f"no, it is {'an object' if isinstance(found, dict) else 'a list'}"
    return f"no, it is {value_words(found)}"


class _Filter:
    """Says a filter in words, up to a number of conditions."""

    def __init__(self) -> None:
        self._left = _CONDITIONS_MAX
        self._more = 0

    def clauses(self, filter_: Filter) -> str:
        text = self._all(filter_)
        return f"{text}, and {_count(self._more, 'more condition')}" if self._more else text

    def _all(self, filter_: Filter) -> str:
        return " and ".join([said for name, value in filter_.items() if (said := self._clause(name, value))])

    def _clause(self, name: str, value: Any) -> str:
        if name == "not":
            said = self._all(value)
            return f"not ({said})" if said else ""
        if name in {"any", "all"}:
            members = [said for each in value if (said := self._all(each))]
            joint = " or " if name == "any" else " and "
            return f"({joint.join(members)})" if len(members) > 1 else "".join(members)
        comparisons = value if isinstance(value, dict) else {"in" if isinstance(value, list) else "eq": value}
        found = [self._comparison(name, comparison, wanted) for comparison, wanted in comparisons.items()]
        return " and ".join([each for each in found if each])

    def _comparison(self, name: str, comparison: str, wanted: Any) -> str:
        if not self._left:
            self._more += 1
            return ""
        self._left -= 1
        if comparison == "exists":
            return f"{_field(name)} is {'known' if wanted else 'absent'}"
        values = [value_words(each) for each in wanted] if isinstance(wanted, list) else [value_words(wanted)]
        return f"{_field(name)} {COMPARISON_WORDS.get(comparison, comparison)} {listed(values)}"


def _field(name: str) -> str:
    """Return a name or path of a filter: ``before.Zip`` is ``Zip before``."""
    plain = name.removeprefix("$.")
    for prefix in ("before", "after"):
        if plain.startswith(f"{prefix}."):
            return f"{cut(plain[len(prefix) + 1 :])} {prefix} the change"
    return cut(plain)


def value_words(value: Any, length: int = _TEXT_MAX) -> str:
    """Return a JSON value in words: null is ``empty``; a long text is cut."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    return cut(str(value), length) if value != "" else '""'


def listed(words: Sequence[str]) -> str:
    """Return words as a person says them: ``A, B or C``, the last ones counted when there are many."""
    if len(words) > _NAMES_MAX:
        rest = len(words) - _NAMES_MAX + 1
        words = [*words[: _NAMES_MAX - 1], f"{rest} others"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def cut(text: str, length: int = _TEXT_MAX) -> str:
    """Return a text of at most so many characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
