"""Examples of responses, as a running server writes them: one shop, its ERP, and an endpoint that fails."""

from typing import Any, Final

from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.reference.change_examples import CHANGE_EXAMPLES
from commerce_event.reference.timeline_examples import TIMELINE_EXAMPLES

ORDER: Final = EVENT_TYPES["OrderConfirmedEvent"]
JOB: Final = EVENT_TYPES["JobCompletedEvent"]
EVENT_ID: Final = "evt_0sapa4r8m0000"
DELIVERY_ID: Final = "dlv_0sapa4r8m0002"
ENDPOINT_ID: Final = "end_0sapa4r640000"
REPLAY_ID: Final = "rpl_0sapa4rjr0000"
REFUSAL_ID: Final = "rfs_0sapa4r640000"
SETTING_ID: Final = "set_0sapa4r640000"
SOURCE_NAME: Final = "erp"
KEY_ID: Final = "key_0sapa4q1g0000"
AUDIT_ID: Final = "aud_0sapa4r740003"
URL: Final = "https://erp.example.com/webhooks"
_CLIENT: Final = ORDER.example["ClientId"]
_SHOP: Final = ORDER.example["ApplicationId"]
_EARLIER: Final = "2026-01-31T09:12:40.005Z"
_ACCEPTED: Final = "2026-01-31T12:00:00.157Z"
_FINISHED: Final = "2026-01-31T12:00:00.184Z"
_SECRET: Final = "whsec_…"  # noqa: S105 - a placeholder

