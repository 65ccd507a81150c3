"""Explain for each endpoint why an event was sent or not, and why a due delivery is held back."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from commerce_event.accept.turns import Steps
from commerce_event.api.deliveries import delivery_view, fields_of_delivery
from commerce_event.api.events import find_event
from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.response_models import (
    MASK,
    DeliveryView,
    EndpointSummary,
    attempt_view,
    endpoint_summary,
)
from commerce_event.core import ids
from commerce_event.core.causes import cause_of
from commerce_event.core.clock import rfc3339
from commerce_event.core.filters import CONDITIONS_MAX, Condition
from commerce_event.core.model import Attempt, Delivery, Endpoint, Event, Scope
from commerce_event.core.problems import Problem
from commerce_event.core.routing import Rule, explain_steps
from commerce_event.http.asgi import encode
from commerce_event.store.model import Claimed, DeliveryQuery, Page

_ANSWER_MAX = 1024 * 1024  # bytes of reasons, after which no other is added
_TEXT_MAX = 200  # characters of a text that are shown
_LIST_MAX = 20  # values of a list that are shown
_DELIVERIES_MAX = 1_000  # of one event
_EXPANDED_MAX = 10  # deliveries of one endpoint, the newest; replays may have made many


class ExplainQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is answered."""

    expand: bool = False
    endpoint_id: Annotated[str, Meta(max_length=64)] | None = None


class RuleView(msgspec.Struct, frozen=True):
    """A rule, and whether it let the event pass."""

    name: str
    passed: bool
    wanted: Any
    found: Any


class RequestPreview(msgspec.Struct, frozen=True, kw_only=True):
    """The request that an attempt now would make. Values of static headers are masked."""

    url: str
    headers: list[tuple[str, str]]
    body: msgspec.Raw | UnsetType = UNSET  # when it is not the event's


class ReasonView(msgspec.Struct, frozen=True, kw_only=True):
    """Why the event was sent to an endpoint or not, and what happened to it there."""

    endpoint_id: str
    url: str
    description: str
    endpoint: EndpointSummary | None
    retries: int
    matched: bool
    verdict: str
    held: str | None  # why a due delivery is not sent yet
    rules: list[RuleView]
    deliveries: list[DeliveryView]
    last_status: int | None  # of the newest delivery's last attempt
    last_error: str | None
    cause: str | None
    request: RequestPreview | UnsetType | None = UNSET  # with ?expand=true
    body_sent: msgspec.Raw | UnsetType | None = UNSET  # with ?expand=true, when it is not the event's


class ExplanationView(msgspec.Struct, frozen=True, kw_only=True):
    """All endpoints of the client, as they were when the event was accepted."""

    event_id: str
    client_id: int
    type: str
    accepted_at: str
    config_version: int
    endpoints: list[ReasonView]
    left_out: int  # endpoints that do not fit in the answer


class _Sent(msgspec.Struct, frozen=True):
    """The deliveries of an event to one endpoint."""

    deliveries: list[Delivery] = []
    attempts: dict[int, list[Attempt]] = {}  # by delivery: of the newest one, or of all that are expanded
    endpoint_then: Endpoint | None = None  # at the last attempt of the newest delivery; now, when there was none
    held: str | None = None

    @property
    def last(self) -> Attempt | None:
        """The last attempt of the newest delivery."""
        made = self.attempts.get(self.deliveries[0].id) if self.deliveries else None
        return made[-1] if made else None


async def explain_event(call: Call) -> Reply:
    event = await find_event(call)
    registry = call.services.registry
    deliveries = await _deliveries(call, event)
    then = await registry.endpoints_at(event.client_id, event.config_version)
    known = {endpoint.id for endpoint in then}
    endpoints = [(endpoint, True) for endpoint in then if endpoint.deleted_ms is None]
    endpoints += [
        (endpoint, False) for endpoint in registry.endpoints(Scope.of(event.client_id)) if endpoint.id not in known
    ]
    if call.query.endpoint_id is not None:
        endpoints = [each for each in endpoints if ids.encode("end", each[0].id) == call.query.endpoint_id]
        if not endpoints:
            raise Problem(404, "The client of this event has no such endpoint.")
    data = msgspec.json.decode(event.body)
    reasons: dict[int, ReasonView] = {}
    size = 0
    for endpoint, existed in sorted(endpoints, key=lambda each: each[0].id not in deliveries):  # those it was sent to
        if size > _ANSWER_MAX:
            break
        sent = await _sent(call, deliveries.get(endpoint.id, []))
        if existed:
            steps = _reason_steps(call, endpoint, event, data, sent)
            reason = await call.services.intake.turns.run(call.key.owner, steps)
        else:
            reason = _created_later(call, endpoint, event, sent)
        reasons[endpoint.id] = reason
        size += len(encode(reason))
    return Reply(
        ExplanationView(
            event_id=ids.encode("evt", event.id),
            client_id=event.client_id,
            type=event.type,
            accepted_at=rfc3339(event.accepted_ms),
            config_version=event.config_version,
            endpoints=[reasons[endpoint.id] for endpoint, _ in endpoints if endpoint.id in reasons],
            left_out=len(endpoints) - len(reasons),
        )
    )


