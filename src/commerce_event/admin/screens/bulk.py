"""Actions on the ticked rows of a list."""

from typing import Any, Final

from starlette.responses import Response

from commerce_event.admin.screen_context import ROOT, ScreenContext, safe_next
from commerce_event.core.problems import Problem

_ROWS_MAX: Final = 50  # as many as a page has
_DELIVERIES_MAX: Final = 1000
_NOT_NOW: Final = frozenset({404, 409, 422})  # a row that has changed since the page was read


async def send_events_again(context: ScreenContext) -> Response:
    """Retry every delivery of the ticked events that was not delivered."""
    sent = refused = 0
    for event_id in _ids(context):
        found = await context.call("listEventDeliveries", path={"id": event_id}, query={"limit": 200})
        for delivery in found.items:
            if delivery.state == "delivered":
                continue
            if sent + refused == _DELIVERIES_MAX:
                break
            try:
                await context.call("retryDelivery", path={"id": delivery.id})
                sent += 1
            except Problem as problem:
                if problem.status not in _NOT_NOW:
                    raise
                refused += 1
    text = f"{_count(sent, 'delivery is', 'deliveries are')} sent again."
    if refused:
        text += f" {_count(refused, 'delivery', 'deliveries')} cannot be sent now: open the event to see why."
    if not sent + refused:
        text = "Every delivery of these events has arrived. A replay sends them once more."
    return context.redirect(_back(context, "events"), flash=text)


async def change_dead_letters(context: ScreenContext) -> Response:
    """Send the ticked dead letters again, or discard them with the reason that was typed."""
    wanted: dict[str, Any] = {"delivery_ids": _ids(context)}
    if context.field("action") == "discard":
        note = context.field("note")
        if not note:
            raise Problem(422, "Say why the dead letters are discarded.")
        changed = await context.call("discardDeadLetters", body={**wanted, "note": note})
        done = "discarded"
    else:
        changed = await context.call("retryDeadLetters", body=wanted)
        done = "sent again"
    text = f"{_count(changed.count, 'dead letter is', 'dead letters are')} {done}."
    return context.redirect(_back(context, "dead"), flash=text)


async def pause_endpoints(context: ScreenContext) -> Response:
    """Pause or resume the ticked endpoints."""
    is_pause = context.field("paused") == "true"
    changed = 0
    for endpoint_id in _ids(context):
        try:
            await context.call("changeEndpoint", path={"id": endpoint_id}, body={"paused": is_pause})
            changed += 1
        except Problem as problem:
            if problem.status not in _NOT_NOW:
                raise
    done = "paused: their deliveries are held" if is_pause else "sending"
    return context.redirect(
        _back(context, "endpoints"), flash=f"{_count(changed, 'endpoint is', 'endpoints are')} {done}."
    )


def _ids(context: ScreenContext) -> list[str]:
    """Return the ids of the ticked rows. Raises Problem 422."""
    ids = [each for each in dict.fromkeys(context.form.get("id", [])) if each.isascii() and each.isprintable()]
    if not ids:
        raise Problem(422, "Select at least one row.")
    if len(ids) > _ROWS_MAX:
        raise Problem(422, f"Select at most {_ROWS_MAX} rows.")
    return ids


def _back(context: ScreenContext, name: str) -> str:
    back = context.field("back")
    return safe_next(back) if back else f"{ROOT}/{name}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
