"""Data changes: the list, and what one change raised and why."""

from typing import Final

import msgspec
from msgspec import UNSET
from starlette.responses import Response

from commerce_event.admin.change_rules import RuleRow, rule_row
from commerce_event.admin.change_values import previous_sentence, value_rows
from commerce_event.admin.endpoint_form import errors_as_worded
from commerce_event.admin.event_filters import full_time
from commerce_event.admin.screen_context import ScreenContext
from commerce_event.api.changes import (
    ChangeDetailView,
    ChangeExplanationView,
    ChangeSummaryView,
    DecisionView,
    RaisedEventView,
)
from commerce_event.api.paging import Listing
from commerce_event.contract.entities import ENTITIES
from commerce_event.core.changes.words import describe_entity, describe_key
from commerce_event.core.problems import Problem
from commerce_event.web.commands import change_command
from commerce_event.web.highlight import json_text

_PAGE_SIZE: Final = 50
_FILTERS: Final = ("entity", "client_id", "source", "since", "unmapped")


class ChangeRow(msgspec.Struct, frozen=True):
    """A change in the list, with its key in words."""

    change: ChangeSummaryView
    key: str
    raised: list[RaisedEventView]


class DecisionCard(msgspec.Struct, frozen=True):
    """The result of one setting for a change."""

    decision: DecisionView
    rules: list[RuleRow]


async def list_changes(context: ScreenContext) -> Response:
    query = {name: context.query.get(name) for name in (*_FILTERS, "cursor")}
    query["since"] = full_time(query["since"] or "") or None
    errors: dict[str, str] = {}
    status = 200
    try:
        found: Listing[ChangeSummaryView] = await context.call(
            "listChanges", query={**query, "limit": _PAGE_SIZE, "expand": True}
        )
    except Problem as problem:
        found, errors = Listing([], None), _filter_errors(problem)
        status = problem.status
    counts = await context.call("countChanges")
    return context.render(
        "changes.html",
        status,
        rows=[_row(each) for each in found.items],
        errors=errors,
        filter_count=sum(name in context.query for name in _FILTERS),
        counts=counts,
        entities=ENTITIES,
        sources=[each.name for each in (await context.call("listChangeSources")).items],
        command=change_command(context.origin),
        next_url=context.url_with(cursor=found.next_cursor) if found.next_cursor else "",
        first_url=context.url_with(cursor=None) if "cursor" in context.query else "",
    )


async def show_change(context: ScreenContext) -> Response:
    explained: ChangeExplanationView = await context.call("explainChange", path={"id": context.path_id})
    change = explained.change
    return context.render(
        "change.html",
        change=change,
        key=describe_key(change.key),
        what="" if change.entity is None else describe_entity(change.entity),
        verdict=explained.verdict,
        tone=_tone(explained),
        cards=[DecisionCard(each, [rule_row(rule) for rule in each.rules]) for each in explained.settings],
        without_setting=explained.without_setting,
        rows=value_rows(change),
        previous=previous_sentence(change),
        document=json_text(_document(change)),
    )


def _row(change: ChangeSummaryView) -> ChangeRow:
    return ChangeRow(change, describe_key(change.key), [] if change.raised is UNSET else change.raised)


def _tone(explained: ChangeExplanationView) -> str:
    if explained.change.entity is None:
        return "bad"
    raised = [notification for decision in explained.settings for notification in decision.notifications]
    if raised and all(each.waits_until for each in raised):
        return "wait"
    return "good" if raised else ""


def _document(change: ChangeDetailView) -> dict[str, object]:
    """Return the parts of a change that are values, whole."""
    return {"key": change.key, "before": change.before, "after": change.after, "last_known": change.known}


def _filter_errors(problem: Problem) -> dict[str, str]:
    """Return what is wrong with the filters. Raises the problem when it is about something else."""
    errors = {"client_id": problem.detail} if problem.status == 403 else errors_as_worded(problem)
    if not errors.keys() <= {"", *_FILTERS}:
        raise problem
    if "client_id" in errors and problem.status != 403:
        errors["client_id"] = "Enter the client's number."
    return errors
