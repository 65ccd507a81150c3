"""The overview: rates, backlog, alerts and charts."""

from collections.abc import Callable
from typing import Final

import msgspec
from starlette.responses import Response

from commerce_event.admin.alerts import endpoint_alerts, open_incidents, source_alerts
from commerce_event.admin.charts import Chart, Series, column_chart, line_chart
from commerce_event.admin.number_format import duration
from commerce_event.admin.screen_context import ScreenContext
from commerce_event.api.activity import ActivityView, StepView
from commerce_event.api.endpoint_stats import EndpointStatsItem, EndpointStatsView
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core.clock import parse_rfc3339
from commerce_event.web.commands import publish_command

_STEPS: Final = {60: "per minute", 900: "per 15 minutes", 7_200: "per 2 hours"}
_IN_VIEW: Final = 3  # charts next to what needs attention
_TONES: Final = {"p50": "", "p95": "wait", "p99": "bad"}


class ChartCard(msgspec.Struct, frozen=True):
    """A chart with its heading and unit; ``legend`` names the series when there are several."""

    title: str
    unit: str
    chart: Chart
    legend: tuple[tuple[str, str], ...] = ()


async def show_overview(context: ScreenContext) -> Response:
    span = context.query.get("span", "hour")
    activity: ActivityView = await context.call("readActivity", query={"span": span})
    stats: EndpointStatsView = await context.call("listEndpointStats", query={"last_hour": False})
    books = await context.call("readBooks", query={"recounted": True, "items": False})
    node = await context.call("readNode")
    refused = await context.call("countRefusals")
    incidents = await open_incidents(context)
    alerts, more_alerts = await endpoint_alerts(context, stats.items, incidents.endpoints)
    sources, more_sources = await source_alerts(context)
    oldest_s = _oldest_s(stats.items, context.now_ms)
    cards = _chart_cards(activity, (stats.totals.pending, stats.totals.dead, oldest_s or 0.0))
    last_hour = activity if span == "hour" else await context.call("readActivity", query={"span": "hour"})
    accepted_per_s = _accepted_per_s(last_hour, context.now_ms)
    return context.render(
        "overview.html",
        span=span,
        activity=activity,
        accepted_per_s=accepted_per_s,
        none_for="" if accepted_per_s else await _none_for(context),
        totals=stats.totals,
        dead_letter_count=stats.totals.dead,
        oldest_s=oldest_s,
        endpoints=len(stats.items),
        held=node.held,
        balanced=books.balanced,
        incidents=incidents,
        alerts=alerts,
        more_alerts=more_alerts,
        sources=sources,
        more_sources=more_sources,
        refused=refused,
        cards_in_view=cards[:_IN_VIEW],
        cards=cards[_IN_VIEW:],
        quiet=all(card.chart.empty for card in cards),
        publish=_publish_command(context, stats.items),
    )


def _accepted_per_s(last_hour: ActivityView, now_ms: int) -> float:
    """Return the rate of the last minute: of the minute that has begun, and the rest from the one before."""
    *_, before, begun = last_hour.items
    elapsed = min(1.0, max(0.0, (now_ms - parse_rfc3339(begun.start)) / 60_000))
    return (begun.accepted + before.accepted * (1 - elapsed)) / 60


async def _none_for(context: ScreenContext) -> str:
    """Return how long no event was accepted; empty when none ever was."""
    newest = (await context.call("listEvents", query={"limit": 1})).items
    return duration((context.now_ms - parse_rfc3339(newest[0].accepted_at)) / 1000) if newest else ""


def _publish_command(context: ScreenContext, stats: list[EndpointStatsItem]) -> str:
    """Return a command that publishes an event of the newest endpoint's client."""
    example = dict(EVENT_TYPES["OrderConfirmedEvent"].example)
    if stats:
        example["ClientId"] = stats[0].endpoint.client_id
    return publish_command(context.origin, "OrderConfirmedEvent", msgspec.json.encode(example))


def _chart_cards(activity: ActivityView, now: tuple[int, int, float]) -> list[ChartCard]:
    """Return the charts. ``now`` is the present count of pending and dead deliveries, and the age of the oldest."""
    starts = [step.start for step in activity.items]
    per_step = _STEPS.get(activity.step_s, f"per {activity.step_s} s")

    def values(of: Callable[[StepView], float | None]) -> list[float | None]:
        return [of(step) for step in activity.items]

    accepted = [Series("accepted", "", values(lambda s: s.accepted))]
    attempts = [
        Series("delivered", "good", values(lambda s: s.delivered)),
        Series("failed", "bad", values(lambda s: s.failed)),
    ]
    shares = values(lambda s: 100 * s.delivered / (s.delivered + s.failed) if s.delivered + s.failed else None)
    ratio = [Series("succeeded", "good", shares)]
    latency = [
        Series(name, tone, [getattr(step, f"latency_{name}_ms") for step in activity.items])
        for name, tone in _TONES.items()
    ]
    levels = [values(lambda s: s.pending), values(lambda s: s.dead_letters), values(lambda s: s.oldest_due_s)]
    for level, newest in zip(levels, now, strict=True):
        level[-1] = max(level[-1] or 0, newest)
    pending = [Series("pending", "", levels[0])]
    dead = [Series("dead letters", "bad", levels[1])]
    age = [Series("oldest due for", "wait", levels[2])]
    return [
        ChartCard("Events accepted", per_step, column_chart("Events accepted", starts, accepted)),
        ChartCard("Attempts", per_step, column_chart("Attempts by result", starts, attempts), _legend(attempts)),
        ChartCard("Pending", "maximum", line_chart("Pending deliveries", starts, pending)),
        ChartCard("Success rate", "%", line_chart("Success rate", starts, ratio, " %", top=100)),
        ChartCard("Latency", "ms", line_chart("Latency", starts, latency, " ms"), _legend(latency)),
        ChartCard("Dead letters", "total", line_chart("Dead letters", starts, dead)),
        ChartCard("Age of the oldest", "s due", column_chart("Age of the oldest", starts, age, " s")),
    ]


def _legend(series: list[Series]) -> tuple[tuple[str, str], ...]:
    return tuple((each.tone, each.name) for each in series)


def _oldest_s(stats: list[EndpointStatsItem], now_ms: int) -> float | None:
    """Return how long the oldest delivery that is not held has been due; None when none is due."""
    due_ms = [
        parse_rfc3339(each.oldest_due_at)
        for each in stats
        if each.oldest_due_at and each.health not in {"off", "paused"}
    ]
    return max(0.0, (now_ms - min(due_ms)) / 1000) if due_ms else None
