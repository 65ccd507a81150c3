"""The list of endpoints: found by URL or name, the worst first, with how each is doing."""

from typing import Final

import msgspec
from starlette.responses import Response

from commerce_event.admin.health import FAILING_FROM, WORST_FIRST, Condition, condition_of
from commerce_event.admin.page import Page
from commerce_event.api.activity import HOUR_S
from commerce_event.api.response_models import EndpointView, endpoint_view
from commerce_event.core import ids
from commerce_event.core.model import Endpoint
from commerce_event.core.problems import Problem
from commerce_event.store.model import Activity, DeliveryCounts
from commerce_event.store.text_search import fold

__all__ = ["FAILING_FROM", "hour_of", "list_endpoints"]

_PAGE: Final = 50
_STEP_S: Final = 60
_HEALTHS: Final = {"failing": ("failing", "unsteady"), "off": ("off",), "well": ("well",)}


class Row(msgspec.Struct, frozen=True):
    """An endpoint in the list."""

    endpoint: EndpointView
    book: DeliveryCounts | None
    condition: Condition


async def list_endpoints(page: Page) -> Response:
    errors = await _faults(page)
    found = [] if errors else await _found(page)
    number = _page_number(page)
    shown = found[(number - 1) * _PAGE : number * _PAGE]
    books = {
        book.endpoint_id: book for book in await page.services.store.history.delivery_counts(page.session.key.scope)
    }
    return page.show(
        "endpoints.html",
        rows=[Row(endpoint_view(each), books.get(each.id), condition) for each, condition in shown],
        errors=errors,
        filters=sum(name in page.query for name in ("q", "client_id", "health")),
        healths=[("failing", "Failing or unsteady"), ("off", "Off"), ("well", "Well")],
        next_url=page.here(page=str(number + 1)) if number * _PAGE < len(found) else "",
        first_url=page.here(page=None) if number > 1 else "",
    )


async def hour_of(page: Page) -> dict[int, Activity]:
    """Return what was sent to each endpoint in reach in the last hour, and how it went."""
    since_ms = page.services.clock.now_ms() - HOUR_S * 1000
    found = await page.services.store.activity.by_endpoint(page.session.key.scope, step_s=_STEP_S, since_ms=since_ms)
    return {each.endpoint_id: each for each in found}


async def _faults(page: Page) -> dict[str, str]:
    try:
        await page.call("listEndpoints", query={"client_id": page.query.get("client_id"), "limit": 1})
    except Problem as problem:
        if "client_id" not in page.query or problem.status not in {403, 422}:
            raise
        return {"client_id": problem.detail if problem.status == 403 else "Write the client's number."}
    return {}


async def _found(page: Page) -> list[tuple[Endpoint, Condition]]:
    hour = await hour_of(page)
    wanted = _HEALTHS.get(page.query["health"])
    found = []
    for endpoint in reversed(page.services.registry.endpoints(page.session.key.scope)):
        if not _matches(page, endpoint):
            continue
        condition = condition_of(endpoint, page.services.dispatcher.health(endpoint.id), hour.get(endpoint.id))
        if wanted is None or condition.kind in wanted:
            found.append((endpoint, condition))
    found.sort(key=lambda each: WORST_FIRST.index(each[1].kind))
    return found


def _matches(page: Page, endpoint: Endpoint) -> bool:
    text = fold(page.query["q"].strip())
    client = page.query["client_id"].strip()
    if client and str(endpoint.client_id) != str(int(client)):
        return False
    name = ids.encode("end", endpoint.id)
    return not text or any(text in fold(value) for value in (endpoint.url, endpoint.description, name))


def _page_number(page: Page) -> int:
    text = page.query["page"]
    return max(1, int(text)) if text.isascii() and text.isdecimal() and len(text) < 7 else 1
