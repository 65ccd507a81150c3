"""The values of a change before and after, side by side."""

from typing import Any, Final

import msgspec
from msgspec import UNSET

from commerce_event.api.changes import ChangeDetailView
from commerce_event.core.changes.model import Change
from commerce_event.core.changes.rules import RowChange
from commerce_event.core.filter_words import cut
from commerce_event.web.highlight import value_text

_TEXT_MAX: Final = 300  # characters of a value in the table; the whole one is in the JSON below it

_SOURCES: Final = {
    "before": "The change itself says what the row was before.",
    "last known": "The change does not say what the row was before, so the last known values were used.",
    "none": "The row's values before are not known, so every value of the change counts as changed.",
}


class ValueRow(msgspec.Struct, frozen=True, kw_only=True):
    """A field before and after the change; None for a value that is not known or not there."""

    name: str
    before: str | None
    after: str | None
    changed: bool
    is_last_known: bool  # the earlier value is not from the change itself
    is_unchanged: bool  # the change does not give the field, so it stays as it was


def value_rows(view: ChangeDetailView) -> list[ValueRow]:
    """Return the fields of a change, changed ones first."""
    row = _row_change(view)
    before = {} if view.operation == "insert" and view.before is None else row.previous
    after = {} if view.operation in {"delete", "truncate"} else row.current
    rows = [
        ValueRow(
            name=name,
            before=_text(before.get(name, UNSET)),
            after=_text(after.get(name, UNSET)),
            changed=name in row.changed,
            is_last_known=name in before and name not in (view.before or {}),
            is_unchanged=view.operation == "update" and name not in (view.after or {}),
        )
        for name in dict.fromkeys([*after, *before])
    ]
    return sorted(rows, key=lambda each: not each.changed)


def previous_sentence(view: ChangeDetailView) -> str:
    """Return which earlier values the change was compared with; empty for a change without any."""
    return _SOURCES[view.previous] if view.operation in {"update", "delete"} else ""


def _row_change(view: ChangeDetailView) -> RowChange:
    change = Change(
        client_id=view.client_id,
        entity=view.entity,
        operation=view.operation,
        key=view.key,
        before=view.before,
        after=view.after,
    )
    return RowChange(change, view.known)


def _text(value: Any) -> str | None:
    if value is UNSET:
        return None
    return cut('""' if value == "" else value_text(value), _TEXT_MAX)
