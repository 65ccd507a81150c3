"""What needs a person first: endpoints in trouble, each with what is wrong and the newest error."""

from typing import Final

import msgspec

from commerce_event.admin.number_format import lasting
from commerce_event.admin.page import Page
from commerce_event.admin.screens.endpoints import FAILING_FROM
from commerce_event.core import ids
from commerce_event.core.model import Endpoint
from commerce_event.store.model import DeliveryCounts

SHOWN_MAX: Final = 8
_LATE_MS: Final = 60_000  # due for longer than this is worth a look


class Concern(msgspec.Struct, frozen=True):
    """Something that a person should look at; ``weight`` sorts."""

    weight: int
    tone: str
    label: str
    text: str


class Troubled(msgspec.Struct, frozen=True):
    """An endpoint with its concerns, the gravest first. ``error`` is what it answered last, if that was bad."""

    id: str
    name: str
    url: str
    concerns: list[Concern]
    dead: int
    error: str


async def troubled(
    page: Page, books: list[DeliveryCounts], endpoints: dict[int, Endpoint]
) -> tuple[list[Troubled], int]:
    """Return the endpoints in the worst trouble, and how many more there are."""
    now_ms = page.services.clock.now_ms()
    found: list[tuple[Endpoint, DeliveryCounts, list[Concern]]] = []
    for book in books:
        endpoint = endpoints.get(book.endpoint_id)
        concerns = [] if endpoint is None else _concerns(page, endpoint, book, now_ms)
        if endpoint is not None and concerns:
            found.append((endpoint, book, sorted(concerns, key=lambda each: -each.weight)))
    found.sort(key=lambda each: -each[2][0].weight)
    shown = [
        Troubled(
            id=ids.encode("end", endpoint.id),
            name=endpoint.description or endpoint.url,
            url=endpoint.url if endpoint.description else "",
            concerns=concerns,
            dead=book.dead,
            error=await _newest_error(page, endpoint.id),
        )
        for endpoint, book, concerns in found[:SHOWN_MAX]
    ]
    return shown, len(found) - len(shown)


async def _newest_error(page: Page, endpoint_id: int) -> str:
    for attempt in await page.services.store.history.recent_attempts(endpoint_id, 1):
        if attempt.status is not None and not 200 <= attempt.status <= 299:
            return f"HTTP {attempt.status}"
        if attempt.error:
            return attempt.error.replace("_", " ")
    return ""


def _concerns(page: Page, endpoint: Endpoint, book: DeliveryCounts, now_ms: int) -> list[Concern]:
    found = []
    if endpoint.disabled_reason == "gone" and not endpoint.enabled:
        found.append(Concern(1_000_000, "bad", "switched off", "It answered 410 Gone and was switched off."))
    health = page.services.dispatcher.health(endpoint.id)
    if endpoint.live and (health.circuit != "closed" or health.consecutive_failures >= FAILING_FROM):
        text = f"It failed {health.consecutive_failures} times in a row; the newest answer was a failure."
        found.append(Concern(900_000, "bad", "failing", text))
    if book.dead:
        text = f"{book.dead:,} dead letter{'s' if book.dead > 1 else ''}"
        found.append(Concern(min(800_000, book.dead), "bad", "dead letters", text))
    late_ms = 0 if book.oldest_due_ms is None or not endpoint.live else now_ms - book.oldest_due_ms
    if late_ms > _LATE_MS:
        text = f"{book.pending:,} waiting, the oldest due for {lasting(late_ms / 1000)}"
        found.append(Concern(700_000, "wait", "late", text))
    if not endpoint.enabled and endpoint.disabled_reason is None and book.pending:
        found.append(Concern(10, "wait", "held", f"It is switched off and holds {book.pending:,} deliveries."))
    return found
