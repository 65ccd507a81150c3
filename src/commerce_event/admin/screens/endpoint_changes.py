"""Edit, pause, switch and delete endpoints, and rotate their secrets. What loses events is asked first."""

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

from commerce_event.admin.endpoint_form import (
    LABELS,
    errors_as_sentences,
    form_of,
    read_form,
)
from commerce_event.admin.screen_context import ROOT, ScreenContext, safe_next
from commerce_event.admin.screens.endpoint import actions_for
from commerce_event.admin.screens.endpoint_path import change_filter, choices, preview_of, with_offer
from commerce_event.api.endpoint_preview import EndpointPreviewView
from commerce_event.api.response_models import EndpointView, display_name
from commerce_event.core.problems import Problem

_LOSING: Final = frozenset({"pause", "off", "delete"})  # actions whose difference is said


async def edit_endpoint(context: ScreenContext) -> Response:
    endpoint = await context.call("getEndpoint", path={"id": context.path_id})
    return await _form(context, endpoint, form_of(endpoint, context.catalogue), {})


async def change_endpoint(context: ScreenContext) -> Response:
    endpoint = await context.call("getEndpoint", path={"id": context.path_id})
    form, was_changed = change_filter(context.form, context.field("go"))
    if was_changed:
        return await _form(context, endpoint, form, {})
    form = {**form, "client_id": [str(endpoint.client_id)], "signing": [endpoint.signing]}
    fields, errors = read_form(form, context.address_policy, context.catalogue, kept=endpoint.headers)
    if errors:
        return await _form(context, endpoint, form, errors, 422)
    if context.field("go") == "try":
        return await _form(context, endpoint, form, {}, preview=await preview_of(context, fields))
    for name in ("client_id", "signing", "enabled"):  # these cannot be changed, or are asked on a page of their own
        del fields[name]
    try:
        changed = await context.call("changeEndpoint", path={"id": endpoint.id}, body=fields)
    except Problem as problem:
        return await _form(context, endpoint, context.form, errors_as_sentences(problem), problem.status)
    back = _back(context.field("back"), endpoint)
    if back == f"{ROOT}/endpoints/{endpoint.id}" and _wanted(changed) != _wanted(endpoint):
        back = with_offer(endpoint.id, endpoint.updated_at)
    return context.redirect(back, flash="Saved.")


async def ask(context: ScreenContext) -> Response:
    """Ask before an endpoint is paused, resumed, switched or deleted: what it means, with numbers."""
    action = context.request.url.path.rpartition("/")[2]
    path = {"id": context.path_id}
    endpoint = await context.call("getEndpoint", path=path)
    if action not in {name for name, _ in actions_for(endpoint)}:  # it was done meanwhile
        return context.redirect(f"{ROOT}/endpoints/{endpoint.id}")
    impact = await context.call("endpointImpact", path=path)
    sentences = {
        "pause": impact.pause, "resume": impact.resume, "on": impact.resume, "off": impact.off, "delete": impact.delete,
    }  # fmt: skip
    return context.render(
        "endpoint_switch.html",
        endpoint=endpoint,
        name=display_name(endpoint),
        action=action,
        title=dict(actions_for(endpoint))[action],
        sentence=sentences[action],
        impact=impact,
        others=[
            (name, label, sentences[name])
            for name, label in actions_for(endpoint)
            if name != action and name in _LOSING and action in _LOSING
        ],
    )


async def pause_endpoint(context: ScreenContext) -> Response:
    return await _switch(context, {"paused": True}, "Paused. Its deliveries are held, and nothing is lost.")


async def resume_endpoint(context: ScreenContext) -> Response:
    return await _switch(context, {"paused": False}, "Resumed. What was held is being sent.")


async def switch_off(context: ScreenContext) -> Response:
    return await _switch(context, {"enabled": False}, "Switched off.")


async def switch_on(context: ScreenContext) -> Response:
    """Switch an endpoint on, and offer to send what it missed while it was off."""
    off = await context.call("getEndpoint", path={"id": context.path_id})
    await context.call("changeEndpoint", path={"id": off.id}, body={"enabled": True})
    return context.redirect(
        f"{ROOT}/endpoints/{off.id}" if off.enabled else with_offer(off.id, off.state_since), flash="Switched on."
    )


async def _switch(context: ScreenContext, change: dict[str, bool], flash: str) -> Response:
    await context.call("changeEndpoint", path={"id": context.path_id}, body=change)
    return context.redirect(f"{ROOT}/endpoints/{context.path_id}", flash=flash)


def _wanted(endpoint: EndpointView) -> tuple[object, ...]:
    """Return the settings that decide which events the endpoint gets."""
    return endpoint.event_types, endpoint.except_types, endpoint.filter, endpoint.application_id


async def delete_endpoint(context: ScreenContext) -> Response:
    await context.call("deleteEndpoint", path={"id": context.path_id})
    flash = "Deleted. Its pending deliveries are cancelled; its history is kept."
    return context.redirect(f"{ROOT}/endpoints", flash=flash)


async def rotate_secret(context: ScreenContext) -> Response:
    rotated = await context.call("rotateSecret", path={"id": context.path_id}, body={})
    return context.redirect(f"{ROOT}/endpoints/{context.path_id}/secret", one_time=rotated.secret or rotated.public_key)


async def _form(
    context: ScreenContext,
    endpoint: EndpointView,
    form: Mapping[str, list[str]],
    errors: Mapping[str, str],
    status: int = 200,
    *,
    preview: EndpointPreviewView | None = None,
) -> Response:
    return context.render(
        "endpoint_form.html",
        status,
        endpoint=endpoint,
        form=form,
        errors=errors,
        labels=LABELS,
        preview=preview,
        back=_back(context.field("back") or context.query["back"], endpoint),
        **await choices(context, form),
    )


def _back(path: str, endpoint: EndpointView) -> str:
    """Return the page that the person came from; by default the endpoint."""
    return safe_next(path) if path else f"{ROOT}/endpoints/{endpoint.id}"
