"""Create, edit, switch and delete endpoints, and rotate their secrets."""

from collections.abc import Mapping

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
from commerce_event.api.response_models import EndpointView
from commerce_event.core.comparisons import COMPARISONS
from commerce_event.core.problems import Problem


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
    path = f"{ROOT}/endpoints/{created.id}"
    return context.redirect(path, flash="The endpoint is created.", one_time=created.secret)


async def edit_endpoint(context: ScreenContext) -> Response:
    endpoint = await context.call("getEndpoint", path={"id": context.path_id})
    return await _form(context, endpoint, form_of(endpoint, context.catalogue), {})


async def change_endpoint(context: ScreenContext) -> Response:
    endpoint = await context.call("getEndpoint", path={"id": context.path_id})
    fields, errors = read_fields(context.form)
    for name in ("client_id", "signing"):  # these cannot be changed
        fields.pop(name, None)
        errors.pop(name, None)
    errors = {**check_fields(fields, context.address_policy, context.catalogue, kept=endpoint.headers), **errors}
    if errors:
        return await _form(context, endpoint, context.form, errors, 422)
    try:
        await context.call("changeEndpoint", path={"id": endpoint.id}, body=fields)
    except Problem as problem:
        return await _form(context, endpoint, context.form, errors_as_sentences(problem), problem.status)
    return context.redirect(_back(context.field("back"), endpoint), flash="Saved.")


async def switch_endpoint(context: ScreenContext) -> Response:
    on = context.field("on") == "1"
    await context.call("changeEndpoint", path={"id": context.path_id}, body={"enabled": on})
    return context.redirect(f"{ROOT}/endpoints/{context.path_id}", flash="Switched on." if on else "")


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
