"""Event types: what the contract says of each, and which endpoints take it."""

from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.responses import Response

from commerce_event.admin.page import ROOT, Page
from commerce_event.contract.catalogue import CATEGORIES, EVENT_TYPES, EventType
from commerce_event.core import ids
from commerce_event.core.model import Endpoint
from commerce_event.core.problems import not_found
from commerce_event.web.highlight import json_text
from commerce_event.web.samples import publish_command

_LAST: Final = "This is the only type that the endpoint takes. Switch the endpoint itself off instead."


class Row(msgspec.Struct, frozen=True):
    """An event type, its takers, and of every endpoint looked at whether it takes the type."""

    event_type: EventType
    takers: list[tuple[str, Endpoint]]
    cells: list[tuple[str, Endpoint, bool]]


async def list_types(page: Page) -> Response:
    endpoints = _endpoints(page)
    clients = sorted({endpoint.client_id for endpoint in page.services.registry.endpoints(page.session.key.scope)})
    return page.show(
        "types.html",
        clients=clients,
        chosen=page.query.get("client_id", ""),
        columns=[(ids.encode("end", endpoint.id), endpoint) for endpoint in endpoints],
        refused=page.query["refused"],
        refusal=_LAST,
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
        publish=publish_command(page.origin, event_type.name, msgspec.json.encode(described.example)),
    )


async def switch_type(page: Page) -> Response:
    """Turn a type on or off for one endpoint of a client."""
    name, endpoint_id = page.request.path_params["name"], page.text("endpoint_id")
    endpoint = await page.call("getEndpoint", path={"id": endpoint_id})
    event_type = EVENT_TYPES.get(name)
    if event_type is None:
        raise not_found("event type")
    on = page.text("on") == "1"
    wanted = with_type(endpoint.event_types, event_type) if on else without_type(endpoint.event_types, event_type)
    back = f"{ROOT}/types?client_id={endpoint.client_id}"
    if not wanted:
        return page.redirect(f"{back}&refused={name}#type-{name}")
    await page.call("changeEndpoint", path={"id": endpoint_id}, body={"event_types": wanted})
    said = f"{name} is {'on' if on else 'off'} for {endpoint.description or endpoint.url}."
    return page.redirect(f"{back}#type-{name}", said=said)


def with_type(wanted: Sequence[str], event_type: EventType) -> list[str]:
    """Return what an endpoint takes, this type too."""
    return [*wanted, event_type.name] if not _takes(wanted, event_type) else list(wanted)


def without_type(wanted: Sequence[str], event_type: EventType) -> list[str]:
    """Return what an endpoint takes but for this type: `*` and its category are written out as the types in them."""
    kept = [name for name in wanted if name not in {"*", event_type.category, event_type.name}]
    for each in EVENT_TYPES.values():
        if each != event_type and _takes(wanted, each) and not _takes(kept, each):
            kept.append(each.name)
    return kept


def _takes(wanted: Sequence[str], event_type: EventType) -> bool:
    return not {"*", event_type.category, event_type.name}.isdisjoint(wanted)


def _endpoints(page: Page) -> list[Endpoint]:
    chosen = page.query.get("client_id", "")
    found = page.services.registry.endpoints(page.session.key.scope)
    return [each for each in found if not chosen or str(each.client_id) == chosen]


def _row(event_type: EventType, endpoints: list[Endpoint]) -> Row:
    named = [(ids.encode("end", endpoint.id), endpoint) for endpoint in endpoints]
    cells = [(name, each, _takes(each.event_types, event_type)) for name, each in named]
    return Row(event_type, [(name, each) for name, each, on in cells if on], cells)
