"""An order, a part, a customer or a company: all of its events on one timeline, and what each receiver has."""

import asyncio
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, urlencode

import msgspec
from starlette.responses import Response

from commerce_event.admin.refresh import delivery_refresh_s
from commerce_event.admin.screen_context import ROOT, Screen, ScreenContext
from commerce_event.api.timelines import (
    SUBJECTS,
    ReceiverView,
    TimelineDeliveryView,
    TimelineEventView,
    TimelineView,
)
from commerce_event.contract.labels import type_words
from commerce_event.core.causes import cause, reason_in_words
from commerce_event.core.problems import Problem
from commerce_event.core.timelines import (
    PROPERTIES,
    Identifier,
    TimelineKind,
    best_identifier,
    identifiers,
    latency_text,
    named_by,
)

PATHS: Final[dict[TimelineKind, str]] = {
    "order": "orders", "part": "parts", "customer": "customers", "company": "companies",
}  # fmt: skip
COLUMNS_MAX: Final = 4  # receivers that have a column each
ROWS_MAX: Final = 20  # events that are shown first, and as many older ones that were not delivered in time
_REFRESH_SLOWLY_S: Final = 10
_LINKS_MAX: Final = 5


class TimelineLink(msgspec.Struct, frozen=True):
    """The page of what an event is about."""

    kind: TimelineKind
    title: str
    address: str
    verdict_address: str = ""  # where the link with its verdict is read; empty: it is not read
    verdict: str = ""  # empty: not read
    tone: str = ""
    events: int = 0


class Cell(msgspec.Struct, frozen=True):
    """The state of an event at a receiver."""

    receiver: ReceiverView
    delivery: TimelineDeliveryView
    text: str  # what comes after the state
    can_retry: bool


class Row(msgspec.Struct, frozen=True):
    """An event; ``cells`` has an entry for each receiver, None where the event was not for it."""

    event: TimelineEventView
    words: str
    cells: tuple[Cell | None, ...]

    @property
    def shown(self) -> list[Cell]:
        return [cell for cell in self.cells if cell is not None]

    @property
    def notable(self) -> list[Cell]:
        """Those that a person looks for: not delivered, or late."""
        return [cell for cell in self.shown if cell.delivery.state != "delivered" or cell.delivery.late]

    @property
    def usual(self) -> list[Cell]:
        return [cell for cell in self.shown if cell not in self.notable]


def timeline_screen(kind: TimelineKind) -> Screen:
    """Return the screen of one kind."""

    async def show(context: ScreenContext) -> Response:
        return await _show(context, kind)

    return show


async def _show(context: ScreenContext, kind: TimelineKind) -> Response:
    value = str(context.request.path_params["value"])
    query = {"value": value, **{name: context.query.get(name) for name in ("client_id", "property")}}
    try:
        found: TimelineView = await context.call("readTimeline", path={"kind": kind}, query=query)
    except Problem as problem:
        if problem.status not in {404, 422}:
            raise
        return context.render(
            "timeline_missing.html", 404, kind=kind, subject=SUBJECTS[kind], value=value, problem=problem,
            search_url=f"{ROOT}/events?{urlencode({'q': value})}",
        )  # fmt: skip
    if found.client_id is None:
        clients = [(each, timeline_address(kind, value, each.client_id)) for each in found.clients]
        return context.render("timeline_clients.html", timeline=found, clients=clients)
    if context.query["part"] == "verdict":
        address = timeline_address(kind, value, found.client_id, context.query.get("property"))
        link = TimelineLink(kind, found.title, address, "", found.verdict, found.tone, len(found.events))
        return context.render("timeline_link.html", each=link)
    rows = [_row(event, found.receivers) for event in found.events]
    shown = rows if context.query["rows"] == "all" else _shown(rows)
    return context.render(
        "timeline.html",
        timeline=found,
        rows=shown[::-1] if kind == "order" else shown,
        left_out=len(rows) - len(shown),
        all_url=context.url_with(rows="all"),
        notable=[each for each in found.receivers if each.tone != "good" or each.late],
        usual=[each for each in found.receivers if each.tone == "good" and not each.late],
        has_columns=len(found.receivers) <= COLUMNS_MAX,
        others=[(each, timeline_address(kind, each.value, found.client_id, each.property)) for each in found.others],
        live_s=delivery_refresh_s(
            (each for event in found.events for each in event.deliveries), context.now_ms, _REFRESH_SLOWLY_S
        ),
        back=context.url_with(),
    )


