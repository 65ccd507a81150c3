"""Descriptions of the fields of timelines and incidents, for the OpenAPI document."""

from typing import Final

_VERDICT: Final = "What the receivers have, in words."
_TONE: Final = "good: every receiver has all of its events; wait: some are pending or cancelled; bad: some are dead; "
_INCIDENT: Final = {
    "endpoint_id": "The endpoint that failed first, `end_…`; the incident is named after it.",
    "endpoint": "That endpoint.",
    "state": "open: the endpoint fails; ended: it answers again, or was switched off.",
    "paused": "Whether that endpoint is paused: then nothing is sent that could end the incident.",
    "since": "When the first of the failures in a row began (RFC 3339, UTC).",
    "until": "When a success ended it (RFC 3339, UTC); null: it is open, or the endpoint was switched off.",
    "cause": "Why the newest attempt that failed did, in words.",
    "last_status": "The HTTP status of the newest failure; null: no answer.",
    "last_error": "The error code of the newest failure.",
    "failures": "Failed attempts of that endpoint in a row.",
    "last_success_at": "When the endpoint last answered with 2xx (RFC 3339, UTC); null: never.",
    "last_failure_at": "When an attempt last failed (RFC 3339, UTC).",
    "pending": "Deliveries to the endpoints that wait or are being sent.",
    "dead": "Deliveries to the endpoints that were given up.",
    "oldest_pending_at": "When the oldest of the pending deliveries was created (RFC 3339, UTC); null: none waits.",
    "first_dies_at": "When the first pending delivery is given up at the earliest, if each attempt fails: computed "
    "from the 20 oldest of each endpoint and the retry schedule in force (RFC 3339, UTC); null: none waits, or the "
    "incident has ended.",
    "endpoints": "The endpoints of the incident, at most 50: those with the same host and the same cause.",
}

TIMELINE_FIELDS: Final = {
    "readTimeline.kind": "`order`, `part`, `customer` or `company`.",
    "/v1/timelines/{kind}.kind": "`order`, `part`, `customer` or `company`.",
    "readTimeline.value": "The exact value of an identifier: of an order OrderNo, ErpOrderNo, ClientOrderRef or "
    "OrderId; else PartNo, CustomerId or CompanyId.",
    "readTimeline.property": "Only what has the value in this property, such as `OrderId`.",
    "readTimeline.client_id": "The client; needed when several clients have the value.",
    "TimelineView.kind": "What the timeline is about: order, part, customer or company.",
    "TimelineView.title": "What people call it, such as `Order SO-10023`.",
    "TimelineView.client_id": "The client; null: several clients have the value, and `clients` names them.",
    "TimelineView.identifiers": "What identifies it in the events that were found.",
    "TimelineView.verdict": _VERDICT,
    "TimelineView.tone": f"{_TONE}empty: no receiver.",
    "TimelineView.in_progress": "Whether a delivery is pending.",
    "TimelineView.summary": "The whole timeline as plain text, to paste into a ticket.",
    "TimelineView.more": "Whether there are or may be older events that are left out.",
    "TimelineView.clients": "The clients that have events with the value, at most 50.",
    "TimelineView.others": "Others of the client that have the value, in another property; choose with `property`.",
    "TimelineView.receivers": "The endpoints that at least one of the events was sent to.",
    "TimelineView.not_sent_to": "Endpoints of the client that none of the events was sent to, at most 50.",
    "TimelineView.events": "The events, newest first, at most 200.",
    "IdentifierView.property": "The property of the events.",
    "IdentifierView.value": "Its value as text; whole numbers are exact.",
    "TimelineClientView.events": "Events that were found, of those that the search looked at.",
    "ReceiverView.name": "What people call the endpoint: its description, or the host of its URL.",
    "ReceiverView.endpoint": "The endpoint; null: it was deleted.",
    "ReceiverView.verdict": "What the receiver has, in words.",
    "ReceiverView.tone": f"{_TONE}of the events that were for it.",
    "ReceiverView.events": "Events that were for the receiver.",
    "ReceiverView.delivered": "Events that it has.",
    "ReceiverView.pending": "Events that wait or are being sent.",
    "ReceiverView.dead": "Events that were given up.",
    "ReceiverView.cancelled": "Events whose delivery was cancelled.",
    "ReceiverView.late": "Events that it got more than 60 s after they were accepted.",
    "TimelineEventView.deliveries": "The state of the event at each receiver that it was for.",
    "TimelineDeliveryView.latency_ms": "From the acceptance of the event until the receiver had it, in milliseconds; "
    "null: it does not have it.",
    "TimelineDeliveryView.late": "Whether that took more than 60 s.",
    "listIncidents.state": "open: endpoints that fail now; ended: the last incident of each other endpoint.",
    **{f"{view}.{name}": text for view in ("IncidentView", "IncidentDetailView") for name, text in _INCIDENT.items()},
    "IncidentsView.items": "The incidents.",
    "FailingEndpointView.endpoint": "The endpoint.",
    "FailingEndpointView.since": "When the first of its failures in a row began (RFC 3339, UTC).",
    "FailingEndpointView.failures": "Its failed attempts in a row.",
    "FailingEndpointView.pending": "Its deliveries that wait or are being sent.",
    "FailingEndpointView.dead": "Its deliveries that were given up.",
    "IncidentDetailView.retry_schedule": "The delays before each retry that are in force for the endpoint, in seconds.",
    "IncidentDetailView.timeout_s": "The timeout that is in force for the endpoint, in seconds.",
    "IncidentDetailView.oldest_delivery_id": "The oldest pending delivery, `dlv_…`; null: none waits.",
    "IncidentDetailView.newest_attempt": "The newest failed attempt that is kept, with its answer; null: none is kept.",
    "IncidentDetailView.changes_before": "Changes of the endpoint in the hour before the first failure, newest first.",
    "IncidentDetailView.steps": "The steps to the end, each done or not by what is stored.",
    "IncidentDetailView.next_step": "The first step that is not done; null: all are.",
    "IncidentStepView.name": "fix: the endpoint was changed or answers again; test: a test was sent, or it answers; "
    "send_one: it accepted a delivery; send_all: nothing is dead, and nothing that failed still waits; closed: the "
    "incident is over.",
    "IncidentStepView.done": "Whether it is done.",
    "IncidentStepView.at": "When it was done (RFC 3339, UTC); null: not done, or not known.",
}
