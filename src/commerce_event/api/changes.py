"""Data changes: list, read, and explain what each raised and why."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from commerce_event.accept.turns import Steps
from commerce_event.api.explanations import RuleView, shown_rules
from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.paging import Listing, PageQuery, cursor_after, read_within
from commerce_event.api.parameters import Int32, Time, read_time, scope_for
from commerce_event.contract.entities import sources_of
from commerce_event.core import ids
from commerce_event.core.changes.model import EventSetting, StoredChange
from commerce_event.core.changes.model import Operation as ChangeOperation
from commerce_event.core.changes.rules import (
    Decision,
    PreviousFrom,
    RowChange,
    applicable,
    explain_steps,
)
from commerce_event.core.changes.setting_table import compile_setting
from commerce_event.core.clock import rfc3339
from commerce_event.core.problems import not_found
from commerce_event.http.asgi import encode
from commerce_event.store.model import ChangeQuery, Page

COUNTED_MAX: Final = 1_000
RAISED_MAX: Final = 50  # events that a list shows of a change
_NOTIFICATIONS_MAX: Final = 100  # that an explanation shows of one setting
_WHAT: Final = "change"
_OPERATIONS: Final = {"insert": "an insert", "update": "an update", "delete": "a delete"}
_REASONS: Final = {
    "enabled": "the setting was off",
    "fields": "no field that counts has changed",
    "break_point": "stock did not reach or fall below its minimum",
    "filter": "the filter does not match",
}


class ChangesQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters of changes."""

    client_id: Int32 | None = None
    entity: Annotated[str, Meta(max_length=100)] | None = None
    source: Annotated[str, Meta(max_length=100)] | None = None
    since: Time | None = None
    until: Time | None = None
    unmapped: bool | None = None
    expand: bool = False


class ChangeCountsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters of the count."""

    client_id: Int32 | None = None


class RaisedEventView(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a change raised. ``event_type`` is null when its setting was deleted."""

    event_id: str
    event_type: str | None
    merged: int


class ChangeSummaryView(msgspec.Struct, frozen=True, kw_only=True):
    """A change without its values."""

    id: str
    accepted_at: str
    at: str | None
    client_id: int | None
    application_id: int | None
    entity: str | None
    operation: ChangeOperation
    key: dict[str, Any]
    source: str | None
    table: str | None
    unmapped: str | None
    raised: list[RaisedEventView] | UnsetType = UNSET  # with ?expand=true


class ChangeDetailView(ChangeSummaryView, frozen=True, kw_only=True):
    """A change with its values. ``known`` are the last known values of its row at that time."""

    before: dict[str, Any] | None
    after: dict[str, Any] | None
    known: dict[str, Any] | None
    previous: PreviousFrom
    events: list[str]


class ChangeCountsView(msgspec.Struct, frozen=True):
    """How many kept changes no source maps; ``more`` when there are more than counted."""

    unmapped: int
    more: bool


class NotificationView(msgspec.Struct, frozen=True, kw_only=True):
    """A notification that a change raised: its event and where it went, or until when it waits."""

    body: dict[str, Any]
    event_id: str | None
    merged: int
    deliveries: dict[str, int]
    waits_until: str | None