def _shown(rows: Sequence[Row]) -> list[Row]:
    """Return the newest rows, and older ones that a person looks for."""
    older = [row for row in rows[ROWS_MAX:] if row.notable]
    return [*rows[:ROWS_MAX], *older[:ROWS_MAX]]


def _row(event: TimelineEventView, receivers: Sequence[ReceiverView]) -> Row:
    by_endpoint = {each.endpoint_id: each for each in event.deliveries}
    cells = [
        _cell(receiver, by_endpoint[receiver.endpoint_id]) if receiver.endpoint_id in by_endpoint else None
        for receiver in receivers
    ]
    return Row(event, type_words(event.type), tuple(cells))


def _cell(receiver: ReceiverView, delivery: TimelineDeliveryView) -> Cell:
    can_send = receiver.endpoint is not None and receiver.endpoint.enabled and not receiver.endpoint.paused
    return Cell(
        receiver=receiver,
        delivery=delivery,
        text=_cell_text(delivery),
        can_retry=can_send and delivery.state != "delivered" and not delivery.sending,
    )


def _cell_text(delivery: TimelineDeliveryView) -> str:
    if delivery.latency_ms is not None:
        return f"after {latency_text(delivery.latency_ms)}"
    why = cause(delivery.last_status, delivery.last_error) or ""
    if delivery.state == "pending":
        return "sending now" if delivery.sending else why
    reason = reason_in_words(delivery.reason)
    if delivery.state == "dead" and why:
        return why if delivery.last_status is None else f"HTTP {delivery.last_status}: {why}"
    return reason


def timeline_address(kind: TimelineKind, value: str, client_id: int | None, property_: str | None = None) -> str:
    """Return the address of a timeline."""
    given = {"client_id": client_id, "property": property_}
    query = urlencode({name: each for name, each in given.items() if each is not None})
    return f"{ROOT}/{PATHS[kind]}/{quote(value, safe='')}" + (f"?{query}" if query else "")


def links_of(body: bytes, client_id: int) -> list[TimelineLink]:
    """Return the pages of what an event is about."""
    found = []
    for kind in PROPERTIES:
        best = best_identifier(kind, identifiers(kind, body))
        if best is not None:
            found.append(_link(kind, best, client_id))
    return found


def _link(kind: TimelineKind, identifier: Identifier, client_id: int) -> TimelineLink:
    address = timeline_address(kind, identifier.value, client_id)
    return TimelineLink(kind, f"{SUBJECTS[kind]} {identifier.value}", address)


async def links_for(text: str, bodies: Sequence[tuple[int, bytes]]) -> list[TimelineLink]:
    """Return the pages that a search text names exactly, among the events that it found (client and body of each).

    The browser reads the verdict of the first: it takes several searches, and the page does not wait for them.
    """
    found: dict[tuple[TimelineKind, str, int], TimelineLink] = {}
    for client_id, body in bodies:
        for kind in PROPERTIES:
            for each in named_by(kind, body, text):
                found.setdefault((kind, each.value, client_id), _link(kind, each, client_id))
        await asyncio.sleep(0)  # a large event takes milliseconds
    links = list(found.values())[:_LINKS_MAX]
    if links:
        (kind, value, client_id), *_ = found
        address = f"{timeline_address(kind, value, client_id)}&part=verdict"
        links[0] = msgspec.structs.replace(links[0], verdict_address=address)
    return links
