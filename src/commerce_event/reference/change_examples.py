"""Examples of responses about data changes: a customer moves house."""

from typing import Any, Final

CHANGE_ID: Final = "chg_0sapa4r8m0000"
SETTING_ID: Final = "set_0sapa4r640000"
_EVENT_ID: Final = "evt_0sapa4r8m0001"
_CHANGE: Final = {
    "id": CHANGE_ID, "accepted_at": "2026-01-31T12:00:00.157Z", "at": "2026-01-31T12:00:00.020Z", "client_id": 1006,
    "application_id": None, "entity": "tClientCustomerAddress", "operation": "update",
    "key": {"CustomerId": 12, "AddressId": 3}, "source": "crm", "table": "public.address", "unmapped": None,
}  # fmt: skip
_DETAIL: Final = {
    **_CHANGE, "before": {"City": "Lund", "Zip": "22100"}, "after": {"City": "Malmö", "Zip": "21120"},
    "known": None, "previous": "before", "events": [_EVENT_ID],
}  # fmt: skip
_RULES: Final = [
    {"name": "enabled", "passed": True, "wanted": "on", "found": "on"},
    {"name": "operation", "passed": True, "wanted": ["insert", "update"], "found": "update"},
    {"name": "fields", "passed": True, "wanted": ["City", "Zip"], "found": ["City", "Zip"]},
    {"name": "properties", "passed": True, "wanted": ["CustomerId"], "found": {"missing": []}},
]
_BODY: Final = {"ClientId": 1006, "CustomerId": 12, "EntityChanged": "tClientCustomerAddress"}
_NOTIFICATION: Final = {
    "body": _BODY, "event_id": _EVENT_ID, "merged": 1, "deliveries": {"delivered": 2}, "waits_until": None,
}  # fmt: skip
_DECISION: Final = {
    "setting_id": SETTING_ID, "event_type": "CustomerChangedNotification", "application_id": None, "fired": True,
    "verdict": "raised", "rules": _RULES, "notifications": [_NOTIFICATION], "left_out": 0,
}  # fmt: skip
_ACCEPTED: Final = {"id": CHANGE_ID, "duplicate": False, "events": [_EVENT_ID], "previous": "before"}

CHANGE_EXAMPLES: Final[dict[str, Any]] = {
    "NewChange": {
        "id": "crm-4711", "client_id": 1006, "entity": "tClientCustomerAddress", "operation": "update",
        "key": {"CustomerId": 12, "AddressId": 3}, "before": {"City": "Lund", "Zip": "22100"},
        "after": {"City": "Malmö", "Zip": "21120"},
    },
    "DebeziumEvent": {
        "op": "u", "before": {"id": 12, "city": "Lund"}, "after": {"id": 12, "city": "Malmö"},
        "source": {"schema": "public", "table": "address", "lsn": 23876424, "txId": 871}, "ts_ms": 1769860800157,
    },
    "ChangeView": _ACCEPTED,
    "ChangeBatchView": {
        "items": [{"index": 0, "status": 202, **_ACCEPTED}], "accepted": 1, "duplicates": 0, "refused": 0,
    },
    "ChangeSummaryView": _CHANGE,
    "ChangeDetailView": _DETAIL,
    "ChangeCountsView": {"unmapped": 3, "more": False},
    "ChangeExplanationView": {
        "change": _DETAIL, "config_version": 18, "verdict": "It raised CustomerChangedNotification.",
        "settings": [_DECISION], "without_setting": [],
    },
}  # fmt: skip
