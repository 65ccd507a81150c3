"""Events: find one by what is in it, see where it went, and mend what went wrong."""

import asyncio
import shlex
from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.responses import Response

from commerce_event.admin.page import ROOT, Page
from commerce_event.api.explanations import ReasonView
from commerce_event.api.problems import Problem
from commerce_event.api.views import DeliveryDetailView, EventView
from commerce_event.contract.catalogue import CATEGORIES, EVENT_TYPES
from commerce_event.core import ids
from commerce_event.core.clock import rfc3339
from commerce_event.web.highlight import json_text

_PAGE: Final = 40
_FILTERS: Final = ("q", "type", "client_id", "application_id", "state", "since", "until")
_LIVE_S: Final = 2
_ADDRESSES: Final[dict[ids.Prefix, str]] = {"evt": "events", "dlv": "deliveries", "end": "endpoints", "rpl": "replays"}
_WORST_FIRST: Final = ("dead", "pending", "cancelled", "delivered")


class Row(msgspec.Struct, frozen=True):
    """An event in the list, with what became of it."""

    event: EventView
    key: str
    states: tuple[tuple[str, int], ...]  # those that occur, the worst first


class Reached(msgspec.Struct, frozen=True):
    """An endpoint of an event's client, and how the event fared there."""

    reason: ReasonView
    deliveries: list[DeliveryDetailView]


async def list_events(page: Page) -> Response:
    """An id leads straight to its thing; everything else is searched for."""
    address = _address_of(page.query.get("q", "").strip())
    if address is not None:
        return page.redirect(address)
    wanted = {name: page.query.get(name) for name in _FILTERS}
    try:
        found = await page.call(
            "listEvents", query={**_as_asked(wanted), "limit": _PAGE, "cursor": page.query.get("cursor")}
        )
        problem, rows, following = None, await _rows(page, found.items), found.next_cursor
    except Problem as refused:
        if refused.status not in {403, 422}:
            raise
        problem, rows, following = refused, [], None
    live = page.query.get("live") == "1" and "cursor" not in page.query
    return page.show(
        "events.html",
        rows=rows,
        problem=problem,
        wanted=wanted,
        filtered=any(wanted.values()),
        live=live,
        live_s=_LIVE_S,
        live_url=page.here(live=None if live else "1", cursor=None),
        next_url=page.here(cursor=following, live=None) if following else "",
        first_url=page.here(cursor=None) if "cursor" in page.query else "",
        types=_type_options(),
    )


async def one_event(page: Page) -> Response:
    path = {"id": page.id()}
    event, explained = await asyncio.gather(page.call("getEvent", path=path), page.call("explainEvent", path=path))
    reached = [await _reached(page, reason) for reason in explained.endpoints]
    reached.sort(key=lambda each: not each.deliveries)
    body = bytes(event.data)
    return page.show(
        "event.html",
        event=event,
        key=_key(event),
        payload=json_text(body),
        reached=reached,
        curl=_curl(page, event.type, body),
        description=EVENT_TYPES[event.type].description,
        now=rfc3339(page.services.clock.now_ms()),
    )


async def retry(page: Page) -> Response:
    delivery = await page.call("retryDelivery", path={"id": page.id()})
    return page.redirect(f"{ROOT}/events/{delivery.event_id}", said="The delivery is tried again now.")


async def cancel(page: Page) -> Response:
    delivery = await page.call("cancelDelivery", path={"id": page.id()})
    return page.redirect(f"{ROOT}/events/{delivery.event_id}", said="The delivery is cancelled.")


async def one_delivery(page: Page) -> Response:
    """A delivery is shown with its event."""
    delivery = await page.call("getDelivery", path={"id": page.id()})
    return page.redirect(f"{ROOT}/events/{delivery.event_id}#{delivery.id}")


async def _rows(page: Page, events: list[EventView]) -> list[Row]:
    queries = [page.call("listEventDeliveries", path={"id": event.id}, query={"limit": 100}) for event in events]
    rows = []
    for event, found in zip(events, await asyncio.gather(*queries), strict=True):
        counts = Counter(delivery.state for delivery in found.items)
        rows.append(Row(event, _key(event), tuple((state, counts[state]) for state in _WORST_FIRST if counts[state])))
    return rows


async def _reached(page: Page, reason: ReasonView) -> Reached:
    details = [page.call("getDelivery", path={"id": delivery.id}) for delivery in reason.deliveries[:10]]
    return Reached(reason, list(await asyncio.gather(*details)))


def _address_of(text: str) -> str | None:
    for prefix, name in _ADDRESSES.items():
        try:
            ids.decode(prefix, text)
        except ids.InvalidIdError:
            continue
        return f"{ROOT}/{name}/{text}"
    return None


def _key(event: EventView) -> str:
    """Return the number that people know the event's order, product or customer by; empty when it has none."""
    key = EVENT_TYPES[event.type].business_key(msgspec.json.decode(event.data)) or ""
    return key.partition(":")[2]


def _as_asked(wanted: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the filters as the management call has them: times are typed without a zone and meant as UTC."""
    asked = dict(wanted)
    for name in ("since", "until"):
        text = asked[name]
        if text and len(text) == len("2026-01-31T00:00"):
            asked[name] = f"{text}:00Z"
    return asked


def _type_options() -> list[tuple[str, list[str]]]:
    return [(name, [each.name for each in EVENT_TYPES.values() if each.category == name]) for name in CATEGORIES]


def _curl(page: Page, event_type: str, body: bytes) -> str:
    url = str(page.request.base_url).rstrip("/")
    return (
        f"curl -X POST {shlex.quote(f'{url}/v1/events/{event_type}')} \\\n"
        f'  -H "Authorization: Bearer $COMMERCE_EVENT_KEY" -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(body.decode())}"
    )