_ACCEPTED_VIEW: Final = {"id": EVENT_ID, "duplicate": False, "deliveries": 2}
_EVENT: Final = {
    "id": EVENT_ID, "sequence": 4711, "type": ORDER.name, "client_id": _CLIENT, "application_id": _SHOP,
    "accepted_at": _ACCEPTED, "idempotency_key": "order-100234567-confirmed", "deliveries": 2, "warnings": [],
    "data": ORDER.example,
}  # fmt: skip
_DELIVERY: Final = {
    "id": DELIVERY_ID, "event_id": EVENT_ID, "endpoint_id": ENDPOINT_ID, "client_id": _CLIENT, "state": "delivered",
    "attempt_count": 1, "next_attempt_at": None, "reason": None, "replay_id": None, "created_at": _ACCEPTED,
    "finished_at": _FINISHED, "failure_count": 0, "attempts_max": None, "gives_up_at": None, "sending": False,
}  # fmt: skip
_SUMMARY: Final = {
    "id": ENDPOINT_ID, "client_id": _CLIENT, "url": URL, "description": "ERP: orders",
    "event_types": ["Order", JOB.name], "except": [], "enabled": True, "paused": False, "disabled_reason": None,
}  # fmt: skip
_ATTEMPT: Final = {
    "number": 1, "started_at": "2026-01-31T12:00:00.167Z", "duration_ms": 17.072, "status": 204, "error": None,
    "cause": None, "phase": None, "address": None, "redirects": [], "certificate": None,
    "response_headers": [["content-length", "0"]], "response_body": "",
}  # fmt: skip
_RULES: Final = [
    {"name": "client", "passed": True, "wanted": _CLIENT, "found": _CLIENT},
    {"name": "application", "passed": True, "wanted": None, "found": _SHOP},
    {"name": "type", "passed": True, "wanted": ["Order"], "found": [ORDER.name, "Order"]},
    {"name": "enabled", "passed": True, "wanted": "on", "found": "on"},
    {"name": "filter", "passed": True, "wanted": None, "found": []},
]
_REASON: Final = {
    "endpoint_id": ENDPOINT_ID, "url": URL, "description": "ERP: orders", "endpoint": _SUMMARY, "retries": 16,
    "matched": True, "verdict": "delivered after 1 attempt",
    "held": None, "rules": _RULES, "deliveries": [_DELIVERY], "last_status": 204, "last_error": None, "cause": None,
}  # fmt: skip
_PREVIEW_SAMPLE: Final = {
    "event_id": EVENT_ID, "type": ORDER.name, "label": "Order 100234567", "accepted_at": _ACCEPTED, "matched": False,
    "why": "Source is WEB: no, it is POS",
    "rules": [
        {
            "name": "filter", "passed": False, "wanted": {"Source": "WEB"},
            "found": [
                {
                    "pointer": "/Source", "path": "Source", "operator": "eq", "wanted": "WEB", "found": "POS",
                    "passed": False,
                },
            ],
        },
    ],
}  # fmt: skip
_REFUSAL: Final = {
    "id": REFUSAL_ID, "at": _EARLIER, "client_id": _CLIENT, "type": ORDER.name, "label": "Order 100234569",
    "key_id": KEY_ID, "key_name": "shop", "status": 422,
    "detail": "This OrderConfirmedEvent breaks the contract in 1 place.",
    "errors": [{"pointer": "/OrderId", "message": "is required"}],
    "state": "open", "event_id": None, "reason": None, "closed_at": None,
}  # fmt: skip
_REFUSED_BODY: Final = {name: value for name, value in ORDER.example.items() if name != "OrderId"}
_DEAD_GROUP: Final = {
    "endpoint_id": "end_0sapa4r740000", "reason": "attempts_exhausted", "error": "http_500",
    "cause": "the receiver had an internal error", "count": 12,
    "oldest_at": _EARLIER, "newest_at": _ACCEPTED, "endpoint": {**_SUMMARY, "id": "end_0sapa4r740000"},
    "endpoint_health": "ok", "warning": None,
}  # fmt: skip
_REPLAY: Final = {
    "id": REPLAY_ID, "client_id": _CLIENT, "endpoint_id": ENDPOINT_ID, "since": "2026-01-31T00:00:00.000Z",
    "until": "2026-01-31T14:30:00.000Z", "types": [], "only": "failed", "state": "running", "looked_at": 0,
    "queued": 0, "deliveries": {}, "has_pending": False, "has_dead": False, "pace_per_s": None, "ends_at": None,
    "endpoint": _SUMMARY, "endpoint_health": "ok", "warning": None, "created_at": "2026-01-31T14:30:00.000Z",
    "queued_at": None, "finished_at": None,
}  # fmt: skip
_ENDPOINT: Final = {
    "id": ENDPOINT_ID, "client_id": _CLIENT, "application_id": None, "url": URL,
    "event_types": ["Order", JOB.name], "except": [], "enabled": True, "paused": False, "state_since": _EARLIER,
    "disabled_reason": None, "description": "ERP: orders", "headers": {}, "filter": None,
     "properties": None, "timeout_s": None, "retry_schedule": None, "jitter": 0.0,
    "max_in_flight": 32, "rate_limit": None, "ordering": "none", "follow_redirects": True, "signing": "hmac",
    "public_key": None, "secrets": [{"expires_at": None}], "created_at": _EARLIER, "updated_at": _EARLIER,
}  # fmt: skip
_FIELD_CHANGE: Final = {"field": "enabled", "before": True, "after": False}
_BOOK: Final = {
    "endpoint_id": ENDPOINT_ID, "client_id": _CLIENT, "matched": 4711, "delivered": 4699, "dead": 0, "cancelled": 0,
    "pending": 12, "difference": 0, "endpoint": _SUMMARY,
}  # fmt: skip
_TOTALS: Final = {"matched": 4711, "delivered": 4699, "dead": 0, "cancelled": 0, "pending": 12}
_LAST_HOUR: Final = {"delivered": 118, "failed": 4, "latency_p95_ms": 84.0}
_STATE: Final = {
    **_TOTALS, "oldest_due_at": _ACCEPTED, "health": "ok", "state_since": _EARLIER, "failing_since": None,
    "last_success_at": _FINISHED, "cause": None, "consecutive_failures": 0, "in_flight": 2, "circuit": "closed",
    "paused_for_s": None, "next_try_in_s": None, "tries_every_s": None,
}  # fmt: skip
_STATS_ITEM: Final = {"endpoint": _SUMMARY, **_STATE, "last_hour": _LAST_HOUR}
_KEY: Final = {
    "id": KEY_ID, "role": "publish", "client_ids": [_CLIENT], "name": "shop", "created_at": _EARLIER,
    "expires_at": "2027-01-31T00:00:00.000Z", "last_used_at": _ACCEPTED, "revoked_at": None, "state": "active",
    "warning": None,
}  # fmt: skip
_STEP: Final = {
    "start": "2026-01-31T12:00:00.000Z", "accepted": 61, "delivered": 118, "failed": 4, "dead": 0,
    "latency_p50_ms": 21.0, "latency_p95_ms": 84.0, "latency_p99_ms": 130.0,
    "pending": 4, "dead_letters": 12, "oldest_due_s": 0.4,
}  # fmt: skip
_FAULTS: Final = [{"pointer": f"/{name}", "message": "is required"} for name in ("JobId", "StatusId")]
_BROKEN: Final = {
    "title": "The event breaks the contract", "status": 422,
    "detail": f"This {JOB.name} breaks the contract in 2 places.", "errors": _FAULTS,
}  # fmt: skip
_OWN_TYPE: Final = {
    "kind": "event", "description": "An export was delivered to its recipient.",
    "schema": {
        "type": "object",
        "properties": {"ExportId": {"type": "integer", "minimum": 1}, "FileName": {"type": "string"}},
        "required": ["ExportId"],
    },
    "example": {"ClientId": _CLIENT, "ExportId": 4402, "FileName": "orders-2026-01.csv"},
}  # fmt: skip
_NEW_SETTING: Final = {
    "client_id": _CLIENT, "event_type": "CustomerChangedNotification", "entity": "tClientCustomerAddress",
    "on_delete": False, "fields": ["City", "Zip"], "filter": {"Country": "SE"}, "coalesce_s": 30.0,
}  # fmt: skip
_SETTING: Final = {
    "id": SETTING_ID, **_NEW_SETTING, "application_id": None, "enabled": True, "on_insert": True, "on_update": True,
    "sentence": "When a customer's address is inserted or its City or Zip changes, tell client 1006's endpoints with "
    "CustomerChangedNotification (tClientCustomerAddress), where Country is SE; changes within 30 s become one.",
    "active_since": _EARLIER, "created_at": _EARLIER, "updated_at": _EARLIER,
}  # fmt: skip
_SAMPLE: Final = {
    "change_id": "chg_0sapa4r8m0001", "at": _ACCEPTED, "merged": 2,
    "body": {"ClientId": _CLIENT, "CustomerId": 12, "EntityChanged": "tClientCustomerAddress"},
}  # fmt: skip
_TABLE: Final = {
    "entity": "tClientCustomer", "key": {"CustomerId": "id"},
    "fields": {"FirstName": "first_name", "Email": "email"}, "application_id": {"column": "shop_id"},
}  # fmt: skip
_SOURCE_FIELDS: Final = {"client_id": _CLIENT, "tables": {"public.customer": _TABLE}}
_STATUS: Final = {
    "state": "running", "message": None, "lag_bytes": 512, "lag_ms": 40, "retained_bytes": 16384,
    "reported_by": "capture@db-1",
}  # fmt: skip
_READER: Final = {**_STATUS, "reported_at": _ACCEPTED}
_SOURCE_STATE: Final = {
    "position": "0/1A2B3C8", "state": _READER, "created_at": _EARLIER, "updated_at": _EARLIER,
}  # fmt: skip
_SOURCE: Final = {"name": SOURCE_NAME, **_SOURCE_FIELDS, **_SOURCE_STATE}
_VALIDATION: Final = {"client_id": _CLIENT, "event_type": "Order", "mode": "warn"}
_TYPE: Final = {
    "name": JOB.name, "category": JOB.category, "kind": JOB.kind, "description": JOB.description,
    "schema": JOB.schema(), "example": JOB.example,
    "own": False,
}  # fmt: skip

