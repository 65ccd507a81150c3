"""Refused events: list them, look at one with its faults, accept it as it is or corrected, or discard it."""

from typing import Final

import msgspec
from starlette.responses import Response

from commerce_event.accept.strict_json import load
from commerce_event.admin.endpoint_form import errors_as_worded
from commerce_event.admin.screen_context import ROOT, ScreenContext
from commerce_event.api.paging import Listing
from commerce_event.api.refusals import RefusalDetailView, RefusalView
from commerce_event.contract.labels import label_of
from commerce_event.contract.near_names import nearest_name
from commerce_event.core.problems import Problem
from commerce_event.web.highlight import json_text
from commerce_event.web.payload import payload

_PAGE_SIZE: Final = 50
_FILTERS: Final = ("state", "type", "client_id")
_STATES: Final = (("open", "open"), ("accepted", "accepted"), ("discarded", "discarded"), ("all", "All"))
# In a form a character may take three bytes: larger events are corrected with the command.
_EDITABLE_MAX: Final = 20_000


async def list_refusals(context: ScreenContext) -> Response:
    state = context.query.get("state", "open")
    query = {name: context.query.get(name) for name in ("type", "client_id", "cursor")}
    errors: dict[str, str] = {}
    status = 200
    try:
        parameters = {**query, "state": None if state == "all" else state, "limit": _PAGE_SIZE}
        found: Listing[RefusalView] = await context.call("listRefusals", query=parameters)
    except Problem as problem:
        found, errors = Listing([], None), _filter_errors(problem)
        status = problem.status
    return context.render(
        "refusals.html",
        status,
        rows=found.items,
        errors=errors,
        state=state,
        states=_STATES,
        filter_count=sum(name in context.query for name in _FILTERS),
        next_url=context.url_with(cursor=found.next_cursor) if found.next_cursor else "",
        first_url=context.url_with(cursor=None) if "cursor" in context.query else "",
    )


async def show_refusal(context: ScreenContext) -> Response:
    return await _render(context)


async def accept_refusal(context: ScreenContext) -> Response:
    try:
        accepted = await context.call("acceptRefusal", path={"id": context.path_id})
    except Problem as problem:
        return await _render(context, problem)
    return _accepted(context, accepted)


async def correct_refusal(context: ScreenContext) -> Response:
    text, event_type = context.field("data"), context.field("type")
    members = [b'"data":' + text.encode()] if text else []
    if event_type:
        members.append(b'"type":' + msgspec.json.encode(event_type))
    try:
        if not text:
            raise Problem(422, "Enter the corrected event.")
        load(text.encode())  # by itself, so that an error names the byte in it
        raw_body = b"{" + b",".join(members) + b"}"
        accepted = await context.call("acceptRefusal", path={"id": context.path_id}, raw_body=raw_body)
    except Problem as problem:
        return await _render(context, problem, typed=text, typed_type=event_type)
    return _accepted(context, accepted)


async def discard_refusal(context: ScreenContext) -> Response:
    reason = context.field("reason")
    try:
        await context.call("discardRefusal", path={"id": context.path_id}, body={"reason": reason} if reason else {})
    except Problem as problem:
        return await _render(context, problem, reason=reason)
    return context.redirect(f"{ROOT}/refusals", flash="The refused event is discarded.")


async def _render(context: ScreenContext, problem: Problem | None = None, **typed: str) -> Response:
    """Show a refused event, with what was typed and why that was not possible."""
    refusal: RefusalDetailView = await context.call("getRefusal", path={"id": context.path_id})
    body = msgspec.json.decode(refusal.body)
    text = body if isinstance(body, str) else json_text(bytes(refusal.body))
    is_known = refusal.type in context.catalogue.types
    return context.render(
        "refusal.html",
        200 if problem is None else problem.status,
        refusal=refusal,
        label=label_of(refusal.type or "", bytes(refusal.body)),
        payload=payload(
            body.encode() if isinstance(body, str) else bytes(refusal.body), whole=context.query["payload"] == "full"
        ),
        editable=len(text.encode()) <= _EDITABLE_MAX,
        is_known=is_known,
        typed=typed.get("typed", text),
        typed_type=typed.get("typed_type", refusal.type if is_known else _near_type(context, refusal.type)),
        typed_reason=typed.get("reason", ""),
        is_correcting="typed" in typed,
        shows_at_form="typed" in typed and refusal.state == "open" and context.may_change,
        types=[(name, [each.name for each in types]) for name, types in context.catalogue.by_category()],
        problem=problem,
        problem_faults=[] if problem is None else _places(problem),
    )


def _near_type(context: ScreenContext, sent: str | None) -> str:
    """Return the known type that was probably meant, or an empty text."""
    return (nearest_name(sent, context.catalogue.types) if sent else None) or ""


def _places(problem: Problem) -> list[tuple[str, str]]:
    """Return the faults that the detail of the problem does not state already."""
    faults = [each for each in problem.faults if each.message[1:] not in problem.detail]
    return [(each.pointer.removeprefix("/data"), each.message) for each in faults]


def _accepted(context: ScreenContext, refusal: RefusalDetailView) -> Response:
    return context.redirect(f"{ROOT}/events/{refusal.event_id}", flash="The refused event is accepted.")


def _filter_errors(problem: Problem) -> dict[str, str]:
    """Return what is wrong with the filters. Raises the problem when it is about something else."""
    errors = {"client_id": problem.detail} if problem.status == 403 else errors_as_worded(problem)
    if not errors.keys() <= {"client_id", "type", "state"}:
        raise problem
    if "client_id" in errors and problem.status != 403:
        errors["client_id"] = "Enter the client's number."
    return errors
