"""Clients: what people call them, and links that open the screens for one of them."""

from typing import Final

from starlette.responses import Response

from commerce_event.admin.endpoint_form import errors_as_worded
from commerce_event.admin.screen_context import ROOT, ScreenContext
from commerce_event.core.problems import Problem

_PAGE_SIZE: Final = 100
_DAY_S: Final = 86_400
LIFETIMES: Final = {
    "3600": "1 hour", str(_DAY_S): "1 day", str(7 * _DAY_S): "7 days", str(30 * _DAY_S): "30 days",
}  # fmt: skip


async def list_clients(context: ScreenContext) -> Response:
    return await _render(context, {})


async def name_client(context: ScreenContext) -> Response:
    client_id, name = context.field("client_id"), context.field("name")
    try:
        await context.call("nameClient", path={"client_id": client_id}, body={"name": name or None})
    except Problem as problem:
        errors = errors_as_worded(problem)
        if problem.status == 404:  # the number in the path
            errors = {"client_id": "Enter the client's number."}
        return await _render(context, errors, problem.status)
    flash = f"Client {client_id} is called {name}." if name else f"The name of client {client_id} is removed."
    return context.redirect(f"{ROOT}/clients", flash=flash)


async def new_portal_link(context: ScreenContext) -> Response:
    return await _render_link(context, {})


async def create_portal_link(context: ScreenContext) -> Response:
    client_id = context.field("client_id")
    body: dict[str, object] = {"role": context.field("role") or "read"}
    try:
        body["client_id"] = int(client_id)
        body["expires_in_s"] = int(context.field("expires_in_s"))
        created = await context.call("createPortalLink", body=body)
    except ValueError:
        wrong = "expires_in_s" if "client_id" in body else "client_id"
        text = "Choose how long it works." if wrong == "expires_in_s" else "Enter the client's number."
        return await _render_link(context, {wrong: text}, 422)
    except Problem as problem:
        place = "client_id" if problem.status == 403 and context.own_client is None else ""
        errors = {place: problem.detail} if problem.status == 403 else errors_as_worded(problem)
        return await _render_link(context, errors, problem.status)
    return context.redirect(f"{ROOT}/portal-links/new?client_id={created.client_id}", one_time=created.url)


async def _render(context: ScreenContext, errors: dict[str, str], status: int = 200) -> Response:
    found = await context.call("listClients", query={"limit": _PAGE_SIZE, "cursor": context.query.get("cursor")})
    return context.render(
        "clients.html",
        status,
        clients=found.items,
        form=context.form,
        errors=errors,
        next_url=context.url_with(cursor=found.next_cursor) if found.next_cursor else "",
        first_url=context.url_with(cursor=None) if "cursor" in context.query else "",
    )


async def _render_link(context: ScreenContext, errors: dict[str, str], status: int = 200) -> Response:
    return context.render(
        "portal_link.html",
        status,
        form=context.form or {"client_id": [context.query["client_id"]]},
        errors=errors,
        lifetimes=LIFETIMES,
        url=context.one_time_secret.take(context.request),
    )
