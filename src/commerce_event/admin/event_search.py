"""What was typed into the search for events, and what is wrong with it, field by field."""

from collections.abc import Mapping
from typing import Final

from commerce_event.admin.page import Page
from commerce_event.api.paging import Listing
from commerce_event.api.response_models import EventView
from commerce_event.core.clock import parse_rfc3339
from commerce_event.core.problems import Problem

FILTERS: Final = ("q", "type", "client_id", "application_id", "state", "since", "until")
_MINUTES: Final = len("2026-01-31T00:00")
_LABELS: Final = {"client_id": "The client", "application_id": "The application", "state": "The state"}

Asked = dict[str, str | None]


class Faults(dict[str, str]):
    """What is wrong, by field."""


async def search(page: Page, limit: int) -> Listing[EventView] | Faults:
    """Run the search of the address; when it cannot be run, return all that is wrong with it."""
    asked = as_asked({name: page.query.get(name) for name in (*FILTERS, "cursor")})
    faults = Faults()
    if _backwards(asked):
        faults["until"] = "To must be later than From."
    while True:
        try:
            found: Listing[EventView] = await page.call("listEvents", query={**asked, "limit": 1 if faults else limit})
        except Problem as problem:
            name = _place(problem)
            if asked.get(name) is None:  # nothing of what was typed
                raise
            faults[name] = _in_words(name, problem)
            asked[name] = None
            continue
        return faults or found


def as_asked(wanted: Mapping[str, str | None]) -> Asked:
    """Return the filters as the management call has them: a time without a zone is meant as UTC."""
    asked = dict(wanted)
    for name in ("since", "until"):
        text = asked.get(name)
        if text:
            asked[name] = whole_time(text)
    return asked


def whole_time(text: str) -> str:
    """Return a time as a browser's field gives it, to the minute, as the management call has it."""
    return f"{text}:00Z" if len(text) == _MINUTES else text


def _place(problem: Problem) -> str:
    if problem.status == 403:
        return "client_id"
    return problem.faults[0].pointer.removeprefix("?") if problem.status == 422 and problem.faults else ""


def _in_words(name: str, problem: Problem) -> str:
    if not problem.faults:
        return problem.detail
    if name == "type":
        return "There is no such event type: choose one from the list."
    message = problem.faults[0].message.replace(" or null", "").removesuffix(", not text")
    subject = _LABELS.get(name)
    return f"{subject} {message}." if subject else f"{message[:1].upper()}{message[1:]}."


def _backwards(asked: Asked) -> bool:
    since, until = asked.get("since"), asked.get("until")
    if not since or not until:
        return False
    try:
        return parse_rfc3339(until) < parse_rfc3339(since)
    except (ValueError, OverflowError):
        return False
