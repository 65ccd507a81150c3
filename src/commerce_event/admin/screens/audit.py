"""The audit log: who changed what, with the values before and after, and a way to put them back."""

from typing import Final

import msgspec
from starlette.responses import Response

from commerce_event.admin.endpoint_form import errors_as_worded
from commerce_event.admin.screen_context import ROOT, ScreenContext
from commerce_event.api.audit_log import AuditEntryView, RestoredView
from commerce_event.api.paging import Listing
from commerce_event.core.audit_words import label_of_field, value_in_words
from commerce_event.core.field_changes import MASK
from commerce_event.core.model import FieldChange
from commerce_event.core.problems import Problem

_PAGE_SIZE: Final = 50
_SENTENCE_MAX: Final = 120  # characters that say a change of one field in full
_CHANGES_SHOWN: Final = 4  # of an entry in the list
_SCREENS: Final = {
    "end": "endpoints",
    "dlv": "deliveries",
    "rpl": "replays",
    "rfs": "refusals",
    "set": "event-settings",
}  # by the prefix of an id


class ChangeRow(msgspec.Struct, frozen=True):
    """A change of a field as it is shown; a masked value that was replaced has no other words."""

    field: str
    before: str
    after: str
    is_masked: bool


class AuditRow(msgspec.Struct, frozen=True):
    """An entry as it is shown; ``url`` is the screen of its target, empty when there is none."""

    entry: AuditEntryView
    who: str
    url: str
    changes: list[ChangeRow]
    more: int

    @property
    def shows_changes(self) -> bool:
        """Whether the sentence does not say the changes, and they are worth a place in the list."""
        is_whole = self.entry.action.startswith(("create", "delete"))
        return not is_whole and (len(self.changes) > 1 or len(self.entry.sentence) > _SENTENCE_MAX)


async def list_entries(context: ScreenContext) -> Response:
    query = {name: context.query.get(name) for name in ("client_id", "target", "cursor")}
    errors: dict[str, str] = {}
    status = 200
    try:
        found = await context.call("listAuditEntries", query={**query, "limit": _PAGE_SIZE})
    except Problem as problem:
        found, errors = Listing([], None), errors_as_worded(problem)
        if not errors.keys() <= {"", "client_id", "target"}:
            raise
        if "client_id" in errors:
            errors["client_id"] = "Enter the client's number."
        status = problem.status
    return context.render(
        "audit.html",
        status,
        rows=[_row(each, _CHANGES_SHOWN) for each in found.items],
        errors=errors,
        next_url=context.url_with(cursor=found.next_cursor) if found.next_cursor else "",
        first_url=context.url_with(cursor=None) if "cursor" in context.query else "",
    )


async def show_entry(context: ScreenContext) -> Response:
    return await _render_entry(context, None)


async def restore_entry(context: ScreenContext) -> Response:
    try:
        restored: RestoredView = await context.call("restoreAuditEntry", path={"id": context.path_id})
    except Problem as problem:
        if problem.status not in (409, 422):
            raise
        return await _render_entry(context, problem)
    names = ", ".join(map(label_of_field, restored.restored))
    path = (
        f"{ROOT}/event-settings/{restored.event_setting.id}"
        if restored.endpoint is None and restored.event_setting is not None
        else f"{ROOT}/endpoints/{restored.endpoint.id if restored.endpoint else ''}"
    )
    return context.redirect(path, flash=f"Put back: {names}.")


async def _render_entry(context: ScreenContext, problem: Problem | None) -> Response:
    entry: AuditEntryView = await context.call("getAuditEntry", path={"id": context.path_id})
    return context.render(
        "audit_entry.html",
        200 if problem is None else problem.status,
        row=_row(entry, len(entry.changes)),
        problem=problem,
    )


def _row(entry: AuditEntryView, limit: int) -> AuditRow:
    changes = list(map(_change, entry.changes[:limit]))
    who = "automatic" if entry.automatic else entry.key_name or "unnamed key"
    return AuditRow(entry, who, _url(entry), changes, len(entry.changes) - len(changes))


def _change(change: FieldChange) -> ChangeRow:
    is_masked = change.before == change.after == MASK
    return ChangeRow(
        label_of_field(change.field), value_in_words(change.before), value_in_words(change.after), is_masked
    )


def _url(entry: AuditEntryView) -> str:
    screen = _SCREENS.get(entry.target.partition("_")[0])
    if screen is not None:
        return f"{ROOT}/{screen}/{entry.target}"
    if entry.action.endswith("Key"):
        return f"{ROOT}/keys"
    if entry.action.endswith(("ChangeSource", "SourcePosition")):
        return f"{ROOT}/sources/{entry.target}"
    return f"{ROOT}/types/{entry.target}" if entry.action.endswith("EventType") else ""
