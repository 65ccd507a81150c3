"""Validation modes: what happens to a client's events that break the contract. Shown with the event types."""

from typing import Any, Final

from starlette.responses import Response

from commerce_event.admin.endpoint_form import errors_as_sentences
from commerce_event.admin.screen_context import ROOT, ScreenContext
from commerce_event.admin.screens.event_types import render_types
from commerce_event.core.problems import Problem, invalid

_DONE: Final = {"reject": "refused", "warn": "accepted with warnings", "off": "accepted without warnings"}


async def set_mode(context: ScreenContext) -> Response:
    fields: dict[str, Any] = {name: context.field(name) for name in ("event_type", "mode")}
    try:
        fields["client_id"] = _client(context.field("client_id"))
        await context.call("setValidation", body=fields)
    except Problem as problem:
        return await render_types(context, errors_as_sentences(problem), problem.status)
    what = "Events" if fields["event_type"] == "*" else f"{fields['event_type']} events"
    done = _DONE.get(fields["mode"], fields["mode"])
    flash = f"{what} of client {fields['client_id']} that break the contract are now {done}."
    return context.redirect(f"{ROOT}/types?client_id={fields['client_id']}#validation", flash=flash)


async def remove_mode(context: ScreenContext) -> Response:
    client, event_type = context.field("client_id"), context.field("event_type")
    await context.call("removeValidation", query={"client_id": client, "event_type": event_type})
    flash = f"The mode of {event_type} is removed for client {client}."
    return context.redirect(f"{ROOT}/types?client_id={_client(client)}#validation", flash=flash)


def _client(text: str) -> int:
    """Return the number of a client. Raises Problem 422."""
    try:
        return int(text)
    except ValueError:
        raise invalid("/client_id", "enter the client's number") from None
