"""Statistics: counts, health and recent attempts of one endpoint, and of every endpoint in one call."""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from commerce_event.api.activity import HOUR_S, percentile_ms
from commerce_event.api.endpoints import find_endpoint
from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.paging import LIMIT_DEFAULT, Limit
from commerce_event.api.parameters import Int32, scope_for
from commerce_event.api.response_models import (
    AttemptView,
    DeliveryTotals,
    EndpointSummary,
    attempt_view,
    delivery_totals,
    endpoint_summary,
    shown_time,
)
from commerce_event.core import ids
from commerce_event.core.clock import rfc3339
from commerce_event.core.health import Health, LastHour, health_of
from commerce_event.core.model import Endpoint, Scope
from commerce_event.core.search_words import fold
from commerce_event.store.model import Activity, DeliveryCounts, EndpointHealth

_STEP_S = 60
_RECENT_MAX: Final = 500  # attempts that ratio and latencies are computed from


class EndpointStatsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which endpoints."""

    client_id: Int32 | None = None
    q: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    last_hour: bool = True


class LastHourView(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts of the last hour."""

    delivered: int
    failed: int
    latency_p95_ms: float | None


class EndpointState(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint's deliveries since it was made, its health as stored by all nodes, and how this node treats it."""

    matched: int
    delivered: int
    dead: int
    cancelled: int
    pending: int
    oldest_due_at: str | None
    health: Health
    state_since: str
    failing_since: str | None
    last_success_at: str | None
    cause: str | None
    consecutive_failures: int
    in_flight: int
    circuit: str
    paused_for_s: float | None
    next_try_in_s: float | None
    tries_every_s: float | None


class EndpointStatsItem(EndpointState, frozen=True, kw_only=True):
    """An endpoint, its deliveries since it was made, its health, and how this node treats it now."""

    endpoint: EndpointSummary
    last_hour: LastHourView | None


class EndpointStatsView(msgspec.Struct, frozen=True, kw_only=True):
    """Every endpoint in reach, newest first, and the totals."""

    items: list[EndpointStatsItem]
    totals: DeliveryTotals


class RecentAttemptsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many."""

    limit: Limit = LIMIT_DEFAULT


class RecentAttemptsView(msgspec.Struct, frozen=True, kw_only=True):
    """The last attempts of an endpoint's newest finished deliveries."""

    items: list[AttemptView]


class StatsView(EndpointState, frozen=True, kw_only=True):
    """Statistics of an endpoint. Success and latency are those of the newest finished deliveries."""

    endpoint_id: str
    recent: int
    success_ratio: float | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None


async def list_endpoint_stats(call: Call) -> Reply:
    query: EndpointStatsQuery = call.query
    scope = scope_for(call, query.client_id)
    history = call.services.store.history
    counts = await history.delivery_counts(scope)
    by_endpoint = {each.endpoint_id: each for each in counts}
    health = {each.endpoint_id: each for each in await history.endpoint_health(scope)}
    since_ms = call.now_ms - HOUR_S * 1000
    found = await call.services.store.activity.by_endpoint(scope, step_s=_STEP_S, since_ms=since_ms)
    last_hours = {each.endpoint_id: _last_hour([each]) for each in found}
    text = fold(query.q or "")
    items = []
    for endpoint in reversed(call.services.registry.endpoints(scope)):
        named = (endpoint.url, endpoint.description, ids.encode("end", endpoint.id))
        summary = endpoint_summary(endpoint)
        if summary is not None and (not text or any(text in fold(each) for each in named)):
            own_counts = by_endpoint.get(endpoint.id) or _no_counts(endpoint)
            last_hour = last_hours.get(endpoint.id)
            item = EndpointStatsItem(
                endpoint=summary,
                **_state(call, endpoint, own_counts, health.get(endpoint.id), last_hour),
                last_hour=_last_hour_view(last_hour) if query.last_hour else None,
            )
            items.append(item)
    return Reply(
        EndpointStatsView(
            items=items,
            totals=delivery_totals(counts),
        )
    )


def _last_hour(found: Sequence[Activity]) -> LastHour | None:
    """Return the attempts of one endpoint; None when there were none."""
    if not found:
        return None
    return LastHour(
        delivered=sum(each.delivered for each in found),
        failed=sum(each.failed for each in found),
        latency_p95_ms=percentile_ms(
            [sum(column) for column in zip(*(each.latency for each in found), strict=True)], 0.95
        ),
    )


def _last_hour_view(last_hour: LastHour | None) -> LastHourView | None:
    return None if last_hour is None else LastHourView(**msgspec.structs.asdict(last_hour))


def _state(
    call: Call, endpoint: Endpoint, counts: DeliveryCounts, health: EndpointHealth | None, last_hour: LastHour | None
) -> dict[str, Any]:
    """Return the fields of EndpointState."""
    default_s = call.services.settings.timeout_s
    timeout_s = default_s if endpoint.timeout_s is None else endpoint.timeout_s
    failures = 0 if health is None else health.failures
    treatment = call.services.dispatcher.treatment(endpoint.id)
    return {
        "matched": counts.matched, "delivered": counts.delivered, "dead": counts.dead, "cancelled": counts.cancelled,
        "pending": counts.pending, "oldest_due_at": shown_time(counts.oldest_due_ms),
        "health": health_of(endpoint, failures=failures, last_hour=last_hour, timeout_s=timeout_s),
        "state_since": rfc3339(endpoint.state_since_ms),
        "failing_since": None if health is None else shown_time(health.failing_since_ms),
        "last_success_at": None if health is None else shown_time(health.last_success_ms),
        "cause": None if health is None or not failures else health.last_cause,
        "consecutive_failures": failures, "in_flight": treatment.in_flight, "circuit": treatment.circuit,
        "paused_for_s": treatment.paused_for_s, "next_try_in_s": treatment.next_try_in_s,
        "tries_every_s": treatment.tries_every_s,
    }  # fmt: skip


async def endpoint_stats(call: Call) -> Reply:
    endpoint = find_endpoint(call)
    services = call.services
    all_counts = await services.store.history.delivery_counts(Scope.of(endpoint.client_id))
    counts = next((each for each in all_counts if each.endpoint_id == endpoint.id), _no_counts(endpoint))
    all_health = await services.store.history.endpoint_health(Scope.of(endpoint.client_id))
    health = next((each for each in all_health if each.endpoint_id == endpoint.id), None)
    last_hour = await services.store.activity.by_step(
        Scope.of(endpoint.client_id),
        step_s=_STEP_S,
        since_ms=call.now_ms - HOUR_S * 1000,
        endpoint_id=endpoint.id,
    )
    recent = await services.store.history.recent_attempts(endpoint.id, _RECENT_MAX)
    took = sorted(attempt.duration_ms for attempt in recent if attempt.status is not None)
    succeeded = sum(attempt.status is not None and 200 <= attempt.status <= 299 for attempt in recent)
    return Reply(
        StatsView(
            endpoint_id=ids.encode("end", endpoint.id),
            **_state(call, endpoint, counts, health, _last_hour(last_hour)),
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
    return Reply(RecentAttemptsView(items=[attempt_view(each, endpoint) for each in found]))


def _no_counts(endpoint: Endpoint) -> DeliveryCounts:
    return DeliveryCounts(
        endpoint_id=endpoint.id, client_id=endpoint.client_id, matched=0, delivered=0, dead=0, cancelled=0, pending=0,
        oldest_due_ms=None,
    )  # fmt: skip


def nearest_rank(ordered: list[float], share: float) -> float | None:
    """Return the nearest-rank percentile of sorted values; None without values."""
    return round(ordered[max(0, math.ceil(len(ordered) * share) - 1)], 3) if ordered else None


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/endpoint-stats",
        name="listEndpointStats",
        summary="List counts and health of all endpoints",
        tag="Endpoints",
        needs="read",
        run=list_endpoint_stats,
        query=EndpointStatsQuery,
        answers={200: EndpointStatsView},
        problems=(422,),
        description=(
            "All endpoints in one answer, newest first, without deleted ones. Counts and health are the same on every "
            "node; `in_flight`, `circuit` and pauses are those of this node."
        ),
    ),
    Operation(
        method="GET",
        path="/v1/endpoints/{id}/stats",
        name="endpointStats",
        summary="Read statistics of an endpoint",
        tag="Endpoints",
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
        tag="Endpoints",
        needs="read",
        run=recent_attempts,
        query=RecentAttemptsQuery,
        answers={200: RecentAttemptsView},
        problems=(404, 422),
        description="The last attempt of each of its newest finished deliveries, newest first.",
    ),
)