EXAMPLES: Final[dict[str, Any]] = CHANGE_EXAMPLES | TIMELINE_EXAMPLES | {
    "AcceptedView": _ACCEPTED_VIEW,
    "ItemView": {"index": 0, "status": 202, **_ACCEPTED_VIEW},
    "BatchView": {
        "items": [
            {"index": 0, "status": 202, **_ACCEPTED_VIEW},
            {"index": 1, **_BROKEN},
        ],
        "accepted": 1,
        "duplicates": 0,
        "refused": 1,
    },
    "ProblemFault": _FAULTS[0],
    "ProblemBody": {"type": "/problems/the-event-breaks-the-contract", **_BROKEN},
    "EventView": _EVENT,
    "DeliveryView": _DELIVERY,
    "AttemptView": _ATTEMPT,
    "DeliveryDetailView": {**_DELIVERY, "attempts": [_ATTEMPT], "body_sent": ORDER.example},
    "RuleView": _RULES[2],
    "ReasonView": _REASON,
    "ExplanationView": {
        "event_id": EVENT_ID, "client_id": _CLIENT, "type": ORDER.name, "accepted_at": _ACCEPTED, "config_version": 7,
        "endpoints": [_REASON], "left_out": 0,
    },
    "DeadGroupView": _DEAD_GROUP,
    "ReplayView": _REPLAY,
    "ReplayCountView": {"deliveries": 53, "more": False, "endpoint_health": "ok", "warning": None},
    "DeadLetterSelection": {
        "endpoint_id": "end_0sapa4r740000", "reason": "attempts_exhausted", "error": "http_500",
    },
    "DeadLetterDiscard": {"delivery_ids": [DELIVERY_ID], "note": "A test of the shop"},
    "DeadLettersChangedView": {"count": 12, "more": False, "newest_id": DELIVERY_ID},
    "NewReplay": {"endpoint_id": ENDPOINT_ID, "since": "2026-01-31T00:00:00Z", "only": "failed"},
    "EndpointView": _ENDPOINT,
    "NewEndpointView": {**_ENDPOINT, "secret": _SECRET},
    "NewEndpoint": {
        "client_id": _CLIENT, "url": URL, "event_types": ["Order", JOB.name], "description": "ERP: orders",
    },
    "EndpointChange": {"enabled": False},
    "SecretView": {"secret": _SECRET, "public_key": None, "old_secret_expires_at": "2026-02-01T12:00:00.000Z"},
    "Rotation": {"overlap": "24h"},
    "EndpointPreviewRequest": {
        "client_id": _CLIENT, "event_types": ["Order"], "except": ["OrderCancelledEvent"], "filter": {"Source": "WEB"},
    },
    "EndpointPreviewSample": _PREVIEW_SAMPLE,
    "EndpointPreviewView": {"checked": 100, "matched": 41, "samples": [_PREVIEW_SAMPLE], "truncated": False},
    "EndpointTestRequest": {"type": ORDER.name},
    "EndpointTestResult": {
        "delivered": True, "url": URL,
        "request_headers": [["content-type", "application/json"], ["webhook-id", "evt_0sapa4rq80001"]],
        "request_body": '{"ClientId":1006,"JobId":918273,"StatusId":2}', "attempt": _ATTEMPT,
        "signature": "right", "signature_checked": None,
    },
    "SecretEnd": {"expires_at": None},
    "EndpointImpactView": {
        "endpoint_id": ENDPOINT_ID, "pending": 12, "in_flight": 2, "events_per_hour": 340.0, "off_since": None,
        "pause": "Pausing holds about 340 events an hour and the 12 pending deliveries; nothing is lost.",
        "resume": "12 pending deliveries are sent now, then new events at once.",
        "off": "Switching off tracks nothing: about 340 events an hour would get no delivery here; 12 pending "
        "deliveries are held.",
        "delete": "Deleting cancels 12 pending deliveries; the history is kept.",
    },
    "StatsView": {
        "endpoint_id": ENDPOINT_ID, **_STATE, "recent": 100, "success_ratio": 1.0, "latency_p50_ms": 17.0,
        "latency_p95_ms": 42.0,
        "latency_p99_ms": 61.0,
    },
    "EndpointSummary": _SUMMARY,
    "EndpointStatsItem": _STATS_ITEM,
    "EndpointStatsView": {"items": [_STATS_ITEM], "totals": _TOTALS},
    "DeliveryTotals": _TOTALS,
    "LastHourView": _LAST_HOUR,
    "RecentAttemptsView": {"items": [_ATTEMPT]},
    "NodeView": {
        "version": "0.1.0", "now": _ACCEPTED, "nodes": 1, "running": True, "held": False, "in_flight": 2,
        "unsettled": 0, "timeout_s": 5.0, "retry_schedule": [15.0, 60.0], "retention_s": 2592000.0,
        "allowed_hosts": ["events.example.com"], "allow_networks": [], "max_body_bytes": 262144,
    },
    "StoreView": {
        "engine": "sqlite", "version": "3.51.0", "location": "commerce-event.db", "schema_version": 14,
        "durability": "synchronous=FULL", "size_bytes": 1048576, "free_bytes": 10737418240,
    },
    "EventTypeView": _TYPE,
    "EventTypeChange": _OWN_TYPE,
    "NewEventType": {"name": "ExportDeliveredEvent", "category": "System", **_OWN_TYPE},
    "BookView": _BOOK,
    "BooksView": {"items": [_BOOK], "totals": _TOTALS, "balanced": True, "counted_at": _ACCEPTED},
    "StepView": _STEP,
    "BatchItem": {"type": ORDER.name, "data": ORDER.example, "id": "order-100234567-confirmed"},
    "CloudEvent": {
        "specversion": "1.0", "type": f"com.example.{ORDER.name}", "source": "/shop", "id": "100234567-confirmed",
        "data": ORDER.example,
    },
    "ActivityView": {
        "step_s": 60, "accepted": 3660, "delivered": 7080, "failed": 240, "dead": 0, "latency_p50_ms": 21.0,
        "latency_p95_ms": 84.0, "latency_p99_ms": 130.0, "items": [_STEP],
    },
    "RefusalView": _REFUSAL,
    "RefusalDetailView": {**_REFUSAL, "body": _REFUSED_BODY},
    "CorrectedEvent": {"data": ORDER.example},
    "DiscardRefusal": {"reason": "A test of the shop"},
    "AuditEntryView": {
        "id": AUDIT_ID, "at": _ACCEPTED, "client_id": _CLIENT, "key_id": KEY_ID, "key_name": "support",
        "automatic": False, "action": "changeEndpoint", "target": ENDPOINT_ID, "name": "ERP: orders",
        "sentence": "Switched off ERP: orders", "detail": None,
        "changes": [_FIELD_CHANGE], "restorable": True,
    },
    "FieldChange": _FIELD_CHANGE,
    "RestoredView": {"restored": ["enabled"], "left_out": [], "endpoint": _ENDPOINT, "event_setting": None},
    "ValidationView": {**_VALIDATION, "updated_at": _EARLIER},
    "NewValidation": _VALIDATION,
    "EventSettingView": _SETTING,
    "NewEventSetting": _NEW_SETTING,
    "EventSettingChange": {"fields": ["City", "Zip", "Country"], "coalesce_s": 60},
    "PreviewRequest": {"setting": _NEW_SETTING, "since": "2026-01-31T00:00:00Z"},
    "PreviewSampleView": _SAMPLE,
    "EntityFieldsView": {
        "entity": "tClientCustomerAddress", "fields": ["City", "CustomerId", "Zip"], "complete": True,
    },
    "PreviewView": {
        "sentence": _SETTING["sentence"], "changes": 412, "notifications": 37, "samples": [_SAMPLE], "truncated": False,
    },
    "ChangeSourceView": _SOURCE,
    "ChangeSourceSummaryView": {
        "name": SOURCE_NAME, "client_id": _CLIENT, "table_count": 1, "entities": ["tClientCustomer"], **_SOURCE_STATE,
    },
    "NewChangeSource": {"name": SOURCE_NAME, **_SOURCE_FIELDS},
    "ChangeSourceFields": _SOURCE_FIELDS,
    "TableFields": _TABLE,
    "Column": {"column": "shop_id"},
    "ReaderView": _READER,
    "SourceStatus": _STATUS,
    "SourcePosition": {"position": "0/1A2B3C8"},
    "Fault": {"pointer": "/OrderNo", "message": "must be text, not a number"},
    "KeyView": _KEY,
    "NewKeyView": {**_KEY, "key": f"{KEY_ID}_…"},
    "NewKey": {"role": "publish", "client_ids": [_CLIENT], "name": "shop", "expires_in_s": 31536000},
    "ClientView": {"client_id": _CLIENT, "name": "Acme", "endpoints": 3},
    "ClientName": {"name": "Acme"},
    "NewPortalLink": {"client_id": _CLIENT, "role": "read", "expires_in_s": 604800},
    "PortalLinkView": {
        "url": "https://events.example.com/admin/portal?link=…", "key_id": KEY_ID, "client_id": _CLIENT, "role": "read",
        "expires_at": "2026-02-07T12:00:00.000Z",
    },
}  # fmt: skip
EXAMPLES_BY_STATUS: Final = {("AcceptedView", "200"): {**_ACCEPTED_VIEW, "duplicate": True}}
