"""Event settings of a notification: which data changes raise it, for each client and application."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from commerce_event.admin.event_setting_form import (
    LABELS,
    OPERATIONS,
    blank_form,
    chosen_fields,
    errors_of,
    form_of,
    read_fields,
)
from commerce_event.admin.screen_context import ROOT, ScreenContext
from commerce_event.api.event_setting_preview import PreviewView
from commerce_event.api.event_settings import PER_CLIENT_MAX, EventSettingView
from commerce_event.contract.entities import NOTIFICATIONS, NotificationSource
from commerce_event.core.changes.words import describe_entity
from commerce_event.core.problems import Problem, not_found

_PAGE_SIZE: Final = 200
_SHOWN_MAX: Final = 100  # while no client is chosen
_OFFERED_MAX: Final = 100  # names of fields

OFF: Final = "While a setting is off, nothing is tracked: changes in that time raise nothing, also later."


class SettingRow(msgspec.Struct, frozen=True):
    """An entity with its setting; None where there is none."""

    entity: str
    what: str
    setting: EventSettingView | None


class SettingTable(msgspec.Struct, frozen=True):
    """The settings of a client for one application; None for all applications."""

    client_id: int
    application_id: int | None
    rows: list[SettingRow]


async def list_settings(context: ScreenContext) -> Response:
    return await _render_list(context)


async def show_setting(context: ScreenContext) -> Response:
    """Redirect to the event type, which shows its settings."""
    return context.redirect(_address(await _find(context)))


async def new_setting(context: ScreenContext) -> Response:
    source = _source(context)
    return await _form(context, source, None, blank_form(source, context.query), {})


async def create_setting(context: ScreenContext) -> Response:
    source = _source(context)
    body, errors = read_fields(context.form, source, is_new=True)
    return await _submit(context, source, None, body, errors)


async def edit_setting(context: ScreenContext) -> Response:
    setting = await _find(context)
    return await _form(context, NOTIFICATIONS[setting.event_type], setting, form_of(setting), {})


async def change_setting(context: ScreenContext) -> Response:
    setting = await _find(context)
    source = NOTIFICATIONS[setting.event_type]
    body, errors = read_fields(context.form, source, is_new=False)
    return await _submit(context, source, setting, body, errors)


async def switch_setting(context: ScreenContext) -> Response:
    on = context.field("on") == "1"
    setting = await context.call("changeEventSetting", path={"id": context.path_id}, body={"enabled": on})
    return context.redirect(_address(setting), flash="Switched on." if on else f"Switched off. {OFF}")


async def delete_setting(context: ScreenContext) -> Response:
    setting = await _find(context)
    await context.call("deleteEventSetting", path={"id": setting.id})
    flash = "Deleted. Changes that were accepted before are still explained with it."
    return context.redirect(_tab(setting.event_type, setting.client_id), flash=flash)


async def list_fields(context: ScreenContext) -> Response:
    """Answer with the fields to choose from, for the part of the form that depends on client and entity."""
    chosen = context.request.query_params.getlist("fields")
    form = {"client_id": [context.chosen_client], "entity": [context.query["entity"]], "fields": chosen}
    offered = await _offered(context, None, form)
    return context.render("event_setting_fields.html", source=_source(context), setting=None, offered=offered)


async def _submit(
    context: ScreenContext,
    source: NotificationSource,
    setting: EventSettingView | None,
    body: dict[str, Any],
    errors: dict[str, str],
) -> Response:
    """Preview or save what was typed; show the form again when it has errors."""
    if errors:
        return await _form(context, source, setting, context.form, errors, 422)
    try:
        if context.field("action") == "preview":
            fixed = {} if setting is None else _fixed(setting)
            preview = await context.call("previewEventSetting", body={"setting": {**fixed, **body}})
            return await _form(context, source, setting, context.form, {}, preview=preview)
        if setting is None:
            saved = await context.call("createEventSetting", body=body)
        else:
            saved = await context.call("changeEventSetting", path={"id": setting.id}, body=body)
    except Problem as problem:
        return await _form(context, source, setting, context.form, errors_of(problem), problem.status)
    return context.redirect(_address(saved), flash=f"Saved. {saved.sentence}")


async def _form(
    context: ScreenContext,
    source: NotificationSource,
    setting: EventSettingView | None,
    form: Mapping[str, list[str]],
    errors: Mapping[str, str],
    status: int = 200,
    preview: PreviewView | None = None,
) -> Response:
    client_id = setting.client_id if setting is not None else context.chosen_client
    return context.render(
        "event_setting_form.html",
        status,
        source=source,
        setting=setting,
        form=form,
        errors=errors,
        labels=LABELS,
        operations=OPERATIONS[:2] if source.rule == "break_point" else OPERATIONS,
        entities=[(each, describe_entity(each)) for each in source.entities],
        entity=setting.entity if setting is not None else (form.get("entity") or [""])[0],
        offered=await _offered(context, setting, form),
        preview=preview,
        off=OFF,
        back=_tab(source.event_type, client_id),
    )


async def _offered(
    context: ScreenContext, setting: EventSettingView | None, form: Mapping[str, list[str]]
) -> list[tuple[str, bool]]:
    """Return the fields to choose from, and whether each is chosen: those that are chosen, and those that are known."""
    if setting is not None:
        query: dict[str, Any] = {"client_id": setting.client_id, "entity": setting.entity}
    else:
        query = {name: (form.get(name) or [""])[0].strip() for name in ("client_id", "entity")}
    known: list[str] = []
    if all(query.values()):
        try:
            known = (await context.call("listEntityFields", query=query)).fields
        except Problem as problem:
            if problem.status not in {403, 422}:  # what is wrong is said when the form is sent
                raise
    chosen = chosen_fields(form)
    names = [*known[:_OFFERED_MAX], *(name for name in chosen if name not in known[:_OFFERED_MAX])]
    return [(name, name in chosen) for name in names]


async def _render_list(context: ScreenContext) -> Response:
    source = _source(context)
    clients = await _clients(context, source)
    chosen = context.query["client_id"] or (str(clients[0]) if len(clients) == 1 else "")
    settings, more = await _settings(context, source, chosen)
    client_id: int | None = msgspec.convert(chosen, int, strict=False) if chosen else None
    return context.render(
        "event_settings.html",
        event_type=context.catalogue.types[source.event_type],
        source=source,
        clients=clients,
        chosen=chosen,
        tables=_tables(source, settings, client_id),
        has_settings=bool(settings),
        more=more,
        off=OFF,
    )


async def _clients(context: ScreenContext, source: NotificationSource) -> list[int]:
    """Return the clients to choose from: those of the key, or those with an endpoint or a setting."""
    if context.session.key.client_ids is not None:
        return sorted(context.session.key.client_ids)
    found = await context.call("listEventSettings", query={"event_type": source.event_type, "limit": _PAGE_SIZE})
    endpoints = await context.all_endpoints()
    return sorted({each.client_id for each in [*found.items, *endpoints]})


async def _settings(
    context: ScreenContext, source: NotificationSource, client_id: str
) -> tuple[list[EventSettingView], bool]:
    """Return the settings of a client, or the newest ones of all clients, and whether there are more."""
    query = {"event_type": source.event_type, "client_id": client_id or None, "limit": _PAGE_SIZE}
    if not client_id:
        page = await context.call("listEventSettings", query={**query, "limit": _SHOWN_MAX})
        return page.items, page.next_cursor is not None
    found: list[EventSettingView] = []
    cursor: str | None = None
    while len(found) < PER_CLIENT_MAX:
        page = await context.call("listEventSettings", query={**query, "cursor": cursor})
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    return found, False


def _tables(source: NotificationSource, settings: list[EventSettingView], client_id: int | None) -> list[SettingTable]:
    """Return the settings by client and application; for a chosen client also the entities without a setting."""
    groups: dict[tuple[int, int | None], dict[str, EventSettingView]] = {}
    if client_id is not None:
        groups[client_id, None] = {}
    for setting in settings:
        groups.setdefault((setting.client_id, setting.application_id), {})[setting.entity] = setting
    tables = []
    for (client, application), by_entity in groups.items():
        known = source.entities if client_id is not None and application is None else ()
        names = [*known, *sorted(by_entity.keys() - set(known))]
        rows = [SettingRow(name, describe_entity(name), by_entity.get(name)) for name in names]
        tables.append(SettingTable(client, application, rows))
    return sorted(tables, key=_order)


def _order(table: SettingTable) -> tuple[int, bool, int]:
    """Sort by client; all applications come first."""
    return table.client_id, table.application_id is not None, table.application_id or 0


def _source(context: ScreenContext) -> NotificationSource:
    source = NOTIFICATIONS.get(context.request.path_params["name"])
    if source is None:
        raise not_found("notification with event settings")
    return source


async def _find(context: ScreenContext) -> EventSettingView:
    setting: EventSettingView = await context.call("getEventSetting", path={"id": context.path_id})
    return setting


def _fixed(setting: EventSettingView) -> dict[str, Any]:
    """Return what cannot be changed of a setting."""
    return {name: getattr(setting, name) for name in ("client_id", "application_id", "event_type", "entity")}


def _tab(event_type: str, client_id: int | str) -> str:
    query = f"?{urlencode({'client_id': client_id})}" if client_id else ""
    return f"{ROOT}/types/{event_type}/settings{query}"


def _address(setting: EventSettingView) -> str:
    return f"{_tab(setting.event_type, setting.client_id)}#{setting.id}"
