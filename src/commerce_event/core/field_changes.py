"""What a change of a setting changed, field by field, for the audit log."""

from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec

from commerce_event.core.model import FieldChange

MASK: Final = "***"
VALUE_MAX: Final = 500  # characters of a value as JSON; of a longer one only the beginning of that text is kept
CHANGES_MAX: Final = 100  # fields of an entry


def find_changes(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, *, secret: Collection[str] = ()
) -> tuple[FieldChange, ...]:
    """Return the fields whose JSON values differ, at most CHANGES_MAX, in the order of the mappings.

    None before: it was created; None after: it was deleted. Then fields that are null or empty are left out. Values of
    ``secret`` fields are compared and masked; those that are objects, member by member, as ``headers.X-Token``.
    """
    is_whole = before is None or after is None
    old, new = _members(before or {}, secret), _members(after or {}, secret)
    found: list[FieldChange] = []
    for name in dict.fromkeys((*old, *new)):
        was, is_ = old.get(name), new.get(name)
        if was == is_ or (is_whole and _is_empty(was) and _is_empty(is_)):
            continue
        shown = _masked if name.partition(".")[0] in secret else shortened
        found.append(FieldChange(name, shown(was), shown(is_)))
    return tuple(found[:CHANGES_MAX])


def is_kept_whole(value: Any) -> bool:
    """Tell whether a value of a change is neither masked nor shortened."""
    return value != MASK and not (isinstance(value, str) and len(value) > VALUE_MAX)


def shortened(value: Any) -> Any:
    """Return a value as a change keeps it."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return value if len(text) <= VALUE_MAX else f"{text[:VALUE_MAX]}… ({len(text):,} characters)"


def _members(values: Mapping[str, Any], secret: Collection[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name in secret and isinstance(value, Mapping):
            found |= {f"{name}.{member}": each for member, each in value.items()}
        else:
            found[name] = value
    return found


def _is_empty(value: Any) -> bool:
    return value is None or value in ("", [], {})


def _masked(value: Any) -> Any:
    return None if value is None else MASK
