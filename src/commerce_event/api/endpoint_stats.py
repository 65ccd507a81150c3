"""Counts and health of every endpoint, in one call."""

from typing import Annotated

import msgspec
from msgspec import Meta

from commerce_event.api.activity import HOUR_S, percentile_ms
from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.parameters import Int32, scope_for
from commerce_event.api.response_models import (
    DeliveryTotals,
    EndpointSummary,
    delivery_totals,
    endpoint_summary,
    shown_time,
)
from commerce_event.core import ids
from commerce_event.core.model import Endpoint
from commerce_event.core.search_words import fold
from commerce_event.store.model import Activity, DeliveryCounts

_STEP_S = 60


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


class EndpointStatsItem(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint, its deliveries since it was made, and how this node treats it now."""

    endpoint: EndpointSummary
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
    last_hour: LastHourView | None


class EndpointStatsView(msgspec.Struct, frozen=True, kw_only=True):
    """Every endpoint in reach, newest first, and the totals."""

    items: list[EndpointStatsItem]
    totals: DeliveryTotals


async def list_endpoint_stats(call: Call) -> Reply:
    query: EndpointStatsQuery = call.query
    scope = scope_for(call, query.client_id)
    history = call.services.store.history
    counts = await history.delivery_counts(scope)
    by_endpoint = {each.endpoint_id: each for each in counts}
    last_hour: dict[int, Activity] = {}
    if query.last_hour:
        since_ms = call.now_ms - HOUR_S * 1000
        found = await call.services.store.activity.by_endpoint(scope, step_s=_STEP_S, since_ms=since_ms)
        last_hour = {each.endpoint_id: each for each in found}
    text = fold(query.q or "")
    items = []
    for endpoint in reversed(call.services.registry.endpoints(scope)):
        named = (endpoint.url, endpoint.description, ids.encode("end", endpoint.id))
        summary = endpoint_summary(endpoint)
        if summary is not None and (not text or any(text in fold(each) for each in named)):
            items.append(_item(call, endpoint, summary, by_endpoint.get(endpoint.id), last_hour.get(endpoint.id)))
    return Reply(
        EndpointStatsView(
            items=items,
            totals=delivery_totals(counts),
        )
    )


def _item(
    call: Call, endpoint: Endpoint, summary: EndpointSummary, counts: DeliveryCounts | None, activity: Activity | None
) -> EndpointStatsItem:
    health = call.services.dispatcher.health(endpoint.id)
    return EndpointStatsItem(
        endpoint=summary,
        matched=0 if counts is None else counts.matched,
        delivered=0 if counts is None else counts.delivered,
        dead=0 if counts is None else counts.dead,
        cancelled=0 if counts is None else counts.cancelled,
        pending=0 if counts is None else counts.pending,
        oldest_due_at=None if counts is None else shown_time(counts.oldest_due_ms),
        in_flight=health.in_flight,
        circuit=health.circuit,
        consecutive_failures=health.consecutive_failures,
        paused_for_s=health.paused_for_s,
        next_try_in_s=health.next_try_in_s,
        last_hour=None
        if activity is None
        else LastHourView(
            delivered=activity.delivered,
            failed=activity.failed,
            latency_p95_ms=percentile_ms(activity.latency, 0.95),
        ),
    )


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
        description="All endpoints in one answer, newest first, without deleted ones.",
    ),
)
