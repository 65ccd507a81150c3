"""Create, edit, pause, switch and delete endpoints, and rotate their secrets. What loses events is asked first."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from starlette.responses import Response

from commerce_event.admin.endpoint_form import (
    LABELS,
    blank_form,
    check_fields,
    errors_as_sentences,
    form_of,
    read_fields,
)
from commerce_event.admin.payload_selection import property_groups
from commerce_event.admin.screen_context import ROOT, ScreenContext, safe_next
from commerce_event.admin.screens.endpoint import actions_for, display_name
from commerce_event.api.response_models import EndpointView
from commerce_event.core.clock import parse_rfc3339, rfc3339
from commerce_event.core.comparisons import COMPARISONS
from commerce_event.core.problems import Problem

_EARLIER_MS: Final = 86_400_000  # before its creation: events that a new endpoint is offered
_LOSING: Final = frozenset({"pause", "off", "delete"})  # actions whose difference is said


async def new_endpoint(context: ScreenContext) -> Response:
    return await _form(context, None, blank_form(context.query.get("client_id", "")), {})


async def create_endpoint(context: ScreenContext) -> Response:
    fields, errors = read_fields(context.form)
    errors = {**check_fields(fields, context.address_policy, context.catalogue), **errors}
    if errors:
        return await _form(context, None, context.form, errors, 422)
    try:
        created = await context.call("createEndpoint", body=fields)
    except Problem as problem:
        return await _form(context, None, context.form, errors_as_sentences(problem), problem.status)
    since_ms = parse_rfc3339(created.created_at) - _EARLIER_MS
    return context.redirect(
        _with_offer(created.id, rfc3339(since_ms)), flash="The endpoint is created.", one_time=created.secret
    )


async def edit_endpoint(context: ScreenContext) -> Response:
    endpoint = await context.call("getEndpoint", path={"id": context.path_id})
    return await _form(context, endpoint, form_of(endpoint, context.catalogue), {})


async def change_endpoint(context: ScreenContext) -> Response:
    endpoint = await context.call("getEndpoint", path={"id": context.path_id})
    fields, errors = read_fields(context.form)
    for name in ("client_id", "signing", "enabled"):  # these cannot be changed, or are asked on a page of their own
        fields.pop(name, None)
        errors.pop(name, None)
    errors = {**check_fields(fields, context.address_policy, context.catalogue, kept=endpoint.headers), **errors}
    if errors:
        return await _form(context, endpoint, context.form, errors, 422)
    try:
        changed = await context.call("changeEndpoint", path={"id": endpoint.id}, body=fields)
    except Problem as problem:
        return await _form(context, endpoint, context.form, errors_as_sentences(problem), problem.status)
    back = _back(context.field("back"), endpoint)
    if back == f"{ROOT}/endpoints/{endpoint.id}" and _wanted(changed) != _wanted(endpoint):
        back = _with_offer(endpoint.id, endpoint.updated_at)
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
        f"{ROOT}/endpoints/{off.id}" if off.enabled else _with_offer(off.id, off.state_since), flash="Switched on."
    )


async def _switch(context: ScreenContext, change: dict[str, bool], flash: str) -> Response:
    await context.call("changeEndpoint", path={"id": context.path_id}, body=change)
    return context.redirect(f"{ROOT}/endpoints/{context.path_id}", flash=flash)


def _with_offer(endpoint_id: str, since: str) -> str:
    """Return the page of an endpoint that offers to send what it missed since then."""
    return f"{ROOT}/endpoints/{endpoint_id}?{urlencode({'missed_since': since})}"


def _wanted(endpoint: EndpointView) -> tuple[object, ...]:
    """Return the settings that decide which events the endpoint gets."""
    return endpoint.event_types, endpoint.except_types, endpoint.filter, endpoint.application_id


async def delete_endpoint(context: ScreenContext) -> Response:
    await context.call("deleteEndpoint", path={"id": context.path_id})
    flash = "Deleted. Its pending deliveries are cancelled; its history is kept."
    return context.redirect(f"{ROOT}/endpoints", flash=flash)


async def rotate_secret(context: ScreenContext) -> Response:
    rotated = await context.call("rotateSecret", path={"id": context.path_id}, body={})
    return context.redirect(f"{ROOT}/endpoints/{context.path_id}", one_time=rotated.secret)


async def _form(
    context: ScreenContext,
    endpoint: EndpointView | None,
    form: Mapping[str, list[str]],
    errors: Mapping[str, str],
    status: int = 200,
) -> Response:
    return context.render(
        "endpoint_form.html",
        status,
        endpoint=endpoint,
        form=form,
        errors=errors,
        labels=LABELS,
        categories=context.catalogue.by_category(),
        property_groups=property_groups(context.catalogue),
        comparisons=COMPARISONS,
        back=_back(context.field("back") or context.query["back"], endpoint),
        timeout_s=(await context.call("readNode")).timeout_s,
    )


def _back(path: str, endpoint: EndpointView | None) -> str:
    """Return the page that the person came from; by default the endpoint."""
    if path:
        return safe_next(path)
    return f"{ROOT}/endpoints/{endpoint.id}" if endpoint is not None else f"{ROOT}/endpoints"
