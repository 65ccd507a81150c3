"""Events: find one by what is in it."""

from typing import Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from commerce_event.admin.event_search import FILTERS, Faults, search
from commerce_event.admin.labels import Found, Label, found_in, label_of
from commerce_event.admin.page import ROOT, Page
from commerce_event.api.response_models import EventView
from commerce_event.contract.catalogue import CATEGORIES, EVENT_TYPES
from commerce_event.core import ids
from commerce_event.core.model import DeliveryState

_PAGE: Final = 40
_LIVE_S: Final = 2
_ADDRESSES: Final[dict[ids.Prefix, str]] = {"evt": "events", "dlv": "deliveries", "end": "endpoints", "rpl": "replays"}
WORST_FIRST: Final[tuple[DeliveryState, ...]] = ("dead", "pending", "cancelled", "delivered")


class Row(msgspec.Struct, frozen=True):
    """An event in the list, with what became of it."""

    event: EventView
    label: Label
    found: Found | None  # where the search found its words, when the label does not show it
    states: tuple[tuple[str, int], ...]  # those that occur, the worst first


async def list_events(page: Page) -> Response:
    """An id leads straight to its thing; everything else is searched for. Fields left empty leave the address."""
    address = _address_of(page.query.get("q", "").strip())
    if address is None and len(page.query) < len(page.request.query_params):
        address = page.request.url.path + (f"?{urlencode(page.query)}" if page.query else "")
    if address is not None:
        return page.redirect(address)
    found = await search(page, _PAGE)
    faults: dict[str, str] = found if isinstance(found, Faults) else {}
    items, following = ([], None) if isinstance(found, Faults) else (found.items, found.next_cursor)
    wanted = {name: page.query.get(name) for name in FILTERS}
    live = page.query.get("live") == "1" and "cursor" not in page.query and not faults
    return page.show(
        "events.html",
        rows=await _rows(page, items),
        errors=faults,
        wanted=wanted,
        filters=sum(wanted[name] is not None for name in FILTERS),
        live=live,
        live_s=_LIVE_S,
        live_url=page.here(live=None if live else "1", cursor=None),
        next_url=page.here(cursor=following, live=None) if following else "",
        first_url=page.here(cursor=None) if "cursor" in page.query else "",
        types=_type_options(),
    )


async def _rows(page: Page, events: list[EventView]) -> list[Row]:
    numbers = {event.id: ids.decode("evt", event.id) for event in events}
    states = await page.services.store.history.delivery_states(list(numbers.values()), page.session.key.scope)
    rows = []
    for event in events:
        body = bytes(event.data)
        label = label_of(event.type, body)
        counts = states.get(numbers[event.id], {})
        rows.append(
            Row(event, label, _elsewhere(page, body, label), tuple((s, counts[s]) for s in WORST_FIRST if s in counts))
        )
    return rows


def _elsewhere(page: Page, body: bytes, label: Label) -> Found | None:
    found = found_in(body, page.query["q"])
    return None if found is None or found.name in label.names else found


def _address_of(text: str) -> str | None:
    for prefix, name in _ADDRESSES.items():
        try:
            ids.decode(prefix, text)
        except ids.InvalidIdError:
            continue
        return f"{ROOT}/{name}/{text}"
    return None


def _type_options() -> list[tuple[str, list[str]]]:
    return [(name, [each.name for each in EVENT_TYPES.values() if each.category == name]) for name in CATEGORIES]
