"""The overview: what flows, what waits, and what needs a person first."""

from typing import Any

import msgspec
from starlette.responses import Response

from commerce_event.admin.figures import lasting
from commerce_event.admin.page import Page
from commerce_event.admin.plots import Series, columns, lines
from commerce_event.admin.screens.endpoints import FAILING_FROM
from commerce_event.core import ids
from commerce_event.core.model import Endpoint
from commerce_event.store.port import Book

_LATE_MS = 60_000  # due for longer than this is worth a look
_SHOWN_MAX = 8
_ACCOUNT = ("matched", "delivered", "dead", "cancelled", "pending")


class Concern(msgspec.Struct, frozen=True):
    """Something that a person should look at; ``weight`` sorts."""

    weight: int
    tone: str
    label: str
    text: str
    address: str
    action: str


async def overview(page: Page) -> Response:
    span = page.query.get("span", "hour")
    activity = await page.call("readActivity", query={"span": span})
    starts = [step.start for step in activity.items]
    books = await page.services.store.books(page.session.key.scope)
    endpoints = {endpoint.id: endpoint for endpoint in page.services.directory.endpoints(page.session.key.scope)}
    accounts = page.services.keeper.accounts
    return page.show(
        "overview.html",
        span=span,
        activity=activity,
        rate=_rate(activity),
        book={name: sum(getattr(each, name) for each in books) for name in _ACCOUNT},
        oldest_s=_oldest_s(books, endpoints, page.services.clock.now_ms()),
        endpoints=len(endpoints),
        held=page.services.settings.hold_deliveries,
        balanced=accounts is None or accounts.balanced,
        concerns=_concerns(page, books, endpoints),
        flow=columns(
            "Attempts by result",
            starts,
            [
                Series("delivered", "good", [step.delivered for step in activity.items]),
                Series("failed", "bad", [step.failed for step in activity.items]),
            ],
        ),
        queue=lines(
            "Deliveries waiting and dead letters",
            starts,
            [
                Series("waiting", "", [step.pending for step in activity.items]),
                Series("dead letters", "third", [step.dead_letters for step in activity.items]),
            ],
            "",
        ),
        age=columns(
            "Age of the oldest",
            starts,
            [Series("oldest due for", "wait", [s.oldest_due_s for s in activity.items])],
            " s",
        ),
        accepted=columns("Events accepted", starts, [Series("accepted", "", [s.accepted for s in activity.items])]),
        latency=lines(
            "Time to answer",
            starts,
            [
                Series("p50", "", [step.latency_p50_ms for step in activity.items]),
                Series("p95", "second", [step.latency_p95_ms for step in activity.items]),
            ],
            " ms",
        ),
    )


def _rate(activity: Any) -> float:
    """Return events a second over the newest two steps, of which the last has only begun."""
    newest = activity.items[-2:]
    return float(sum(step.accepted for step in newest) / (activity.step_s * max(1, len(newest))))


def _oldest_s(books: list[Book], endpoints: dict[int, Endpoint], now_ms: int) -> float | None:
    """Return how long the oldest delivery that could be sent has been due."""
    due = [
        book.oldest_due_ms
        for book in books
        if book.oldest_due_ms is not None and book.endpoint_id in endpoints and endpoints[book.endpoint_id].live
    ]
    return max(0.0, (now_ms - min(due)) / 1000) if due else None


def _concerns(page: Page, books: list[Book], endpoints: dict[int, Endpoint]) -> list[Concern]:
    found: list[Concern] = []
    now_ms = page.services.clock.now_ms()
    for book in books:
        endpoint = endpoints.get(book.endpoint_id)
        if endpoint is not None:
            found += _concerns_of(page, endpoint, book, now_ms)
    found.sort(key=lambda concern: -concern.weight)
    return found[:_SHOWN_MAX]


def _concerns_of(page: Page, endpoint: Endpoint, book: Book, now_ms: int) -> list[Concern]:
    name = ids.encode("end", endpoint.id)
    address = f"/admin/endpoints/{name}"
    found = []
    if endpoint.disabled_reason == "gone" and not endpoint.enabled:
        text = f"{endpoint.url} answered 410 Gone and was switched off."
        found.append(Concern(1_000_000, "bad", "switched off", text, address, "Look"))
    health = page.services.scheduler.health(endpoint.id)
    if endpoint.live and (health.circuit != "closed" or health.consecutive_failures >= FAILING_FROM):
        text = f"{endpoint.url} failed {health.consecutive_failures} times in a row; the newest answer was a failure."
        found.append(Concern(900_000, "bad", "failing", text, address, "Look"))
    if book.dead:
        text = f"{book.dead:,} dead letter{'s' if book.dead > 1 else ''} for {endpoint.url}"
        found.append(
            Concern(min(800_000, book.dead), "bad", "dead letters", text, f"/admin/dead?endpoint_id={name}", "Sort out")
        )
    late_ms = 0 if book.oldest_due_ms is None or not endpoint.live else now_ms - book.oldest_due_ms
    if late_ms > _LATE_MS:
        text = f"{book.pending:,} waiting for {endpoint.url}, the oldest due for {lasting(late_ms / 1000)}"
        found.append(Concern(700_000, "wait", "late", text, address, "Look"))
    if not endpoint.enabled and endpoint.disabled_reason is None and book.pending:
        text = f"{endpoint.url} is switched off and holds {book.pending:,} deliveries."
        found.append(Concern(10, "wait", "held", text, address, "Look"))
    return found
