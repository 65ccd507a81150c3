"""Event types: the contract of each, and the endpoints that subscribe to it."""

from typing import Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from commerce_event.admin.screen_context import ROOT, ScreenContext
from commerce_event.admin.screens.endpoint import missed_since
from commerce_event.api.response_models import EndpointView
from commerce_event.contract.catalogue import Catalogue, EventType
from commerce_event.contract.entities import NOTIFICATIONS
from commerce_event.core.problems import Problem, not_found
from commerce_event.core.search_words import fold
from commerce_event.core.type_selection import TypeSelection
from commerce_event.web.commands import publish_command
from commerce_event.web.highlight import json_text

COLUMNS_MAX: Final = 6  # endpoints in one table with the types; more are shown as rows
_MODES_SHOWN: Final = 100
_ROWS_MAX: Final = 200
_LAST_TYPE: Final = "This is the only type that the endpoint subscribes to. Switch the endpoint itself off instead."


class EndpointTypes(msgspec.Struct, frozen=True):
    """An endpoint, and for each category how many of how many types it takes."""

    endpoint: EndpointView
    counts: list[tuple[int, int]]


class EventTypeRow(msgspec.Struct, frozen=True):
    """An event type, its subscribers, and for each endpoint of the table whether it subscribes to the type."""

    event_type: EventType
    subscribers: list[EndpointView]
    cells: list[tuple[EndpointView, bool]]


async def list_types(context: ScreenContext) -> Response:
    return await render_types(context, {})


async def render_types(context: ScreenContext, errors: dict[str, str], status: int = 200) -> Response:
    """Answer with the event types and the validation modes. ``errors`` are those of the form of a mode."""
    everyone = await context.all_endpoints()
    chosen = context.chosen_client
    endpoints = [each for each in everyone if not chosen or str(each.client_id) == chosen]
    alone = next((each for each in endpoints if each.id == context.query["endpoint_id"]), None)
    is_long = len(endpoints) > COLUMNS_MAX
    text = fold(context.query["q"].strip()[:200])
    found = [each for each in endpoints if not text or any(text in fold(name) for name in (each.description, each.url))]
    columns = [alone] if alone is not None else [] if is_long else endpoints
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
        columns=columns,
        alone=alone,
        missed=next((each for each in endpoints if each.id == context.query["missed_id"]), None),
        missed_since=missed_since(context),
        counts=[_counts(context.catalogue, each) for each in found[:_ROWS_MAX]] if chosen and is_long else [],
        more_counts=max(0, len(found) - _ROWS_MAX),
        is_long=is_long,
        refused=context.query["refused"],
        refusal=_LAST_TYPE,
        categories=[
            (name, [_row(each, endpoints, columns) for each in types])
            for name, types in context.catalogue.by_category()
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
        row=_row(event_type, await context.all_endpoints(), []),
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
    present = _selection(endpoint)
    changed = present.with_type(event_type, context.catalogue) if on else present.without_type(event_type)
    back = f"{ROOT}/types?client_id={endpoint.client_id}"
    if context.field("alone"):  # the page shows the types of this endpoint alone
        back += f"&endpoint_id={endpoint.id}"
    if not context.catalogue.select(changed.event_types, changed.except_types):
        return context.redirect(f"{back}&refused={name}#type-{name}")
    body = {"event_types": changed.event_types, "except": changed.except_types}
    await context.call("changeEndpoint", path={"id": endpoint_id}, body=body)
    if on:  # offer the events of the type that it has not got
        back += f"&{urlencode({'missed_id': endpoint.id, 'missed_since': endpoint.updated_at})}"
    flash = f"{name} is {'on' if on else 'off'} for {endpoint.description or endpoint.url}."
    return context.redirect(f"{back}#type-{name}", flash=flash)


def _selection(endpoint: EndpointView) -> TypeSelection:
    return TypeSelection.of(endpoint.event_types, endpoint.except_types)


def _row(event_type: EventType, endpoints: list[EndpointView], columns: list[EndpointView]) -> EventTypeRow:
    return EventTypeRow(
        event_type,
        [each for each in endpoints if _selection(each).includes(event_type)],
        [(each, _selection(each).includes(event_type)) for each in columns],
    )


def _counts(catalogue: Catalogue, endpoint: EndpointView) -> EndpointTypes:
    selection = _selection(endpoint)
    return EndpointTypes(
        endpoint,
        [(sum(map(selection.includes, types)), len(types)) for _, types in catalogue.by_category()],
    )