async def _deliveries(call: Call, event: Event) -> dict[int, list[Delivery]]:
    """Return the event's deliveries by endpoint, newest first."""
    by_endpoint: dict[int, list[Delivery]] = {}
    wanted = DeliveryQuery(scope=call.scope, event_id=event.id)
    for delivery in await call.services.store.history.deliveries(wanted, Page(_DELIVERIES_MAX)):
        by_endpoint.setdefault(delivery.endpoint_id, []).append(delivery)
    return by_endpoint


async def _sent(call: Call, deliveries: list[Delivery]) -> _Sent:
    if not deliveries:
        return _Sent()
    shown_max = _EXPANDED_MAX if call.query.expand else 1
    found = await call.services.store.history.deliveries_with_attempts(
        [each.id for each in deliveries[:shown_max]], call.scope
    )
    shown = [delivery for delivery, _ in found] or deliveries[:shown_max]
    attempts = {delivery.id: made for delivery, made in found if made}
    last = attempts.get(shown[0].id)
    at_ms = last[-1].started_ms if last else call.now_ms
    then = await call.services.registry.endpoint_at(shown[0].endpoint_id, at_ms) if call.query.expand else None
    return _Sent([*shown, *deliveries[shown_max:]], attempts, then, _held(call, shown[0]))


def _held(call: Call, delivery: Delivery) -> str | None:
    """Return why a due delivery is not sent yet, as the end of a sentence; None when it is not due."""
    now_ms = call.services.clock.now_ms()
    if delivery.state != "pending" or delivery.leased or delivery.due_ms is None or delivery.due_ms > now_ms:
        return None
    endpoint = call.services.registry.endpoint(delivery.endpoint_id)
    if endpoint is None or not endpoint.is_sending:
        return f"the endpoint is {'paused' if endpoint is not None and endpoint.live else 'off'}"
    if call.services.settings.hold_deliveries:
        return "this server holds all deliveries"
    treatment = call.services.dispatcher.treatment(endpoint.id)
    if treatment.circuit != "closed":
        return f"the endpoint failed {treatment.consecutive_failures} times in a row and gets one attempt at a time"
    if treatment.paused_for_s is not None:
        return f"the endpoint asked for a pause of another {treatment.paused_for_s:.0f} s"
    return "other deliveries of this endpoint are before it"


def _reason_steps(call: Call, endpoint: Endpoint, event: Event, data: Any, sent: _Sent) -> Steps[ReasonView]:
    event_type = call.services.registry.catalogue.of_event(event.type)
    verdict = yield from explain_steps(endpoint, event.client_id, event_type, event.application_id, data)
    failed = [rule.name for rule in verdict.rules if not rule.passed]
    return _view(
        call,
        endpoint,
        event,
        sent,
        matched=verdict.matched,
        verdict=_outcome(sent) if verdict.matched else f"not sent: {', '.join(failed)} did not match",
        rules=shown_rules(verdict.rules),
    )


def shown_rules(rules: Iterable[Rule]) -> list[RuleView]:
    """Return rules as an answer shows them: long texts and lists are cut."""
    return [RuleView(rule.name, rule.passed, _cut(rule.wanted), _cut(rule.found)) for rule in rules]


