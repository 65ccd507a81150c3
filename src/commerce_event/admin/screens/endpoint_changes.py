"""Edit, switch and delete endpoints, and rotate their secrets. ``endpoint_path`` creates them."""

from collections.abc import Mapping

from starlette.responses import Response

from commerce_event.admin.endpoint_form import (
    LABELS,
    errors_as_sentences,
    form_of,
    read_form,
)
from commerce_event.admin.screen_context import ROOT, ScreenContext, safe_next
from commerce_event.admin.screens.endpoint_path import change_filter, choices, preview_of
from commerce_event.api.endpoint_preview import EndpointPreviewView
from commerce_event.api.response_models import EndpointView
from commerce_event.core.problems import Problem


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
    for name in ("client_id", "signing"):  # these cannot be changed
        del fields[name]
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
