"""The path of a new endpoint: URL, event types, filter, then its secret with a handler, and a test.

Each step is a form that carries what was typed in the others, so it works without scripts and nothing typed is lost.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from commerce_event.admin.endpoint_form import (
    LABELS,
    Errors,
    Form,
    blank_form,
    errors_as_sentences,
    filter_rows,
    read_form,
    with_filter_rows,
)
from commerce_event.admin.filter_rows import COMPARISONS, ROWS_MAX, FilterRow, property_kinds
from commerce_event.admin.payload_selection import property_groups
from commerce_event.admin.screen_context import ROOT, ScreenContext
from commerce_event.api.endpoint_preview import EndpointPreviewView
from commerce_event.api.response_models import EndpointView, display_name
from commerce_event.core.clock import parse_rfc3339, rfc3339
from commerce_event.core.problems import Problem

_EARLIER_MS: Final = 86_400_000  # before its creation: events that a new endpoint is offered
_SUGGESTED_MAX: Final = 300  # properties that the filter's fields suggest


class Step(msgspec.Struct, frozen=True):
    """A step of the path. ``fields`` are those of the form that it shows."""

    name: str
    label: str
    fields: frozenset[str] = frozenset()


_STEPS: Final = (
    Step("destination", "URL", frozenset({"url", "client_id", "application_id", "description", "enabled"})),
    Step("types", "Event types", frozenset({"event_types", "except"})),
    Step("filter", "Filter"),  # with all other fields
)
STEPS: Final = (*_STEPS, Step("secret", "Secret and handler"), Step("test", "Test"))
_CONTROLS: Final = frozenset({"csrf", "step", "go"})


async def new_endpoint(context: ScreenContext) -> Response:
    return await _show(context, _STEPS[0], blank_form(context.query.get("client_id", "")), {})


async def create_endpoint(context: ScreenContext) -> Response:
    """Go to another step, try the filter, or create the endpoint; ``go`` says which."""
    go = context.field("go") or "create"
    number = next((at for at, step in enumerate(_STEPS) if step.name == context.field("step")), len(_STEPS) - 1)
    step = _STEPS[number]
    form, was_changed = change_filter(context.form, go)
    if was_changed:
        return await _show(context, step, form, {})
    if go == "back":
        return await _show(context, _STEPS[max(0, number - 1)], form, {})
    fields, errors = read_form(form, context.address_policy, context.catalogue)
    if go == "next":
        here = {name: text for name, text in errors.items() if _step_of(name) == step}
        return await _show(context, step, form, here, 422) if here else await _show(context, _STEPS[number + 1], form)
    status = 422
    if not errors:
        try:
            if go == "try":
                return await _show(context, step, form, preview=await preview_of(context, fields))
            created = await context.call("createEndpoint", body=fields)
        except Problem as problem:
            errors, status = errors_as_sentences(problem), problem.status
        else:
            path = f"{ROOT}/endpoints/{created.id}/secret?new=1"
            return context.redirect(path, flash="The endpoint is created.", one_time=created.secret or "")
    first = next((each for each in _STEPS if any(_step_of(name) == each for name in errors)), step)
    return await _show(context, first, form, errors, status)


async def show_secret(context: ScreenContext) -> Response:
    """Show a new secret once, and what the receiver does with it."""
    endpoint: EndpointView = await context.call("getEndpoint", path={"id": context.path_id})
    return context.render(
        "endpoint_secret.html",
        endpoint=endpoint,
        name=display_name(endpoint),
        secret=context.one_time_secret.take(context.request),
        old_secret_ends_at=max((each.expires_at or "" for each in endpoint.secrets[1:]), default=""),
        steps=STEPS,
        step="secret",
        is_new=bool(context.query["new"]),
        endpoint_url=offer_to(endpoint) if context.query["new"] else f"{ROOT}/endpoints/{endpoint.id}",
    )


def offer_to(endpoint: EndpointView) -> str:
    """Return the page of a new endpoint, which offers to send the events of the day before."""
    return with_offer(endpoint.id, rfc3339(parse_rfc3339(endpoint.created_at) - _EARLIER_MS))


def with_offer(endpoint_id: str, since: str) -> str:
    """Return the page of an endpoint that offers to send what it missed since then."""
    return f"{ROOT}/endpoints/{endpoint_id}?{urlencode({'missed_since': since})}"


def change_filter(form: Form, go: str) -> tuple[dict[str, list[str]], bool]:
    """Return the form with a row added to the filter or removed from it, and whether ``go`` asks for that."""
    rows = filter_rows(form)
    if go == "add_row" and len(rows) < ROWS_MAX:
        return with_filter_rows({**form, "filter_mode": ["rows"]}, [*rows, FilterRow()]), True
    action, _, text = go.partition(":")
    if action == "remove_row" and text.isascii() and text.isdigit() and int(text) < len(rows):
        return with_filter_rows(form, [row for at, row in enumerate(rows) if at != int(text)]), True
    return dict(form), go == "add_row"


async def preview_of(context: ScreenContext, fields: Mapping[str, Any]) -> EndpointPreviewView:
    """Return which of the client's newest events an endpoint with these fields would get."""
    names = ("client_id", "application_id", "event_types", "except", "filter")
    found: EndpointPreviewView = await context.call_in_turn(
        "previewEndpoint", body={name: fields[name] for name in names if name in fields}
    )
    return found


async def choices(context: ScreenContext, form: Form) -> dict[str, Any]:
    """Return what the fields of an endpoint offer."""
    catalogue = context.catalogue
    chosen = [name for name in form.get("event_types", []) if name in catalogue.entries]
    kinds = property_kinds(catalogue.select(chosen or ["*"]))
    return {
        "categories": catalogue.by_category(),
        "property_groups": property_groups(catalogue),
        "comparisons": COMPARISONS,
        "suggested": sorted(kinds.items())[:_SUGGESTED_MAX],
        "rows": filter_rows(form) or [FilterRow()],
        "rows_max": ROWS_MAX,
        "timeout_s": (await context.call("readNode")).timeout_s,
    }


def _step_of(name: str) -> Step:
    """Return the step that shows a field."""
    return next((step for step in _STEPS if name in step.fields), _STEPS[-1])


async def _show(
    context: ScreenContext,
    step: Step,
    form: Form,
    errors: Errors | None = None,
    status: int = 200,
    *,
    preview: EndpointPreviewView | None = None,
) -> Response:
    carried = [
        (name, value)
        for name, values in form.items()
        if name not in _CONTROLS and _step_of(name) != step
        for value in values
    ]
    return context.render(
        "endpoint_path.html",
        status,
        endpoint=None,
        form=form,
        errors=errors or {},
        labels=LABELS,
        steps=STEPS,
        step=step.name,
        carried=carried,
        preview=preview,
        **await choices(context, form),
    )
