"""Event types: the contract of each, and the endpoints that subscribe to it."""

from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.responses import Response

from commerce_event.admin.screen_context import ROOT, ScreenContext
from commerce_event.api.response_models import EndpointView
from commerce_event.contract.catalogue import CONTRACT, Catalogue, EventType
from commerce_event.contract.entities import NOTIFICATIONS
from commerce_event.core.problems import Problem, not_found
from commerce_event.web.commands import publish_command
from commerce_event.web.highlight import json_text

_MODES_SHOWN: Final = 100
_LAST_TYPE: Final = "This is the only type that the endpoint subscribes to. Switch the endpoint itself off instead."


class EventTypeRow(msgspec.Struct, frozen=True):
    """An event type, its subscribers, and for every endpoint whether it subscribes to the type."""

    event_type: EventType
    subscribers: list[EndpointView]
    cells: list[tuple[EndpointView, bool]]


async def list_types(context: ScreenContext) -> Response:
    return await render_types(context, {})


async def render_types(context: ScreenContext, errors: dict[str, str], status: int = 200) -> Response:
    """Answer with the event types and the validation modes. ``errors`` are those of the form of a mode."""
    everyone = await context.all_endpoints()
    chosen = context.query.get("client_id", "")
    endpoints = [each for each in everyone if not chosen or str(each.client_id) == chosen]
    client_id = next((each.client_id for each in endpoints), None) if chosen else None
    modes = await context.call("listValidation", query={"client_id": client_id, "limit": _MODES_SHOWN})
    return context.render(
        "event_types.html",
        status,
        errors=errors,
        form=context.form,
        modes=[each for each in modes.items if not chosen or str(each.client_id) == chosen],
        more_modes=modes.next_cursor is not None,
        entries=context.catalogue.entries,
        notifications=NOTIFICATIONS,
        own_count=len(context.catalogue.own),
        clients=sorted({endpoint.client_id for endpoint in everyone}),
        chosen=chosen,
        columns=endpoints,
        refused=context.query["refused"],
        refusal=_LAST_TYPE,
        categories=[
            (name, [_row(each, endpoints) for each in types]) for name, types in context.catalogue.by_category()
        ],
    )


async def show_type(context: ScreenContext, problem: Problem | None = None) -> Response:
    """Show an event type, and why it could not be deleted."""
    name = context.request.path_params["name"]
    described = await context.call("getEventType", path={"name": name})
    event_type = context.catalogue.types[described.name]
    return context.render(
        "event_type.html",
        200 if problem is None else problem.status,
        problem=problem,
        event_type=event_type,
        has_settings=event_type.name in NOTIFICATIONS,
        row=_row(event_type, await context.all_endpoints()),
        example=json_text(described.example),
        schema=json_text(described.schema),
        publish=publish_command(context.origin, event_type.name, msgspec.json.encode(described.example)),
    )


async def switch_type(context: ScreenContext) -> Response:
    """Turn a type on or off for one endpoint of a client."""
    name, endpoint_id = context.request.path_params["name"], context.field("endpoint_id")
    endpoint = await context.call("getEndpoint", path={"id": endpoint_id})
    event_type = context.catalogue.get(name)
    if event_type is None:
        raise not_found("event type")
    on = context.field("on") == "1"
    present = endpoint.event_types
    types = with_type(present, event_type) if on else without_type(present, event_type, context.catalogue)
    back = f"{ROOT}/types?client_id={endpoint.client_id}"
    if not types:
        return context.redirect(f"{back}&refused={name}#type-{name}")
    await context.call("changeEndpoint", path={"id": endpoint_id}, body={"event_types": types})
    flash = f"{name} is {'on' if on else 'off'} for {endpoint.description or endpoint.url}."
    return context.redirect(f"{back}#type-{name}", flash=flash)


def with_type(types: Sequence[str], event_type: EventType) -> list[str]:
    """Return the types of an endpoint with this type added."""
    return [*types, event_type.name] if not _includes(types, event_type) else list(types)


def without_type(types: Sequence[str], event_type: EventType, catalogue: Catalogue = CONTRACT) -> list[str]:
    """Return the types of an endpoint without this type; `*` and its category are replaced by the other types."""
    kept = [name for name in types if name not in {"*", event_type.category, event_type.name}]
    for each in catalogue.types.values():
        if each != event_type and _includes(types, each) and not _includes(kept, each):
            kept.append(each.name)
    return kept


def _includes(types: Sequence[str], event_type: EventType) -> bool:
    return not {"*", event_type.category, event_type.name}.isdisjoint(types)


def _row(event_type: EventType, endpoints: list[EndpointView]) -> EventTypeRow:
    cells = [(endpoint, _includes(endpoint.event_types, event_type)) for endpoint in endpoints]
    return EventTypeRow(event_type, [endpoint for endpoint, on in cells if on], cells)
