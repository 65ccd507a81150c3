"""Describe what was changed in a change source."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from commerce_event.core.changes.model import ChangeSource
from commerce_event.core.filter_words import cut

_LINES_MAX: Final = 20  # of a difference; the rest is counted
_TEXT_MAX: Final = 60  # characters of a name or a value
_ABSENT: Final = "none"


def describe_source_change(before: ChangeSource | None, after: ChangeSource | None) -> str:
    """Return each place that differs, with what it was and is, as one line of bounded length."""
    old, new = _places(before), _places(after)
    changed = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    lines = [f"{cut(name, _TEXT_MAX)}: {_value(old, name)} → {_value(new, name)}" for name in changed[:_LINES_MAX]]
    rest = len(changed) - len(lines)
    return "; ".join([*lines, *([f"{rest} more"] if rest else [])]) or "nothing"


def _places(source: ChangeSource | None) -> dict[str, Any]:
    """Return every value of a source by its place: ``public.customer fields.City`` is ``city``."""
    if source is None:
        return {}
    client: Any = source.client_id if source.client_column is None else f"column {source.client_column}"
    places: dict[str, Any] = {"client": client}
    for table, mapping in source.tables.items():
        for name, value in msgspec.structs.asdict(mapping).items():
            if isinstance(value, dict):
                places |= {f"{table} {name}.{each}": inner for each, inner in value.items()}
            elif value is not None:
                places[f"{table} {name}"] = value
    return places


def _value(places: Mapping[str, Any], name: str) -> str:
    return cut(str(places[name]), _TEXT_MAX) if name in places else _ABSENT
