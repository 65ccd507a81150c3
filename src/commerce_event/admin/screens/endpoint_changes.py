"""Endpoints are made, edited, switched, deleted, and given new secrets."""

from collections.abc import Mapping

from starlette.responses import Response

from commerce_event.admin.endpoint_form import LABELS, blank, faults_in, fields_of, form_of, of_problem
from commerce_event.admin.page import ROOT, Page, safe_next
from commerce_event.api.response_models import EndpointView
from commerce_event.contract.catalogue import CATEGORIES, EVENT_TYPES
from commerce_event.core.comparisons import COMPARISONS
from commerce_event.core.problems import Problem


async def new_endpoint(page: Page) -> Response:
    return _form(page, None, blank(page.query.get("client_id", "")), {})


async def create_endpoint(page: Page) -> Response:
    fields, faults = fields_of(page.form)
    faults = {**faults_in(fields, page.services.policy), **faults}
    if faults:
        return _form(page, None, page.form, faults, 422)
    try:
        made = await page.call("createEndpoint", body=fields)
    except Problem as problem:
        return _form(page, None, page.form, of_problem(problem), problem.status)
    return page.redirect(f"{ROOT}/endpoints/{made.id}", said="The endpoint is made.", reveal=made.secret)


async def edit_endpoint(page: Page) -> Response:
    endpoint = await page.call("getEndpoint", path={"id": page.id()})
    return _form(page, endpoint, form_of(endpoint), {})


async def change_endpoint(page: Page) -> Response:
    endpoint = await page.call("getEndpoint", path={"id": page.id()})
    fields, faults = fields_of(page.form)
    for name in ("client_id", "signing"):
        fields.pop(name, None)
        faults.pop(name, None)
    faults = {**faults_in(fields, page.services.policy, kept=endpoint.headers), **faults}
    if faults:
        return _form(page, endpoint, page.form, faults, 422)
    try:
        await page.call("changeEndpoint", path={"id": endpoint.id}, body=fields)
    except Problem as problem:
        return _form(page, endpoint, page.form, of_problem(problem), problem.status)
    return page.redirect(_back(page.text("back"), endpoint), said="Saved.")


async def switch_endpoint(page: Page) -> Response:
    on = page.text("on") == "1"
    await page.call("changeEndpoint", path={"id": page.id()}, body={"enabled": on})
    return page.redirect(f"{ROOT}/endpoints/{page.id()}", said="Switched on." if on else "")


async def delete_endpoint(page: Page) -> Response:
    await page.call("deleteEndpoint", path={"id": page.id()})
    return page.redirect(f"{ROOT}/endpoints", said="Deleted. What waited for it is cancelled; its history stays.")


async def rotate_secret(page: Page) -> Response:
    made = await page.call("rotateSecret", path={"id": page.id()}, body={})
    return page.redirect(f"{ROOT}/endpoints/{page.id()}", reveal=made.secret)


def _form(
    page: Page,
    endpoint: EndpointView | None,
    form: Mapping[str, list[str]],
    errors: Mapping[str, str],
    status: int = 200,
) -> Response:
    by_category = [(name, [e for e in EVENT_TYPES.values() if e.category == name]) for name in CATEGORIES]
    wanted = page.text("back") or page.query["back"]
    return page.show(
        "endpoint_form.html",
        status,
        endpoint=endpoint,
        form=form,
        errors=errors,
        labels=LABELS,
        categories=by_category,
        comparisons=COMPARISONS,
        back=_back(wanted, endpoint),
        timeout_s=page.services.settings.timeout_s,
    )


def _back(wanted: str, endpoint: EndpointView | None) -> str:
    """Return where the person came from, else the endpoint."""
    if wanted:
        return safe_next(wanted)
    return f"{ROOT}/endpoints/{endpoint.id}" if endpoint is not None else f"{ROOT}/endpoints"
