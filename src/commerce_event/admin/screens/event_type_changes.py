"""Own event types: create, change, delete."""

from typing import Any, Final

import msgspec
from starlette.responses import Response

from commerce_event.accept.errors import NotJsonError
from commerce_event.accept.strict_json import load
from commerce_event.admin.screen_context import ROOT, Form, ScreenContext
from commerce_event.admin.screens.event_types import show_type
from commerce_event.core.problems import Problem, not_found
from commerce_event.web.highlight import json_text

Errors = dict[str, str]
_LABELS: Final = {"schema": "JSON Schema", "example": "Example", "name": "Name", "category": "Category"}
_SAMPLE_SCHEMA: Final = {
    "type": "object",
    "properties": {"ExportId": {"type": "integer", "description": "Number of the export."}},
    "required": ["ExportId"],
}
_SAMPLE: Final = {"ClientId": 1, "ExportId": 4402}


async def new_type(context: ScreenContext) -> Response:
    form = {"kind": ["event"], "schema": [json_text(_SAMPLE_SCHEMA)], "example": [json_text(_SAMPLE)]}
    return _render(context, "", form, {})


async def create_type(context: ScreenContext) -> Response:
    fields, errors = _read(context, ("name", "category"))
    if not errors:
        try:
            made = await context.call("createEventType", body=fields)
        except Problem as problem:
            errors = _errors(problem)
        else:
            return context.redirect(f"{ROOT}/types/{made.name}", flash=f"Event type {made.name} is created.")
    return _render(context, "", context.form, errors, 422)


async def edit_type(context: ScreenContext) -> Response:
    event_type = context.catalogue.get(_name(context))
    if event_type is None or event_type.own_schema is None:
        raise not_found("event type of your own")
    form: Form = {
        "kind": [event_type.kind],
        "description": [event_type.description],
        "schema": [json_text(msgspec.json.encode(event_type.own_schema))],
        "example": [json_text(msgspec.json.encode(event_type.example))],
    }
    return _render(context, event_type.name, form, {})


async def change_type(context: ScreenContext) -> Response:
    name = _name(context)
    fields, errors = _read(context, ())
    if not errors:
        try:
            await context.call("changeEventType", path={"name": name}, body=fields)
        except Problem as problem:
            errors = _errors(problem)
        else:
            return context.redirect(f"{ROOT}/types/{name}", flash=f"Event type {name} is changed.")
    return _render(context, name, context.form, errors, 422)


async def delete_type(context: ScreenContext) -> Response:
    name = _name(context)
    try:
        await context.call("deleteEventType", path={"name": name})
    except Problem as problem:
        if problem.status != 409:
            raise
        return await show_type(context, problem)
    return context.redirect(f"{ROOT}/types", flash=f"Event type {name} is deleted.")


def _name(context: ScreenContext) -> str:
    return str(context.request.path_params["name"])


def _read(context: ScreenContext, names: tuple[str, ...]) -> tuple[dict[str, Any], Errors]:
    """Return the fields of the form, and errors by field."""
    fields: dict[str, Any] = {name: context.field(name) for name in (*names, "kind", "description")}
    errors: Errors = {}
    for name in ("schema", "example"):
        try:
            fields[name] = load(context.field(name).encode())
        except NotJsonError as error:
            errors[name] = error.detail.replace("The body is", f"{_LABELS[name]} is", 1)
    return fields, errors


def _errors(problem: Problem) -> Errors:
    """Return the errors by field; the place inside a field is part of the sentence."""
    if not problem.faults:
        return {"": problem.detail}
    errors: Errors = {}
    for fault in problem.faults:
        name, _, inner = fault.pointer.lstrip("/").partition("/")
        text = f"{_LABELS.get(name, name)}{f' at /{inner}' if inner else ''} {fault.message}."
        errors[name] = f"{errors[name]} {text}" if name in errors else text
    return errors


def _render(context: ScreenContext, name: str, form: Form, errors: Errors, status: int = 200) -> Response:
    return context.render(
        "event_type_form.html",
        status,
        name=name,
        form=form,
        errors=errors,
        categories=context.catalogue.categories,
    )
