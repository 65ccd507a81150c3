"""A filter as rows of a form: a property, a comparison and a value in each."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET

from commerce_event.contract.catalogue import EventType
from commerce_event.core.filter_words import COMPARISON_WORDS
from commerce_event.core.model import Filter

Join = Literal["all", "any"]
Kind = Literal["text", "number", "other"]

ROWS_MAX: Final = 10
# The choices of a form. The last two need no value.
COMPARISONS: Final = {**COMPARISON_WORDS, "present": "is present", "absent": "is absent"}
_EXISTS: Final = {"present": True, "absent": False}
_KINDS: Final[Mapping[str, Kind]] = {"string": "text", "integer": "number", "number": "number"}
_LISTS: Final = frozenset({"in", "not_in"})


class FilterRow(msgspec.Struct, frozen=True):
    """A condition as it is typed."""

    name: str = ""
    comparison: str = "eq"
    value: str = ""

    @property
    def is_blank(self) -> bool:
        return not self.name.strip() and not self.value.strip()


class FilterRows(msgspec.Struct, frozen=True):
    """Conditions that must all hold, or of which any must."""

    join: Join
    rows: list[FilterRow]


class UnreadableRowError(ValueError):
    """A row cannot be made into a condition; the message says what to enter."""


def property_kinds(types: Iterable[EventType]) -> dict[str, Kind]:
    """Return what each property of the event types is; ``other`` when they differ, or it is neither."""
    found: dict[str, Kind] = {}
    for field in (field for each in types for field in each.fields):
        kind = _KINDS.get(field.json_type, "other")
        found[field.name] = kind if found.get(field.name, kind) == kind else "other"
    return found


def condition_of(row: FilterRow, kinds: Mapping[str, Kind]) -> Filter:
    """Return the filter of one row. Raises UnreadableRowError."""
    name, text = row.name.strip(), row.value.strip()
    if not name:
        raise UnreadableRowError("Choose a property.")
    if row.comparison in _EXISTS:
        return {name: {"exists": _EXISTS[row.comparison]}}
    if row.comparison not in COMPARISON_WORDS:
        raise UnreadableRowError("Choose a comparison.")
    if not text:
        raise UnreadableRowError("Enter a value.")
    if row.comparison in _LISTS:
        values = [_value(part.strip(), kinds.get(name, "other")) for part in text.split(",") if part.strip()]
        return {name: values if row.comparison == "in" else {"not_in": values}}
    value = _value(text, kinds.get(name, "other"))
    return {name: value if row.comparison == "eq" else {row.comparison: value}}


def filter_of(join: Join, conditions: Sequence[Filter]) -> Filter | None:
    """Return the filter of the conditions of all rows; None without rows."""
    if not conditions:
        return None
    if len(conditions) == 1:
        return conditions[0]
    if join == "any":
        return {"any": list(conditions)}
    names = [name for each in conditions for name in each]
    if len(set(names)) == len(names):
        return {name: value for each in conditions for name, value in each.items()}
    return {"all": list(conditions)}


def rows_of(filter_: Filter | None) -> FilterRows | None:
    """Return the rows of a filter; None when rows cannot say it."""
    if not filter_:
        return FilterRows("all", [])
    join: Join = "all"
    conditions: list[Any] = [filter_]
    if len(filter_) == 1 and next(iter(filter_)) in {"all", "any"}:
        ((name, conditions),) = filter_.items()
        join = "any" if name == "any" else "all"
        if join == "any" and any(not _is_single(each) for each in conditions):
            return None
    rows: list[FilterRow] = []
    for condition in conditions:
        for name, wanted in condition.items():
            found = None if name in {"all", "any", "not"} else _rows(name, wanted)
            if found is None:
                return None
            rows += found
    return FilterRows(join, rows) if len(rows) <= ROWS_MAX else None


def _is_single(condition: Mapping[str, Any]) -> bool:
    if len(condition) != 1:
        return False
    (wanted,) = condition.values()
    return not isinstance(wanted, dict) or len(wanted) == 1


def _rows(name: str, wanted: Any) -> list[FilterRow] | None:
    if isinstance(wanted, list):
        wanted = {"in": wanted}
    comparisons = wanted if isinstance(wanted, dict) else {"eq": wanted}
    rows = []
    for comparison, value in comparisons.items():
        if comparison == "exists":
            rows.append(FilterRow(name, "present" if value else "absent"))
        elif comparison not in COMPARISON_WORDS:
            return None
        elif comparison in _LISTS:
            if any(isinstance(each, str) and "," in each for each in value):
                return None
            rows.append(FilterRow(name, comparison, ", ".join(map(_text, value))))
        else:
            rows.append(FilterRow(name, comparison, _text(value)))
    return rows


def _value(text: str, kind: Kind) -> Any:
    """Return the value that was typed: as the property has it, else as JSON, else as a text."""
    if len(text) > 1 and text.startswith('"') and text.endswith('"'):
        return text[1:-1]
    if kind == "text":
        return text
    value = _json(text)
    if kind == "number" and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise UnreadableRowError("Enter a number: this property has only numbers.")
    return text if value is UNSET or isinstance(value, dict | list) else value


def _text(value: Any) -> str:
    """Return how a value is typed, so that it is read as the same again."""
    if not isinstance(value, str):
        return msgspec.json.encode(value).decode()
    is_plain = value.strip() == value and not value.startswith('"') and _json(value) is UNSET
    return value if is_plain else f'"{value}"'


def _json(text: str) -> Any:
    """Return the value of a JSON text; UNSET when it is none."""
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return UNSET
