"""Endpoints: made, changed, switched, tested, and how they are doing."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.responses import Response

from commerce_event.admin.endpoint_form import blank, fields_of, form_of, on_fields
from commerce_event.admin.page import ROOT, Page
from commerce_event.admin.plots import Series, columns
from commerce_event.api.problems import Problem
from commerce_event.api.views import EndpointView
from commerce_event.contract.catalogue import CATEGORIES, EVENT_TYPES
from commerce_event.core import ids
from commerce_event.deliver.lane import Health
from commerce_event.store.port import Book
from commerce_event.web.highlight import json_text

_PAGE: Final = 50
_LOG: Final = 20
FAILING_FROM: Final = 3  # failures in a row


class Row(msgspec.Struct, frozen=True):
    """An endpoint in the list."""

    endpoint: EndpointView
    book: Book | None
    health: Health


async def list_endpoints(page: Page) -> Response:
    query = {"client_id": page.query.get("client_id"), "cursor": page.query.get("cursor"), "limit": _PAGE}
    found = await page.call("listEndpoints", query=query)
    books = {book.endpoint_id: book for book in await page.services.store.books(page.session.key.scope)}
    rows = []
    for endpoint in found.items:
        number = ids.decode("end", endpoint.id)
        rows.append(Row(endpoint, books.get(number), page.services.scheduler.health(number)))
    return page.show(
        "endpoints.html",
        rows=rows,
        failing_from=FAILING_FROM,
        next_url=page.here(cursor=found.next_cursor) if found.next_cursor else "",
        first_url=page.here(cursor=None) if "cursor" in page.query else "",
    )


async def one_endpoint(page: Page) -> Response:
    return await _show(page, await page.call("getEndpoint", path={"id": page.id()}))


async def _show(page: Page, endpoint: EndpointView, **shown: Any) -> Response:
    path = {"id": endpoint.id}
    log = await page.call("listDeliveries", query={"endpoint_id": endpoint.id, "limit": _LOG})
    activity = await page.call(
        "readActivity", query={"endpoint_id": endpoint.id, "span": page.query.get("span", "hour")}
    )
    context: dict[str, Any] = {"secret": None, "test": None, **shown}
    return page.show(
        "endpoint.html",
        endpoint=endpoint,
        stats=await page.call("endpointStats", path=path),
        log=log.items,
        failing_from=FAILING_FROM,
        kinds=_kinds(endpoint),
        filter_text="" if endpoint.filter is None else json_text(endpoint.filter),
        span=page.query.get("span", "hour"),
        activity=activity,
        flow=columns(
            "Attempts by result",
            [step.start for step in activity.items],
            [
                Series("delivered", "good", [step.delivered for step in activity.items]),
                Series("failed", "bad", [step.failed for step in activity.items]),
            ],
        ),
        **context,
    )


async def new_endpoint(page: Page) -> Response:
    return _form(page, None, blank(page.query.get("client_id", "")), {})


async def create_endpoint(page: Page) -> Response:
    try:
        made = await page.call("createEndpoint", body=fields_of(page.form))
    except Problem as problem:
        return _form(page, None, page.form, on_fields(problem), problem.status)
    return await _show(page, await page.call("getEndpoint", path={"id": made.id}), secret=made.secret)


async def edit_endpoint(page: Page) -> Response:
    endpoint = await page.call("getEndpoint", path={"id": page.id()})
    return _form(page, endpoint, form_of(endpoint), {})


async def change_endpoint(page: Page) -> Response:
    endpoint = await page.call("getEndpoint", path={"id": page.id()})
    try:
        wanted = fields_of(page.form)
        del wanted["client_id"], wanted["signing"]
        await page.call("changeEndpoint", path={"id": endpoint.id}, body=wanted)
    except Problem as problem:
        return _form(page, endpoint, page.form, on_fields(problem), problem.status)
    return page.redirect(f"{ROOT}/endpoints/{endpoint.id}", said="Saved.")


async def switch_endpoint(page: Page) -> Response:
    on = page.text("on") == "1"
    await page.call("changeEndpoint", path={"id": page.id()}, body={"enabled": on})
    said = "Switched on." if on else "Switched off: new events are not tracked for it, and what waits is held."
    return page.redirect(f"{ROOT}/endpoints/{page.id()}", said=said)


async def delete_endpoint(page: Page) -> Response:
    await page.call("deleteEndpoint", path={"id": page.id()})
    return page.redirect(f"{ROOT}/endpoints", said="Deleted. What waited for it is cancelled; its history stays.")


async def rotate_secret(page: Page) -> Response:
    made = await page.call("rotateSecret", path={"id": page.id()}, body={})
    endpoint = await page.call("getEndpoint", path={"id": page.id()})
    return await _show(page, endpoint, secret=made.secret)


async def test_endpoint(page: Page) -> Response:
    wanted = {"type": page.text("type")} if page.text("type") else {}
    endpoint = await page.call("getEndpoint", path={"id": page.id()})
    result = await page.call("testEndpoint", path={"id": page.id()}, body=wanted)
    return await _show(page, endpoint, test=result, test_body=json_text(result.request_body.encode()))


def _form(
    page: Page,
    endpoint: EndpointView | None,
    form: Mapping[str, list[str]],
    errors: Mapping[str, str],
    status: int = 200,
) -> Response:
    by_category = [(name, [e for e in EVENT_TYPES.values() if e.category == name]) for name in CATEGORIES]
    return page.show("endpoint_form.html", status, endpoint=endpoint, form=form, errors=errors, categories=by_category)


def _kinds(endpoint: EndpointView) -> list[str]:
    """Return the names of the event types that the endpoint takes."""
    wanted = set(endpoint.event_types)
    return [each.name for each in EVENT_TYPES.values() if wanted & {"*", each.category, each.name}]
