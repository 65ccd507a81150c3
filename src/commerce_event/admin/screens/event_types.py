"""Event types: what the contract says of each, and which endpoints take it."""

import msgspec
from starlette.responses import Response

from commerce_event.admin.page import Page
from commerce_event.contract.catalogue import CATEGORIES, EVENT_TYPES, EventType
from commerce_event.core import ids
from commerce_event.core.model import Endpoint
from commerce_event.web.highlight import json_text


class Row(msgspec.Struct, frozen=True):
    """An event type and its takers."""

    event_type: EventType
    takers: list[tuple[str, Endpoint]]


async def list_types(page: Page) -> Response:
    endpoints = _endpoints(page)
    clients = sorted({endpoint.client_id for endpoint in page.services.directory.endpoints(page.session.key.scope)})
    return page.show(
        "types.html",
        clients=clients,
        chosen=page.query.get("client_id", ""),
        categories=[
            (name, [_row(e, endpoints) for e in EVENT_TYPES.values() if e.category == name]) for name in CATEGORIES
        ],
    )


async def one_type(page: Page) -> Response:
    name = page.request.path_params["name"]
    described = await page.call("getEventType", path={"name": name})
    event_type = EVENT_TYPES[described.name]
    return page.show(
        "type.html",
        event_type=event_type,
        row=_row(event_type, _endpoints(page)),
        example=json_text(described.example),
        schema=json_text(described.schema),
    )


def _endpoints(page: Page) -> list[Endpoint]:
    chosen = page.query.get("client_id", "")
    found = page.services.directory.endpoints(page.session.key.scope)
    return [each for each in found if not chosen or str(each.client_id) == chosen]


def _row(event_type: EventType, endpoints: list[Endpoint]) -> Row:
    wanted = {"*", event_type.category, event_type.name}
    return Row(event_type, [(ids.encode("end", e.id), e) for e in endpoints if wanted.intersection(e.event_types)])
