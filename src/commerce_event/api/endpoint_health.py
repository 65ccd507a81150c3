"""The health of an endpoint: send a test event, and read statistics."""

import math
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from commerce_event.api.endpoints import find_endpoint
from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.paging import LIMIT_DEFAULT, Limit
from commerce_event.api.parameters import unknown_type
from commerce_event.api.response_models import AttemptView, attempt_view, shown_time
from commerce_event.contract.catalogue import EVENT_TYPES, EventType
from commerce_event.core import ids
from commerce_event.core.delivery import Outcome
from commerce_event.core.model import Attempt, Endpoint, Scope
from commerce_event.core.problems import Problem, invalid
from commerce_event.store.model import Claimed, DeliveryCounts

_RECENT_MAX: Final = 500  # attempts that ratio and latencies are computed from


class EndpointTestRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The event type to send; by default the first one that the endpoint accepts."""

    type: Annotated[str, Meta(max_length=100)] | None = None


class EndpointTestResult(msgspec.Struct, frozen=True, kw_only=True):
    """The request as it was sent (static header values masked), and the answer. Nothing is stored."""

    delivered: bool
    url: str
    request_headers: list[tuple[str, str]]
    request_body: str
    attempt: AttemptView


class RecentAttemptsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many."""

    limit: Limit = LIMIT_DEFAULT


class RecentAttemptsView(msgspec.Struct, frozen=True, kw_only=True):
    """The last attempts of an endpoint's newest finished deliveries."""

    items: list[AttemptView]