def _cut(value: Any) -> Any:
    """Return a value of a rule with its long texts and lists cut; everything else stays as it is."""
    if isinstance(value, str):
        return value if len(value) <= _TEXT_MAX else f"{value[:_TEXT_MAX]}… ({len(value)} characters)"
    if isinstance(value, Condition):
        return msgspec.structs.replace(value, wanted=_cut(value.wanted), found=_cut_found(value.found))
    if isinstance(value, dict):
        return {name: _cut(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        most = CONDITIONS_MAX if value and isinstance(value[0], dict | Condition) else _LIST_MAX
        rest = [f"… ({len(value)} values)"] if len(value) > most else []
        return [*(_cut(inner) for inner in value[:most]), *rest]
    return value


def _cut_found(found: Any) -> Any:
    """Return a value of the event; of an object or a list only the size, unless it is empty."""
    if isinstance(found, dict | list) and found:
        return f"… ({'an object' if isinstance(found, dict) else 'a list'} of {len(found)})"
    return _cut(found)


def _created_later(call: Call, endpoint: Endpoint, event: Event, sent: _Sent) -> ReasonView:
    return _view(
        call,
        endpoint,
        event,
        sent,
        matched=False,
        verdict=_outcome(sent) if sent.deliveries else "not sent: the endpoint was created after this event",
        rules=[RuleView("existed", False, True, False)],
    )


def _view(
    call: Call,
    endpoint: Endpoint,
    event: Event,
    sent: _Sent,
    *,
    matched: bool,
    verdict: str,
    rules: Sequence[RuleView],
) -> ReasonView:
    """Return what is said of ``endpoint``, as it stood when the event was accepted."""
    now = call.services.registry.endpoint(endpoint.id) or endpoint
    own = now.retry_schedule_s
    return ReasonView(
        endpoint_id=ids.encode("end", endpoint.id),
        url=endpoint.url,
        description=now.description,
        endpoint=endpoint_summary(now),
        retries=len(call.services.settings.retry_schedule_s if own is None else own),
        matched=matched,
        verdict=verdict,
        held=sent.held,
        rules=[*rules],
        deliveries=[_delivery(call, number, each, sent) for number, each in enumerate(sent.deliveries)],
        last_status=None if sent.last is None else sent.last.status,
        last_error=None if sent.last is None else sent.last.error,
        cause=None if sent.last is None else cause_of(sent.last, now.signing),
        request=_preview(call, now, event, sent) if call.query.expand else UNSET,
        body_sent=_body_sent(call, event, sent) if call.query.expand and sent.deliveries else UNSET,
    )


def _delivery(call: Call, number: int, delivery: Delivery, sent: _Sent) -> DeliveryView:
    if not call.query.expand or number >= _EXPANDED_MAX:
        return delivery_view(call, delivery)
    endpoint = call.services.registry.endpoint(delivery.endpoint_id)
    attempts = [attempt_view(each, endpoint) for each in sent.attempts.get(delivery.id, [])]
    return DeliveryView(**fields_of_delivery(call, delivery), attempts=attempts)


def _preview(call: Call, endpoint: Endpoint, event: Event, sent: _Sent) -> RequestPreview | None:
    """Return the request of the newest delivery; a key that may not send it gets no valid signature."""
    if not sent.deliveries or endpoint.deleted_ms is not None:
        return None
    claimed = _claimed(event, sent.deliveries[0])
    may_send = call.key.role in {"admin", "manage"}
    headers = [
        (name, value if may_send or name != "webhook-signature" else MASK)
        for name, value in call.services.sender.request_preview(endpoint, claimed)
    ]
    body = call.services.sender.body_preview(endpoint, claimed)
    return RequestPreview(url=endpoint.url, headers=headers, body=UNSET if body == event.body else msgspec.Raw(body))


def _body_sent(call: Call, event: Event, sent: _Sent) -> msgspec.Raw | UnsetType | None:
    """Return the body that the newest delivery was sent with, UNSET for the event's; None when it is not known."""
    if sent.endpoint_then is None:
        return None
    body = call.services.sender.body_preview(sent.endpoint_then, _claimed(event, sent.deliveries[0]))
    return UNSET if body == event.body else msgspec.Raw(body)


def _claimed(event: Event, delivery: Delivery) -> Claimed:
    return Claimed(
        delivery_id=delivery.id,
        endpoint_id=delivery.endpoint_id,
        number=max(1, delivery.attempt_count),
        failure_count=delivery.failure_count,
        run_id=0,
        lease_until_ms=0,
        replay_id=delivery.replay_id,
        event_id=event.id,
        client_id=event.client_id,
        sequence=event.sequence,
        type=event.type,
        traceparent=None,
        body=event.body,
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
        query=ExplainQuery,
        answers={200: ExplanationView},
        problems=(404, 422),
        description=(
            "For each endpoint, as it was when the event was accepted: its rules and the outcome. `expand=true` adds "
            f"the attempts of its {_EXPANDED_MAX} newest deliveries, the request as it would be sent now and, if it is "
            "not the event's, the body that was sent. "
            f"Texts are cut to {_TEXT_MAX} characters and lists to {_LIST_MAX} values; of an object or a list in the "
            "event only the size is shown. `left_out` counts endpoints that did not fit in the answer, those it was "
            "not sent to first; `endpoint_id` asks for one of them."
        ),
    ),
)
