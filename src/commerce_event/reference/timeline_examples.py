"""Examples of timelines and incidents: an order that two receivers have, and an ERP that is not available."""

from typing import Any, Final

_CLIENT: Final = 1006
_ERP: Final = "end_0sapa4r640000"
_ENDPOINT: Final = {
    "id": _ERP, "client_id": _CLIENT, "url": "https://erp.example.com/webhooks", "description": "ERP: orders",
    "event_types": ["Order", "JobCompletedEvent"], "except": [], "enabled": True, "paused": False,
    "disabled_reason": None,
}  # fmt: skip
_IDENTIFIERS: Final = [
    {"property": "OrderNo", "value": "100234567"}, {"property": "ClientOrderRef", "value": "884211"},
]  # fmt: skip
_DELIVERY: Final = {
    "id": "dlv_0sapa4r8m0002", "endpoint_id": _ERP, "state": "delivered", "attempt_count": 5, "latency_ms": 240120,
    "late": True, "next_attempt_at": None, "sending": False, "reason": None, "last_status": 204, "last_error": None,
    "replay_id": None,
}  # fmt: skip
_EVENT: Final = {
    "id": "evt_0sapa4r8m0000", "type": "OrderConfirmedEvent", "accepted_at": "2026-01-31T12:00:00.157Z",
    "deliveries": [_DELIVERY],
}  # fmt: skip
_RECEIVER: Final = {
    "endpoint_id": _ERP, "name": "ERP: orders", "endpoint": _ENDPOINT,
    "verdict": "has it; got OrderConfirmedEvent 4 min late", "tone": "good", "events": 1, "delivered": 1, "pending": 0,
    "dead": 0, "cancelled": 0, "late": 1,
}  # fmt: skip
_TIMELINE: Final = {
    "kind": "order", "title": "Order 100234567", "client_id": _CLIENT, "identifiers": _IDENTIFIERS,
    "verdict": "ERP: orders has it; got OrderConfirmedEvent 4 min late", "tone": "good", "in_progress": False,
    "summary": "Order 100234567 (client 1006): ERP: orders has it; got OrderConfirmedEvent 4 min late.\n…",
    "more": False, "clients": [{"client_id": _CLIENT, "events": 1}], "others": [], "receivers": [_RECEIVER],
    "not_sent_to": [], "events": [_EVENT],
}  # fmt: skip
_FAILING: Final = {
    "endpoint": _ENDPOINT, "since": "2026-01-31T11:42:10.004Z", "failures": 31, "pending": 53, "dead": 0,
}  # fmt: skip
_INCIDENT: Final = {
    "endpoint_id": _ERP, "endpoint": _ENDPOINT, "state": "open", "paused": False, "since": "2026-01-31T11:42:10.004Z",
    "until": None, "cause": "the receiver is not available now", "last_status": 503, "last_error": "http_503",
    "failures": 31, "last_success_at": "2026-01-31T11:41:58.310Z", "last_failure_at": "2026-01-31T12:00:00.184Z",
    "pending": 53, "dead": 0, "oldest_pending_at": "2026-01-31T11:42:09.990Z",
    "first_dies_at": "2026-02-01T09:53:12.000Z", "endpoints": [_FAILING],
}  # fmt: skip
_STEPS: Final = [
    {"name": name, "done": False, "at": None} for name in ("fix", "test", "send_one", "send_all", "closed")
]
_ATTEMPT: Final = {
    "number": 9, "started_at": "2026-01-31T12:00:00.167Z", "duration_ms": 17.072, "status": 503, "error": "http_503",
    "cause": "the receiver is not available now", "phase": None, "address": None, "redirects": [], "certificate": None,
    "response_headers": [["content-length", "11"]], "response_body": "maintenance",
}  # fmt: skip

TIMELINE_EXAMPLES: Final[dict[str, Any]] = {
    "TimelineView": _TIMELINE,
    "IdentifierView": _IDENTIFIERS[0],
    "TimelineClientView": {"client_id": _CLIENT, "events": 1},
    "ReceiverView": _RECEIVER,
    "TimelineEventView": _EVENT,
    "TimelineDeliveryView": _DELIVERY,
    "IncidentView": _INCIDENT,
    "IncidentsView": {"items": [_INCIDENT], "more": False},
    "IncidentDetailView": {
        **_INCIDENT, "retry_schedule": [15.0, 60.0], "timeout_s": 5.0, "oldest_delivery_id": "dlv_0sapa4r8m0002",
        "newest_attempt": _ATTEMPT, "changes_before": [], "steps": _STEPS, "next_step": "fix",
    },
    "FailingEndpointView": _FAILING,
    "IncidentStepView": _STEPS[0],
}  # fmt: skip