class StatsView(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of an endpoint. Success and latency are those of the newest finished deliveries."""

    endpoint_id: str
    matched: int
    delivered: int
    dead: int
    cancelled: int
    pending: int
    oldest_due_at: str | None
    in_flight: int
    circuit: str
    consecutive_failures: int
    paused_for_s: float | None
    next_try_in_s: float | None
    recent: int
    success_ratio: float | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None


async def send_test_event(call: Call) -> Reply:
    endpoint = find_endpoint(call)
    if call.services.settings.hold_deliveries:
        raise Problem(409, "This server holds all deliveries, including tests; start it without --hold-deliveries.")
    wanted: EndpointTestRequest = call.body
    event_type = _type(endpoint, wanted.type)
    claimed = _example(call, endpoint, event_type)
    preview = call.services.sender.request_preview(endpoint, claimed)
    outcome = await call.services.sender.send(endpoint, claimed)
    return Reply(
        EndpointTestResult(
            delivered=outcome.delivered,
            url=endpoint.url,
            request_headers=preview,
            request_body=claimed.body.decode(),
            attempt=attempt_view(_attempt(outcome)),
        )
    )


async def endpoint_stats(call: Call) -> Reply:
    endpoint = find_endpoint(call)
    services = call.services
    all_counts = await services.store.history.delivery_counts(Scope.of(endpoint.client_id))
    counts = next((each for each in all_counts if each.endpoint_id == endpoint.id), _no_counts(endpoint))
    recent = await services.store.history.recent_attempts(endpoint.id, _RECENT_MAX)
    took = sorted(attempt.duration_ms for attempt in recent if attempt.status is not None)
    succeeded = sum(attempt.status is not None and 200 <= attempt.status <= 299 for attempt in recent)
    health = services.dispatcher.health(endpoint.id)
    return Reply(
        StatsView(
            endpoint_id=ids.encode("end", endpoint.id),
            matched=counts.matched,
            delivered=counts.delivered,
            dead=counts.dead,
            cancelled=counts.cancelled,
            pending=counts.pending,
            oldest_due_at=shown_time(counts.oldest_due_ms),
            in_flight=health.in_flight,
            circuit=health.circuit,
            consecutive_failures=health.consecutive_failures,
            paused_for_s=health.paused_for_s,
            next_try_in_s=health.next_try_in_s,
            recent=len(recent),
            success_ratio=round(succeeded / len(recent), 4) if recent else None,
            latency_p50_ms=nearest_rank(took, 0.50),
            latency_p95_ms=nearest_rank(took, 0.95),
            latency_p99_ms=nearest_rank(took, 0.99),
        )
    )


async def recent_attempts(call: Call) -> Reply:
    endpoint = find_endpoint(call)
    found = await call.services.store.history.recent_attempts(endpoint.id, call.query.limit)
    return Reply(RecentAttemptsView(items=[attempt_view(each) for each in found]))


def _type(endpoint: Endpoint, name: str | None) -> EventType:
    if name is not None:
        if name not in EVENT_TYPES:
            raise invalid("/type", unknown_type(name, EVENT_TYPES, "name one"))
        return EVENT_TYPES[name]
    names = set(endpoint.event_types)
    return next(each for each in EVENT_TYPES.values() if names & {"*", each.name, each.category})


def _example(call: Call, endpoint: Endpoint, event_type: EventType) -> Claimed:
    """Return an attempt that sends the type's example with the endpoint's ClientId."""
    now_ms = call.now_ms
    data = dict(event_type.example) | {"ClientId": endpoint.client_id}
    if endpoint.application_id is not None and "ApplicationId" in data:
        data["ApplicationId"] = endpoint.application_id
    if not endpoint.secrets:
        raise Problem(409, "This endpoint has no secret; rotate it first.")
    return Claimed(
        delivery_id=call.services.ids.next(now_ms),
        endpoint_id=endpoint.id,
        number=1,
        failure_count=0,
        run_id=0,
        lease_until_ms=now_ms,
        replay_id=None,
        event_id=call.services.ids.next(now_ms),
        client_id=endpoint.client_id,
        sequence=0,
        type=event_type.name,
        traceparent=None,
        body=msgspec.json.encode(data),
    )


def _attempt(outcome: Outcome) -> Attempt:
    return Attempt(
        number=1,
        started_ms=outcome.started_ms,
        duration_ms=outcome.duration_ms,
        status=outcome.status,
        error=outcome.error,
        response_headers=outcome.response_headers,
        response_body=outcome.response_body,
    )


def _no_counts(endpoint: Endpoint) -> DeliveryCounts:
    return DeliveryCounts(
        endpoint_id=endpoint.id, client_id=endpoint.client_id, matched=0, delivered=0, dead=0, cancelled=0, pending=0,
        oldest_due_ms=None,
    )  # fmt: skip


def nearest_rank(ordered: list[float], share: float) -> float | None:
    """Return the nearest-rank percentile of sorted values; None without values."""
    return round(ordered[max(0, math.ceil(len(ordered) * share) - 1)], 3) if ordered else None


_TAG = "Endpoints"
OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/endpoints/{id}/test",
        name="testEndpoint",
        summary="Send a test event now",
        tag=_TAG,
        needs="manage",
        run=send_test_event,
        body=EndpointTestRequest,
        body_required=False,
        answers={200: EndpointTestResult},
        problems=(404, 409, 415, 422),
        description="Sends one request with the type's example, stores nothing, and returns request and answer.",
    ),
    Operation(
        method="GET",
        path="/v1/endpoints/{id}/stats",
        name="endpointStats",
        summary="Read statistics of an endpoint",
        tag=_TAG,
        needs="read",
        run=endpoint_stats,
        answers={200: StatsView},
        problems=(404,),
        description="Its counts since it was created, its recent answers, and its current state on this node.",
    ),
    Operation(
        method="GET",
        path="/v1/endpoints/{id}/recent-attempts",
        name="listRecentAttempts",
        summary="List an endpoint's newest results",
        tag=_TAG,
        needs="read",
        run=recent_attempts,
        query=RecentAttemptsQuery,
        answers={200: RecentAttemptsView},
        problems=(404, 422),
        description="The last attempt of each of its newest finished deliveries, newest first.",
    ),
)
