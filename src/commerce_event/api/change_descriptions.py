"""Descriptions of the fields of data changes, for the OpenAPI document."""

from typing import Final

_CHANGE: Final = {
    "accepted_at": "When the change became durable (RFC 3339, UTC).",
    "application_id": "The sales application; null: the change concerns all of them.",
    "at": "When the row was changed, as its producer says (RFC 3339); null: not known.",
    "client_id": "The client whose data it is; null: not known, and only admins see it.",
    "entity": "The data table, such as `tClientCustomer`; null: no source maps the row.",
    "id": "The change, `chg_…`.",
    "key": "What the notification needs to name its subject, such as `CustomerId`.",
    "operation": "insert, update or delete; read: an existing row; truncate: all rows of a table were deleted.",
    "source": "The change source it came from; null: it was sent as a change.",
    "table": "The table in the source; null: it was sent as a change.",
    "unmapped": "Why no source maps the row; null: it is mapped.",
    "before": "The values before the change; null: not given. A value that is not known is left out.",
    "after": "The values after the change; null: the row was deleted. A value that is not known is left out.",
    "known": "The last known values of the row at that time; null: none, or not needed.",
    "previous": "What it was compared with: the values `before` it, the `last known` ones, or `none`.",
    "events": "The events that it raised by itself, `evt_…`.",
}
_ANSWER: Final = {
    "duplicate": "Whether the same change was sent before with this id; `id` is that change's.",
    "events": "The events that it raised, `evt_…`.",
    "id": "The change, `chg_…`.",
    "previous": "What it was compared with: the values `before` it, the `last known` ones, or `none`.",
    "unmapped": "Why no source maps the row; left out: it is mapped.",
    "waiting": "Notifications that are raised later, because repeated changes are merged or there are very many.",
    "accepted": "Changes that were accepted.",
    "duplicates": "Changes that had been accepted before.",
    "refused": "Changes that were refused.",
    "items": "A result for each change, in order.",
    "position": "How far the source has been read now; left out: no position was sent.",
    "index": "Position in the request, from 0.",
    "status": "The status that this change would have got if sent alone.",
    "ignored": "true: it changes no row, such as a tombstone or a heartbeat.",
    "errors": "Every single error and its place.",
}

CHANGE_FIELDS: Final = {
    **{f"{view}.{name}": text for view in ("ChangeSummaryView", "ChangeDetailView") for name, text in _CHANGE.items()},
    **{
        f"{view}.{name}": text
        for view in ("ChangeView", "ChangeItemView", "ChangeBatchView")
        for name, text in _ANSWER.items()
    },
    **{f"NewChange.{name}": text for name, text in _CHANGE.items()},
    "NewChange.id": "Identifies the change, so that sending it again is safe.",
    "NewChange.key": "What the notification needs: CompanyId; CustomerId; PartNo, one or a list; SupplierId and "
    "PartNo; PricelistId; WarehouseId and LocationId.",
    "NewChange.operation": "What happened to the row.",
    "ChangeCountsView.more": "Whether there are more than were counted.",
    "ChangeCountsView.unmapped": "Kept changes that no source maps.",
    "ChangeExplanationView.change": "The change with its values.",
    "ChangeExplanationView.settings": "Every setting of the client for the entity.",
    "ChangeExplanationView.verdict": "What became of the change, in words.",
    "ChangeExplanationView.without_setting": "Notifications that changes of the entity could raise, but for which the "
    "client has no setting.",
    "DecisionView.application_id": "The application of the setting; null: all that have none of their own.",
    "DecisionView.event_type": "The notification.",
    "DecisionView.fired": "Whether it raised the notification.",
    "DecisionView.left_out": "Notifications that do not fit in the answer.",
    "DecisionView.notifications": "What it raised: one for each part that the change names.",
    "DecisionView.rules": "Every rule, with the values wanted and found.",
    "DecisionView.setting_id": "The setting, `set_…`.",
    "DecisionView.verdict": "Why it raised something or not, in words.",
    "NotificationView.body": "The body with the values of this change.",
    "NotificationView.deliveries": "Number of the event's deliveries by state.",
    "NotificationView.event_id": "The event, `evt_…`; null: it waits.",
    "NotificationView.merged": "How many changes became this one notification.",
    "NotificationView.waits_until": "Until when it waits for changes to merge; null: it does not wait.",
    "RaisedByView.change_id": "The change with the newest values, `chg_…`.",
    "RaisedByView.first_change_id": "The first change that was merged, `chg_…`.",
    "RaisedByView.merged": "How many changes became this event.",
    "RaisedByView.setting_id": "The setting, `set_…`.",
    "EventDetailView.raised_by": "The data change that raised it; null: it was published.",
    "DebeziumEvent.after": "The row after the change; null: it was deleted.",
    "DebeziumEvent.before": "The row before the change; null: not known, or it was inserted.",
    "DebeziumEvent.op": "c: inserted, u: updated, d: deleted, r: an existing row, t: table truncated, m: a message.",
    "DebeziumEvent.source": "Where the row is: `schema` or `db`, and `table`; and its place in the log.",
    "DebeziumEvent.ts_ms": "When the connector read it, in milliseconds since 1970.",
    "listChanges.entity": "Only changes of this data table.",
    "listChanges.source": "Only changes of this source.",
    "listChanges.unmapped": "true: only changes that no source maps; false: only the others.",
    "sendDebeziumEvents.after": "The position that the source has now; left out: none yet.",
    "sendDebeziumEvents.position": "How far the source has been read with this request.",
    "sendDebeziumEvents.source": "The name of the change source.",
}
