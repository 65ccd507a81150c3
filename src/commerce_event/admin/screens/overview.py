"""The overview: what flows, what waits, and what needs a person first."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from starlette.responses import Response

from commerce_event.admin.alerts import troubled
from commerce_event.admin.page import Page
from commerce_event.admin.plots import Plot, Series, columns, lines
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core.model import Endpoint
from commerce_event.store.model import DeliveryCounts
from commerce_event.web.samples import publish_command

_ACCOUNT: Final = ("matched", "delivered", "dead", "cancelled", "pending")
_STEPS: Final = {60: "a minute", 900: "15 minutes", 7_200: "2 hours"}
_TONES: Final = {"p50": "", "p95": "wait", "p99": "bad"}


class Chart(msgspec.Struct, frozen=True):
    """A plot in its card: ``unit`` is said once, in the head; ``legend`` names the lines when there are several."""

    title: str
    unit: str
    plot: Plot
    legend: tuple[tuple[str, str], ...] = ()


async def overview(page: Page) -> Response:
    span = page.query.get("span", "hour")
    activity = await page.call("readActivity", query={"span": span})
    books = await page.services.store.history.delivery_counts(page.session.key.scope)
    endpoints = {endpoint.id: endpoint for endpoint in page.services.registry.endpoints(page.session.key.scope)}
    accounts = page.services.maintenance.counts.report
    book = {name: sum(getattr(each, name) for each in books) for name in _ACCOUNT}
    concerns, more = await troubled(page, books, endpoints)
    oldest_s = _oldest_s(books, endpoints, page.services.clock.now_ms())
    charts = _charts(activity, (book["pending"], book["dead"], oldest_s or 0.0))
    return page.show(
        "overview.html",
        span=span,
        activity=activity,
        rate=_rate(activity),
        book=book,
        dead_count=book["dead"],
        oldest_s=oldest_s,
        endpoints=len(endpoints),
        held=page.services.settings.hold_deliveries,
        balanced=accounts is None or accounts.balanced,
        concerns=concerns,
        more=more,
        charts=charts,
        quiet=all(chart.plot.empty for chart in charts),
        publish=_publish(page, endpoints),
    )


def _publish(page: Page, endpoints: dict[int, Endpoint]) -> str:
    """Return a command that publishes an event of the newest endpoint's client."""
    example = dict(EVENT_TYPES["OrderConfirmedEvent"].example)
    if endpoints:
        example["ClientId"] = endpoints[max(endpoints)].client_id
    return publish_command(page.origin, "OrderConfirmedEvent", msgspec.json.encode(example))


def _charts(activity: Any, now: tuple[int, int, float]) -> list[Chart]:
    """``now`` is what waits, is dead, and how long the oldest has been due: counted at the latest moment there is."""
    starts = [step.start for step in activity.items]
    every = f"in {_STEPS.get(activity.step_s, f'{activity.step_s} s')}"

    def values(of: Callable[[Any], float | None]) -> list[float | None]:
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
    waiting = [Series("waiting", "", levels[0])]
    dead = [Series("dead letters", "bad", levels[1])]
    age = [Series("oldest due for", "wait", levels[2])]
    return [
        Chart("Events accepted", every, columns("Events accepted", starts, accepted)),
        Chart("Attempts", every, columns("Attempts by result", starts, attempts), _legend(attempts)),
        Chart("Attempts that succeed", "%", lines("Attempts that succeed", starts, ratio, " %", top=100)),
        Chart("Time to answer", "ms", lines("Time to answer", starts, latency, " ms"), _legend(latency)),
        Chart("Waiting", "the most at once", lines("Deliveries waiting", starts, waiting)),
        Chart("Dead letters", "in all", lines("Dead letters", starts, dead)),
        Chart("Age of the oldest", "seconds due", columns("Age of the oldest", starts, age, " s")),
    ]


def _legend(series: list[Series]) -> tuple[tuple[str, str], ...]:
    return tuple((each.tone, each.name) for each in series)


def _rate(activity: Any) -> float:
    """Return events a second over the newest two steps, of which the last has only begun."""
    newest = activity.items[-2:]
    return float(sum(step.accepted for step in newest) / (activity.step_s * max(1, len(newest))))


def _oldest_s(books: list[DeliveryCounts], endpoints: dict[int, Endpoint], now_ms: int) -> float | None:
    """Return how long the oldest delivery that could be sent has been due."""
    due = [
        book.oldest_due_ms
        for book in books
        if book.oldest_due_ms is not None and book.endpoint_id in endpoints and endpoints[book.endpoint_id].live
    ]
    return max(0.0, (now_ms - min(due)) / 1000) if due else None
