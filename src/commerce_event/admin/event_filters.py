"""The filters of the event list: from what was typed to a query, with errors by field."""

import re
from typing import Final

from commerce_event.admin.screen_context import ScreenContext
from commerce_event.api.paging import Listing
from commerce_event.api.response_models import EventView
from commerce_event.core.clock import parse_rfc3339, rfc3339
from commerce_event.core.problems import Problem

FILTERS: Final = ("q", "type", "client_id", "application_id", "state", "since", "until")
_WITHOUT_ZONE: Final = re.compile(r"[0-9-]{10}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,3})?)?")
_LABELS: Final = {"client_id": "The client", "application_id": "The application", "state": "The state"}


class FilterErrors(dict[str, str]):
    """What is wrong, by field."""


async def search(context: ScreenContext, limit: int) -> Listing[EventView] | FilterErrors:
    """Run the search in the address; when it cannot be run, return everything that is wrong with it."""
    query = {name: context.query.get(name) for name in (*FILTERS, "cursor")}
    for name in ("since", "until"):
        query[name] = full_time(query[name] or "") or None
    errors = FilterErrors()
    if is_reversed(query["since"], query["until"]):
        errors["until"] = "To must be later than From."
    while True:
        try:
            found: Listing[EventView] = await context.call(
                "listEvents", query={**query, "limit": 1 if errors else limit, "expand": not errors}
            )
        except Problem as problem:
            name = _field_of(problem)
            if query.get(name) is None:  # it is not about a filter
                raise
            errors[name] = _message(name, problem)
            query[name] = None
            continue
        return errors or found


def full_time(text: str) -> str:
    """Return a time of a browser's field as the API takes it. Without a zone it is UTC."""
    match = _WITHOUT_ZONE.fullmatch(text)
    if match is None:
        return text
    return f"{text}Z" if match[1] else f"{text}:00Z"


def field_time(text: str | None) -> str:
    """Return a time as a browser's field shows it: in UTC without a zone, with seconds and milliseconds if it has any.

    Text that is no time is returned unchanged; the browser shows an empty field.
    """
    try:
        shown = rfc3339(parse_rfc3339(full_time((text or "").strip().replace(" ", "+"))))
    except (ValueError, OverflowError):
        return text or ""
    return shown.removesuffix("Z").removesuffix(".000").removesuffix(":00")


def is_reversed(since: str | None, until: str | None) -> bool:
    """Whether a time range ends before it begins; False when one of the times is missing or cannot be read."""
    if not since or not until:
        return False
    try:
        return parse_rfc3339(until) < parse_rfc3339(since)
    except (ValueError, OverflowError):
        return False  # the operation says what is wrong


def _field_of(problem: Problem) -> str:
    if problem.status == 403:
        return "client_id"
    return problem.faults[0].pointer.removeprefix("?") if problem.status == 422 and problem.faults else ""


def _message(name: str, problem: Problem) -> str:
    if not problem.faults:
        return problem.detail
    if name == "type":
        return "There is no such event type. Choose one from the list."
    message = problem.faults[0].message.replace(" or null", "").removesuffix(", not text")
    subject = _LABELS.get(name)
    return f"{subject} {message}." if subject else f"{message[:1].upper()}{message[1:]}."
