"""Explain for each endpoint why an event was sent or not, and why a due delivery is held back."""

from typing import Any

import msgspec

from commerce_event.api.events import find_event
from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.response_models import DeliveryView, delivery_view
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core import ids
from commerce_event.core.clock import rfc3339
from commerce_event.core.model import Attempt, Delivery, Endpoint, Event, Scope
from commerce_event.core.routing import explain
from commerce_event.store.model import DeliveryQuery, Page

_DELIVERIES_MAX = 1_000  # of one event


class RuleView(msgspec.Struct, frozen=True):
    """A rule, and whether it let the event pass."""

    name: str
    passed: bool
    wanted: Any
    found: Any


class ReasonView(msgspec.Struct, frozen=True, kw_only=True):
    """Why the event was sent to an endpoint or not, and what happened to it there."""

    endpoint_id: str
    url: str
    matched: bool
    verdict: str
    held: str | None  # why a due delivery is not sent yet
    rules: list[RuleView]
    deliveries: list[DeliveryView]
    last_status: int | None  # of the newest delivery's last attempt
    last_error: str | None


class ExplanationView(msgspec.Struct, frozen=True, kw_only=True):
    """All endpoints of the client, as they were when the event was accepted."""

    event_id: str
    client_id: int
    type: str
    accepted_at: str
    config_version: int
    endpoints: list[ReasonView]


class _Sent(msgspec.Struct, frozen=True):
    """The deliveries of an event to one endpoint."""

    deliveries: list[Delivery] = []
    last: Attempt | None = None
    held: str | None = None


async def explain_event(call: Call) -> Reply:
    event = await find_event(call)
    registry = call.services.registry
    sent = await _sent(call, event)
    then = await registry.endpoints_at(event.client_id, event.config_version)
    known = {endpoint.id for endpoint in then}
    reasons = [
        _reason(endpoint, event, sent.get(endpoint.id, _Sent())) for endpoint in then if endpoint.deleted_ms is None
    ]
    reasons += [
        _created_later(endpoint, sent.get(endpoint.id, _Sent()))
        for endpoint in registry.endpoints(Scope.of(event.client_id))
        if endpoint.id not in known
    ]
    return Reply(
        ExplanationView(
            event_id=ids.encode("evt", event.id),
            client_id=event.client_id,
            type=event.type,
            accepted_at=rfc3339(event.accepted_ms),
            config_version=event.config_version,
            endpoints=reasons,
        )
    )


async def _sent(call: Call, event: Event) -> dict[int, _Sent]:
    store = call.services.store
    by_endpoint: dict[int, list[Delivery]] = {}
    wanted = DeliveryQuery(scope=call.scope, event_id=event.id)
    for delivery in await store.history.deliveries(wanted, Page(_DELIVERIES_MAX)):
        by_endpoint.setdefault(delivery.endpoint_id, []).append(delivery)
    sent = {}
    for endpoint_id, deliveries in by_endpoint.items():
        newest = deliveries[0]
        attempts = await store.history.attempts(newest.id) if newest.attempt_count else []
        sent[endpoint_id] = _Sent(deliveries, attempts[-1] if attempts else None, _held(call, newest))
    return sent


def _held(call: Call, delivery: Delivery) -> str | None:
    """Return why a due delivery is not sent yet, as the end of a sentence; None when it is not due."""
    now_ms = call.services.clock.now_ms()
    if delivery.state != "pending" or delivery.leased or delivery.due_ms is None or delivery.due_ms > now_ms:
        return None
    endpoint = call.services.registry.endpoint(delivery.endpoint_id)
    if endpoint is None or not endpoint.live:
        return "the endpoint is disabled"
    if call.services.settings.hold_deliveries:
        return "this server holds all deliveries"
    health = call.services.dispatcher.health(endpoint.id)
    if health.circuit != "closed":
        return f"the endpoint failed {health.consecutive_failures} times in a row and gets one attempt at a time"
    if health.paused_for_s is not None:
        return f"the endpoint asked for a pause of another {health.paused_for_s:.0f} s"
    return "other deliveries of this endpoint are before it"


def _reason(endpoint: Endpoint, event: Event, sent: _Sent) -> ReasonView:
    data = msgspec.json.decode(event.body)
    verdict = explain(endpoint, event.client_id, EVENT_TYPES[event.type], event.application_id, data)
    failed = [rule.name for rule in verdict.rules if not rule.passed]
    return _view(
        endpoint,
        sent,
        matched=verdict.matched,
        verdict=_outcome(sent) if verdict.matched else f"not sent: {', '.join(failed)} did not match",
        rules=[RuleView(rule.name, rule.passed, rule.wanted, rule.found) for rule in verdict.rules],
    )


def _created_later(endpoint: Endpoint, sent: _Sent) -> ReasonView:
    return _view(
        endpoint,
        sent,
        matched=False,
        verdict=_outcome(sent) if sent.deliveries else "not sent: the endpoint was created after this event",
        rules=[RuleView("existed", False, True, False)],
    )


def _view(endpoint: Endpoint, sent: _Sent, *, matched: bool, verdict: str, rules: list[RuleView]) -> ReasonView:
    return ReasonView(
        endpoint_id=ids.encode("end", endpoint.id),
        url=endpoint.url,
        matched=matched,
        verdict=verdict,
        held=sent.held,
        rules=rules,
        deliveries=[delivery_view(delivery) for delivery in sent.deliveries],
        last_status=None if sent.last is None else sent.last.status,
        last_error=None if sent.last is None else sent.last.error,
    )


def _outcome(sent: _Sent) -> str:
    if not sent.deliveries:
        return "matched, but its delivery is missing"
    newest = sent.deliveries[0]
    attempts = f"{newest.attempt_count} attempt{'s' if newest.attempt_count != 1 else ''}"
    if newest.state == "pending":
        return f"pending after {attempts}: {_next(newest, sent.held)}"
    return f"{newest.state} after {attempts}" + (f": {newest.reason}" if newest.reason else "")


def _next(delivery: Delivery, held: str | None) -> str:
    if delivery.leased:
        return "being sent now"
    if delivery.due_ms is None:
        return "waits for an earlier delivery"
    if held is not None:
        return f"due since {rfc3339(delivery.due_ms)}; {held}"
    return f"next try {rfc3339(delivery.due_ms)}"


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/events/{id}/explain",
        name="explainEvent",
        summary="Explain why an event was sent or not",
        tag="Events",
        needs="read",
        run=explain_event,
        answers={200: ExplanationView},
        problems=(404,),
        description="For each endpoint, as it was when the event was accepted: its rules and the outcome.",
    ),
)
