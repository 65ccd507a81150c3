"""What needs attention on the overview: incidents, and endpoints and change sources with something else wrong."""

from collections.abc import Collection
from typing import Final

import msgspec

from commerce_event.admin.number_format import duration
from commerce_event.admin.screen_context import ScreenContext
from commerce_event.admin.screens.incidents import IncidentLine, incident_line
from commerce_event.admin.source_condition import SourceCondition, source_condition
from commerce_event.api.endpoint_stats import EndpointStatsItem
from commerce_event.api.incidents import IncidentsView
from commerce_event.api.paging import LIMIT_MAX
from commerce_event.core.clock import parse_rfc3339

SHOWN_MAX: Final = 8
SOURCES_MAX: Final = 1_000  # change sources that are checked, those changed last
_LATE_MS: Final = 60_000  # a delivery that has been due for longer raises an alert


class Alert(msgspec.Struct, frozen=True):
    """One thing that needs attention; the highest ``weight`` comes first."""

    weight: int
    tone: str
    label: str
    text: str


class EndpointAlerts(msgspec.Struct, frozen=True):
    """An endpoint with its alerts, the most severe first. ``error`` is its last error, empty for none."""

    id: str
    name: str
    url: str
    alerts: list[Alert]
    dead: int
    error: str


class SourceAlert(msgspec.Struct, frozen=True):
    """A change source whose reader needs attention. ``message`` is from the last report of the reader; empty: none."""

    name: str
    condition: SourceCondition
    message: str


class Incidents(msgspec.Struct, frozen=True):
    """The open incidents, a line for each; ``endpoints`` are the ids of all endpoints in them."""

    lines: list[IncidentLine]
    more: int
    endpoints: frozenset[str]


async def open_incidents(context: ScreenContext) -> Incidents:
    """Return the open incidents, those that began first, and how many are not shown."""
    found: IncidentsView = await context.call("listIncidents")
    return Incidents(
        [incident_line(each, context.now_ms) for each in found.items[:SHOWN_MAX]],
        len(found.items[SHOWN_MAX:]),
        frozenset(one.endpoint.id for each in found.items for one in each.endpoints),
    )


async def source_alerts(context: ScreenContext) -> tuple[list[SourceAlert], int]:
    """Return the change sources whose readers need attention, and how many more there are, among SOURCES_MAX."""
    found: list[SourceAlert] = []
    cursor: str | None = None
    for _ in range(SOURCES_MAX // LIMIT_MAX):
        page = await context.call("listChangeSources", query={"limit": LIMIT_MAX, "cursor": cursor})
        for source in page.items:
            condition = source_condition(source.name, source.state, context.now_ms)
            if condition.needs_attention:
                message = "" if source.state is None else source.state.message or ""
                found.append(SourceAlert(source.name, condition, message))
        cursor = page.next_cursor
        if cursor is None:
            break
    return found[:SHOWN_MAX], len(found[SHOWN_MAX:])


async def endpoint_alerts(
    context: ScreenContext, stats: list[EndpointStatsItem], in_incident: Collection[str]
) -> tuple[list[EndpointAlerts], int]:
    """Return the endpoints with the most severe alerts, and how many more have alerts; without those in incidents."""
    found = []
    for each in reversed(stats):  # of two alike the older endpoint comes first
        alerts = [] if each.endpoint.id in in_incident else _alerts(each, context.now_ms)
        if alerts:
            found.append((each, sorted(alerts, key=lambda alert: -alert.weight)))
    found.sort(key=lambda pair: -pair[1][0].weight)
    shown = [
        EndpointAlerts(
            id=each.endpoint.id,
            name=each.endpoint.description or each.endpoint.url,
            url=each.endpoint.url if each.endpoint.description else "",
            alerts=alerts,
            dead=each.dead,
            error=await _last_error(context, each.endpoint.id),
        )
        for each, alerts in found[:SHOWN_MAX]
    ]
    return shown, len(found) - len(shown)


async def _last_error(context: ScreenContext, endpoint_id: str) -> str:
    """Return the last error in words, such as ``HTTP 503: the receiver is not available now``."""
    recent = await context.call("listRecentAttempts", path={"id": endpoint_id}, query={"limit": 1})
    for attempt in recent.items:
        if attempt.cause is not None:
            return attempt.cause if attempt.status is None else f"HTTP {attempt.status}: {attempt.cause}"
    return ""


def _alerts(stats: EndpointStatsItem, now_ms: int) -> list[Alert]:
    endpoint, found = stats.endpoint, []
    if endpoint.disabled_reason == "gone" and not endpoint.enabled:
        found.append(Alert(1_000_000, "bad", "switched off", "The receiver answered 410 Gone, so it was switched off."))
    if stats.dead:
        text = f"{stats.dead:,} dead letter{'s' if stats.dead > 1 else ''}"
        found.append(Alert(min(800_000, stats.dead), "bad", "dead letters", text))
    if stats.oldest_due_at is not None and stats.health not in {"off", "paused"}:
        late_ms = now_ms - parse_rfc3339(stats.oldest_due_at)
        if late_ms > _LATE_MS:
            text = f"{stats.pending:,} pending; the oldest has been due for {duration(late_ms / 1000)}"
            found.append(Alert(700_000, "wait", "late", text))
    if stats.health in {"off", "paused"} and endpoint.disabled_reason is None and stats.pending:
        state = "switched off" if stats.health == "off" else "paused"
        found.append(Alert(10, "wait", "held", f"It is {state} and holds {stats.pending:,} deliveries."))
    return found