class DecisionView(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one setting for a change, with all its rules."""

    setting_id: str
    event_type: str
    application_id: int | None
    fired: bool
    verdict: str
    rules: list[RuleView]
    notifications: list[NotificationView]
    left_out: int


class ChangeExplanationView(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting of the client for the entity, as it was when the change was accepted."""

    change: ChangeDetailView
    config_version: int
    verdict: str
    settings: list[DecisionView]
    without_setting: list[str]


async def list_changes(call: Call) -> Reply:
    query: ChangesQuery = call.query
    wanted = ChangeQuery(
        scope=scope_for(call, query.client_id),
        entity=query.entity,
        source=query.source,
        since_ms=read_time(query.since, "?since"),
        until_ms=read_time(query.until, "?until"),
        unmapped=query.unmapped,
    )

    async def read(limit: int, last: StoredChange | None) -> list[StoredChange]:
        return await call.services.store.changes.changes(wanted, Page(limit, query.before if last is None else last.id))

    found, more = await read_within(query.limit, read, _size)
    views = [
        ChangeSummaryView(**_summary(each), raised=await _raised(call, each) if query.expand else UNSET)
        for each in found
    ]
    return Reply(Listing(views, cursor_after(found[-1], more=more) if found else None))


async def count_changes(call: Call) -> Reply:
    scope = scope_for(call, call.query.client_id)
    found = await call.services.store.changes.count_unmapped(scope, limit=COUNTED_MAX + 1)
    return Reply(ChangeCountsView(min(found, COUNTED_MAX), found > COUNTED_MAX))


async def get_change(call: Call) -> Reply:
    return Reply(await _detail(call, await _find(call)))


async def explain_change(call: Call) -> Reply:
    stored = await _find(call)
    change, services = stored.change, call.services
    decisions: list[Decision] = []
    without: list[str] = []
    if change.client_id is not None and change.entity is not None:
        then = await services.store.change_settings.settings_at(change.client_id, stored.config_version)
        settings = [each for each in then if each.entity == change.entity and each.deleted_ms is None]
        found = {each.event_type for each in settings}
        without = [each.event_type for each in sources_of(change.entity) if each.event_type not in found]
        if change.operation not in {"read", "truncate"}:
            decisions = await services.intake.turns.run(call.key.owner, _explain(stored, settings))
    views = [await _decision_view(call, stored, each) for each in decisions]
    return Reply(
        ChangeExplanationView(
            change=await _detail(call, stored),
            config_version=stored.config_version,
            verdict=_verdict(stored, decisions),
            settings=views,
            without_setting=without,
        )
    )


def _explain(stored: StoredChange, settings: Sequence[EventSetting]) -> Steps[list[Decision]]:
    known = filter(None, map(compile_setting, settings))
    active = applicable([*known], stored.change.application_id)
    return (yield from explain_steps(RowChange(stored.change, stored.known), active))


async def _decision_view(call: Call, stored: StoredChange, decision: Decision) -> DecisionView:
    setting = decision.setting
    shown = decision.notifications[:_NOTIFICATIONS_MAX]
    return DecisionView(
        setting_id=ids.encode("set", setting.id),
        event_type=setting.event_type,
        application_id=setting.application_id,
        fired=decision.fired,
        verdict="raised" if decision.fired else _reason(decision),
        rules=shown_rules(decision.rules),
        notifications=[await _notification_view(call, stored, setting, each.subject, each.body) for each in shown],
        left_out=len(decision.notifications) - len(shown),
    )


async def _notification_view(
    call: Call, stored: StoredChange, setting: EventSetting, subject: str, body: Any
) -> NotificationView:
    """Return where a notification is now. One that was not merged may have waited because its commit was full."""
    changes = call.services.store.changes
    names = (subject, f"{subject}#{stored.id}")
    # Looked for first: when it is raised in between, its event is found.
    waiting = await changes.waiting([(setting.id, name) for name in names])
    for name in names:
        raised = await changes.raised_for(setting.id, name, stored.id)
        if raised is not None:
            states = await call.services.store.history.delivery_states([raised.event_id], call.scope)
            return NotificationView(
                body=dict(body),
                event_id=ids.encode("evt", raised.event_id),
                merged=raised.merged,
                deliveries={state: count for state, count in states.get(raised.event_id, {}).items()},  # noqa: C416
                waits_until=None,
            )
    first = next(iter(waiting.values()), None)
    return NotificationView(
        body=dict(body),
        event_id=None,
        merged=1 if first is None else first.merged,
        deliveries={},
        waits_until=None if first is None else rfc3339(first.due_ms),
    )


def _verdict(stored: StoredChange, decisions: Sequence[Decision]) -> str:
    """Return in words what became of a change."""
    change = stored.change
    if change.entity is None:
        return f"It raised nothing: {change.note}."
    if change.operation == "read":
        return "It raised nothing: it is an existing row, kept as its last known values."
    if change.operation == "truncate":
        return "It raised nothing: the whole table was truncated, and no row is named."
    if not decisions:
        return f"It raised nothing: client {change.client_id} has no setting for {change.entity}."
    fired = [decision.setting.event_type for decision in decisions if decision.fired]
    return f"It raised {' and '.join(fired)}." if fired else "It raised nothing: no setting asks for it."


def _reason(decision: Decision) -> str:
    """Return in words why a setting raised nothing: the first rule that failed."""
    failed = next(rule for rule in decision.rules if not rule.passed)
    if failed.name == "operation":
        return f"it is {_OPERATIONS[failed.found]}; the setting asks for {' or '.join(failed.wanted) or 'nothing'}"
    if failed.name == "value":
        return f"{failed.wanted} has not changed"
    if failed.name == "properties":
        return f"the change has no usable {' and '.join(failed.found['missing'])}"
    return _REASONS[failed.name]


async def _find(call: Call) -> StoredChange:
    stored = await call.services.store.changes.change(call.id("chg", _WHAT), call.scope)
    if stored is None:
        raise not_found(_WHAT)
    return stored


async def _detail(call: Call, stored: StoredChange) -> ChangeDetailView:
    change = stored.change
    raised = await call.services.store.changes.raised_by(stored.id)
    return ChangeDetailView(
        **_summary(stored),
        before=change.before,
        after=change.after,
        known=stored.known,
        previous=RowChange(change, stored.known).previous_from,
        events=[ids.encode("evt", each.event_id) for each in raised],
    )


async def _raised(call: Call, stored: StoredChange) -> list[RaisedEventView]:
    """Return the first events whose values are those of the change."""
    found = []
    for raised in await call.services.store.changes.raised_by(stored.id, limit=RAISED_MAX):
        setting = call.services.registry.change_settings.setting_in(call.scope, raised.setting_id)
        found.append(
            RaisedEventView(
                event_id=ids.encode("evt", raised.event_id),
                event_type=None if setting is None else setting.event_type,
                merged=raised.merged,
            )
        )
    return found


def _summary(stored: StoredChange) -> dict[str, Any]:
    change = stored.change
    return {
        "id": ids.encode("chg", stored.id),
        "accepted_at": rfc3339(stored.accepted_ms),
        "at": None if change.at_ms is None else rfc3339(change.at_ms),
        "client_id": change.client_id,
        "application_id": change.application_id,
        "entity": change.entity,
        "operation": change.operation,
        "key": change.key,
        "source": change.source,
        "table": change.table,
        "unmapped": change.note,
    }


def _size(stored: StoredChange) -> int:
    return len(encode([stored.change.before, stored.change.after, stored.known]))


_TAG: Final = "Changes"
OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/changes",
        name="listChanges",
        summary="List changes",
        tag=_TAG,
        needs="read",
        run=list_changes,
        query=ChangesQuery,
        answers={200: Listing[ChangeSummaryView]},
        problems=(422,),
        description=(
            "Newest first, without values. `unmapped=true` lists those that no source maps to an entity. "
            "`expand=true` adds to each the first events that have its values. Changes are kept for seven days, unless "
            "the server is set otherwise."
        ),
    ),
    Operation(
        method="GET",
        path="/v1/changes/counts",
        name="countChanges",
        summary="Count unmapped changes",
        tag=_TAG,
        needs="read",
        run=count_changes,
        query=ChangeCountsQuery,
        answers={200: ChangeCountsView},
        problems=(422,),
        description=f"Of those that are kept; it counts at most {COUNTED_MAX:,}.",
    ),
    Operation(
        method="GET",
        path="/v1/changes/{id}",
        name="getChange",
        summary="Read a change",
        tag=_TAG,
        needs="read",
        run=get_change,
        answers={200: ChangeDetailView},
        problems=(404,),
        description="With its values, and the events it raised by itself.",
    ),
    Operation(
        method="GET",
        path="/v1/changes/{id}/explain",
        name="explainChange",
        summary="Explain what a change raised",
        tag=_TAG,
        needs="read",
        run=explain_change,
        answers={200: ChangeExplanationView},
        problems=(404,),
        description=(
            "Every setting of the client for the entity as it was when the change was accepted, each rule with the "
            "value found, the notifications with their events, and where these went."
        ),
    ),
)
