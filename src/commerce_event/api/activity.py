"""Recent activity in steps of equal width, for charts."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.parameters import Int32, read_id, scope_for
from commerce_event.core.clock import rfc3339
from commerce_event.store.model import LATENCY_BOUNDS_MS, Activity

HOUR_S: Final = 3_600
Span = Literal["hour", "day", "week"]
# span: its length, the width of a step, the width of the stored counts that a step adds up (all in seconds)
_SPANS: Final[dict[Span, tuple[int, int, int]]] = {
    "hour": (HOUR_S, 60, 60),
    "day": (86_400, 900, 60),
    "week": (7 * 86_400, 7_200, 3_600),
}


class ActivityQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters of the activity."""

    span: Span = "hour"
    client_id: Int32 | None = None
    endpoint_id: Annotated[str, Meta(max_length=40)] | None = None


class StepView(msgspec.Struct, frozen=True, kw_only=True):
    """The activity of one step. Latencies are those of answered attempts, estimated from a histogram."""

    start: str
    accepted: int
    delivered: int
    failed: int
    dead: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    pending: int  # this and the next two: the largest value during the step
    dead_letters: int
    oldest_due_s: float


class ActivityView(msgspec.Struct, frozen=True, kw_only=True):
    """Counts in steps of equal width, oldest first, and their totals."""

    step_s: int
    accepted: int
    delivered: int
    failed: int
    dead: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    items: list[StepView]


async def read_activity(call: Call) -> Reply:
    query: ActivityQuery = call.query
    scope = scope_for(call, query.client_id)
    endpoint_id = read_id("end", query.endpoint_id, "?endpoint_id")
    length_s, step_s, counted_s = _SPANS[query.span]
    step_ms = step_s * 1000
    first_ms = (call.now_ms // step_ms + 1) * step_ms - length_s * 1000
    found = await call.services.store.activity.by_step(
        scope, step_s=counted_s, since_ms=first_ms, endpoint_id=endpoint_id
    )
    steps: dict[int, list[Activity]] = {first_ms + number * step_ms: [] for number in range(length_s // step_s)}
    for each in found:
        steps.get(each.start_ms - each.start_ms % step_ms, []).append(each)
    return Reply(_view(step_s, steps, found))


def _view(step_s: int, steps: dict[int, list[Activity]], found: Sequence[Activity]) -> ActivityView:
    latency = _sum(each.latency for each in found)
    return ActivityView(
        step_s=step_s,
        accepted=sum(each.accepted for each in found),
        delivered=sum(each.delivered for each in found),
        failed=sum(each.failed for each in found),
        dead=sum(each.dead for each in found),
        latency_p50_ms=percentile_ms(latency, 0.50),
        latency_p95_ms=percentile_ms(latency, 0.95),
        latency_p99_ms=percentile_ms(latency, 0.99),
        items=[_step(start_ms, parts) for start_ms, parts in steps.items()],
    )


def _step(start_ms: int, parts: Sequence[Activity]) -> StepView:
    latency = _sum(part.latency for part in parts)
    return StepView(
        start=rfc3339(start_ms),
        accepted=sum(part.accepted for part in parts),
        delivered=sum(part.delivered for part in parts),
        failed=sum(part.failed for part in parts),
        dead=sum(part.dead for part in parts),
        latency_p50_ms=percentile_ms(latency, 0.50),
        latency_p95_ms=percentile_ms(latency, 0.95),
        latency_p99_ms=percentile_ms(latency, 0.99),
        pending=max((part.pending for part in parts), default=0),
        dead_letters=max((part.dead_letters for part in parts), default=0),
        oldest_due_s=max((part.oldest_ms for part in parts), default=0) / 1000,
    )


def _sum(histograms: Iterable[Sequence[int]]) -> list[int]:
    return [sum(column) for column in zip(*histograms, strict=True)]


def percentile_ms(counts: Sequence[int], share: float) -> float | None:
    """Return the latency below which this share of the attempts lies, interpolated in its bucket; None without any.

    Latencies above the last bound count as that bound.
    """
    rank = sum(counts) * share
    if rank <= 0:
        return None
    below = 0
    lower = 0.0
    for count, upper in zip(counts, LATENCY_BOUNDS_MS, strict=False):
        if below + count >= rank:
            return round(lower + (upper - lower) * (rank - below) / count, 2)
        below += count
        lower = float(upper)
    return lower


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/activity",
        name="readActivity",
        summary="Read recent activity",
        tag="Monitoring",
        needs="read",
        run=read_activity,
        query=ActivityQuery,
        answers={200: ActivityView},
        problems=(422,),
        description="Counts of the last hour, day or week in equal steps. They are a few seconds behind.",
    ),
)
