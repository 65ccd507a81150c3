"""Events: list and search."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

import msgspec
from msgspec import UNSET
from starlette.responses import Response

from commerce_event.admin.event_filters import FILTERS, FilterErrors, search
from commerce_event.admin.screen_context import ROOT, ScreenContext
from commerce_event.admin.screens.timelines import TimelineLink, links_for
from commerce_event.admin.search_hits import SearchHit, search_hit
from commerce_event.api.response_models import EventView
from commerce_event.contract.labels import EventLabel, label_of
from commerce_event.core import ids
from commerce_event.core.model import DeliveryState
from commerce_event.core.search_words import no_result_message

_PAGE_SIZE: Final = 40
_SCREENS: Final[dict[ids.Prefix, str]] = {
    "evt": "events", "dlv": "deliveries", "end": "endpoints", "rpl": "replays", "rfs": "refusals", "chg": "changes",
    "set": "event-settings",
}  # fmt: skip
WORST_FIRST: Final[tuple[DeliveryState, ...]] = ("dead", "pending", "cancelled", "delivered")


class EventRow(msgspec.Struct, frozen=True):
    """An event in the list, with the states of its deliveries."""

    event: EventView
    label: EventLabel
    hit: SearchHit | None  # where the search found its text, when the label does not show it
    states: tuple[tuple[str, int], ...]  # those that occur, the worst first


async def list_events(context: ScreenContext) -> Response:
    """List events. An id in the search redirects to its screen; empty fields are dropped from the address."""
    address = screen_of(context.query.get("q", "").strip())
    if address is None and len(context.query) < len(context.request.query_params):
        address = context.request.url.path + (f"?{urlencode(context.query)}" if context.query else "")
    if address is not None:
        return context.redirect(address)
    found = await search(context, _PAGE_SIZE)
    errors: dict[str, str] = found if isinstance(found, FilterErrors) else {}
    items, next_cursor = ([], None) if isinstance(found, FilterErrors) else (found.items, found.next_cursor)
    filters = {name: context.query.get(name) for name in FILTERS}
    return context.render(
        "events.html",
        rows=await _rows(items, context.query["q"]),
        links=await _links(context, items),
        no_result_message=_no_result_message(filters),
        errors=errors,
        filters=filters,
        filter_count=sum(value is not None for value in filters.values()),
        next_url=context.url_with(cursor=next_cursor) if next_cursor else "",
        first_url=context.url_with(cursor=None) if "cursor" in context.query else "",
        refusals_query=_refusals_query(filters),
        types=[(name, [each.name for each in types]) for name, types in context.catalogue.by_category()],
    )


async def _links(context: ScreenContext, events: Sequence[EventView]) -> list[TimelineLink]:
    """Return the pages of orders and the like that the search names exactly."""
    if not context.query["q"] or "cursor" in context.query:
        return []
    return await links_for(context.query["q"], [(each.client_id, bytes(each.data)) for each in events])


def _no_result_message(filters: Mapping[str, str | None]) -> str:
    text = filters["q"]
    if text is None:
        return "No stored event matches. Remove a filter. Events older than the retention are deleted."
    others = [value for name, value in filters.items() if name != "q" and value is not None]
    return no_result_message(text, is_filtered=bool(others))


def _refusals_query(filters: dict[str, str | None]) -> str:
    """Return the query that looks among the refused events for what was looked for, as far as that can be."""
    kept = {name: filters[name] for name in ("client_id", "type") if filters[name]}
    return f"?{urlencode(kept)}" if kept else ""


async def _rows(events: Sequence[EventView], text: str) -> list[EventRow]:
    rows = []
    for event in events:
        rows.append(_row(event, text))
        await asyncio.sleep(0)  # a large event takes milliseconds
    return rows


def _row(event: EventView, text: str) -> EventRow:
    body = bytes(event.data)
    label = label_of(event.type, body)
    hit = search_hit(body, text)
    if hit is not None and hit.name in label.names:
        hit = None
    counts = {} if event.delivery_states is UNSET else event.delivery_states
    return EventRow(event, label, hit, tuple((state, counts[state]) for state in WORST_FIRST if state in counts))


def screen_of(text: str) -> str | None:
    """Return the screen of an id; None when the text is not an id."""
    for prefix, screen in _SCREENS.items():
        try:
            ids.decode(prefix, text)
        except ids.InvalidIdError:
            continue
        return f"{ROOT}/{screen}/{text}"
    return None
