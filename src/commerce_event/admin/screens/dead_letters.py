"""Dead letters: deliveries that were given up, grouped by endpoint and cause, and one by one; send again, discard."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from commerce_event.admin.screen_context import ROOT, ScreenContext
from commerce_event.admin.screens.endpoint import DeliveryRow, delivery_rows
from commerce_event.api.dead_letters import GROUPED_MAX, NOTE_MAX, DeadGroupView, DeadLettersChangedView
from commerce_event.api.response_models import BooksView, EndpointSummary, display_name
from commerce_event.core.causes import reason_in_words
from commerce_event.core.problems import Problem

_PAGE_SIZE: Final = 50
_PATH: Final = f"{ROOT}/dead"


class CauseRow(msgspec.Struct, frozen=True):
    """The dead letters of an endpoint with one cause. ``query`` selects them on other pages."""

    group: DeadGroupView
    reason: str
    query: str
    is_all: bool  # of the endpoint's dead letters


class DeadLetterGroup(msgspec.Struct, frozen=True):
    """The dead letters of one endpoint, by cause; ``endpoint`` is None when it was deleted."""

    endpoint_id: str
    endpoint: EndpointSummary | None
    name: str
    count: int
    warning: str | None
    causes: list[CauseRow]


class DeadLetterRow(msgspec.Struct, frozen=True):
    """One dead letter with the endpoint's name and the meaning of its last error."""

    row: DeliveryRow
    endpoint: EndpointSummary | None
    name: str
    message: str


class Selected(msgspec.Struct, frozen=True):
    """The dead letters that a page is about: those of a cause, all of an endpoint, or one."""

    body: dict[str, Any]
    endpoint_id: str
    endpoint: EndpointSummary | None
    name: str
    count: int
    cause: str
    warning: str | None


async def list_dead_letters(context: ScreenContext) -> Response:
    query = {"endpoint_id": context.query.get("endpoint_id"), "client_id": context.query.get("client_id")}
    replay_id = context.query.get("replay_id")
    parameters = {
        **query, "replay_id": replay_id, "state": "dead", "limit": _PAGE_SIZE, "cursor": context.query.get("cursor"),
        "expand": True,
    }  # fmt: skip
    try:
        found = await context.call("listDeliveries", query=parameters)
    except Problem as problem:
        is_foreign = problem.status == 403 and "client_id" in context.query
        if not is_foreign and not any(fault.pointer == "?client_id" for fault in problem.faults):
            raise
        message = problem.detail if is_foreign else "Enter the client's number."
        return context.render(
            "dead_letters.html",
            422,
            errors={"client_id": message},
            groups=[],
            truncated_at=0,
            rows=[],
            first=True,
            total=None,
            this_url=context.url_with(),
            next_url="",
            first_url="",
        )
    first = "cursor" not in context.query
    groups = (await context.call("listDeadLetters", query=query)).items if first and replay_id is None else []
    await context.count_dead_letters(as_stored=True)
    return context.render(
        "dead_letters.html",
        errors={},
        groups=await _by_endpoint(context, groups),
        truncated_at=GROUPED_MAX if sum(group.count for group in groups) >= GROUPED_MAX else 0,
        rows=[_row(row) for row in delivery_rows(found.items)],
        first=first,
        total=await _total(context, {**query, "replay_id": replay_id}),
        this_url=context.url_with(),
        next_url=context.url_with(cursor=found.next_cursor) if found.next_cursor else "",
        first_url="" if first else context.url_with(cursor=None),
    )


async def ask_to_send(context: ScreenContext) -> Response:
    """Show how many dead letters of a cause would be sent, and whether their endpoint still fails."""
    return context.render("dead_letters_send.html", selected=await _selected(context, context.query), problem=None)


async def send_again(context: ScreenContext) -> Response:
    """Send dead letters of a cause again."""
    selected = await _selected(context, _typed(context))
    try:
        changed: DeadLettersChangedView = await context.call("retryDeadLetters", body=selected.body)
    except Problem as problem:
        if problem.status != 409:
            raise
        return context.render("dead_letters_send.html", 409, selected=selected, problem=problem)
    return context.redirect(
        f"{_PATH}?endpoint_id={selected.endpoint_id}", flash=_changed_text(changed, "sent again", "Send")
    )


async def send_one(context: ScreenContext) -> Response:
    """Send the newest dead letter of a cause again, and show its event, which follows the delivery."""
    selected = await _selected(context, _typed(context))
    try:
        changed: DeadLettersChangedView = await context.call("retryDeadLetters", body={**selected.body, "limit": 1})
    except Problem as problem:
        if problem.status != 409:
            raise
        return context.render("dead_letters_send.html", 409, selected=selected, problem=problem)
    if changed.newest_id is None or not changed.count:
        return context.redirect(_PATH, flash="There is no dead letter of this kind any more.")
    delivery = await context.call("getDelivery", path={"id": changed.newest_id})
    path = f"{ROOT}/events/{delivery.event_id}#{delivery.id}"
    return context.redirect(path, flash="One dead letter is sent again. When it has arrived, send the rest.")


async def ask_to_discard(context: ScreenContext) -> Response:
    """Show how many dead letters would be discarded, and ask why."""
    selected = await _selected(context, context.query)
    return context.render("dead_letters_discard.html", selected=selected, note="", errors={}, note_max=NOTE_MAX)


async def discard(context: ScreenContext) -> Response:
    """Discard dead letters with the reason that was given."""
    selected = await _selected(context, _typed(context))
    note = context.field("note")
    errors = {}
    if not note:
        errors["note"] = "Say why they are discarded."
    elif len(note) > NOTE_MAX:
        errors["note"] = f"Write at most {NOTE_MAX} characters; these are {len(note)}."
    if errors:
        return context.render(
            "dead_letters_discard.html", 422, selected=selected, note=note, errors=errors, note_max=NOTE_MAX
        )
    changed: DeadLettersChangedView = await context.call("discardDeadLetters", body={**selected.body, "note": note})
    return context.redirect(_PATH, flash=_changed_text(changed, "discarded", "Discard"))


def _changed_text(changed: DeadLettersChangedView, what: str, verb: str) -> str:
    is_one = changed.count == 1
    text = f"{changed.count:,} dead letter{'' if is_one else 's'} {'is' if is_one else 'are'} {what}."
    return f"{text} There are more: {verb.lower()} again for the rest." if changed.more else text


async def _selected(context: ScreenContext, given: Mapping[str, str]) -> Selected:
    """Return what a query or a form selects: ``delivery_id``, or ``endpoint_id`` with ``cause=1`` for a group."""
    if given.get("delivery_id"):
        delivery = await context.call("getDelivery", path={"id": given["delivery_id"]})
        endpoint = await _endpoint(context, delivery.endpoint_id)
        last = delivery.attempts[-1] if delivery.attempts else None
        return Selected(
            body={"delivery_ids": [delivery.id]},
            endpoint_id=delivery.endpoint_id,
            endpoint=endpoint,
            name=_name(endpoint, delivery.endpoint_id),
            count=1 if delivery.state == "dead" else 0,
            cause="" if last is None else last.cause or "",
            warning=None,
        )
    endpoint_id = given.get("endpoint_id") or ""
    if not endpoint_id:
        return Selected({}, "", None, "", 0, "", None)
    groups: list[DeadGroupView] = (await context.call("listDeadLetters", query={"endpoint_id": endpoint_id})).items
    endpoint = groups[0].endpoint if groups else await _endpoint(context, endpoint_id)
    body: dict[str, Any] = {"endpoint_id": endpoint_id}
    if given.get("cause"):
        reason, error = given.get("reason") or None, given.get("error") or None
        body |= {"reason": reason, "error": error}
        groups = [each for each in groups if (each.reason, each.error) == (reason, error)]
    return Selected(
        body=body,
        endpoint_id=endpoint_id,
        endpoint=endpoint,
        name=_name(endpoint, endpoint_id),
        count=sum(each.count for each in groups),
        cause=groups[0].cause if groups and "error" in body else "",
        warning=groups[0].warning if groups else None,
    )


async def _endpoint(context: ScreenContext, endpoint_id: str) -> EndpointSummary | None:
    try:
        view = await context.call("getEndpoint", path={"id": endpoint_id})
    except Problem as problem:
        if problem.status != 404:
            raise
        return None
    return msgspec.convert(view, EndpointSummary, from_attributes=True)


async def _total(context: ScreenContext, query: Mapping[str, str | None]) -> int | None:
    """Return how many dead letters the list has, from the counts of the endpoints; None where they do not tell."""
    if query["client_id"] is not None or query["replay_id"] is not None:
        return None
    books: BooksView = await context.call("readBooks")
    wanted = query["endpoint_id"]
    return sum(book.dead for book in books.items if wanted in (None, book.endpoint_id))


def _typed(context: ScreenContext) -> dict[str, str]:
    return {name: values[0].strip() for name, values in context.form.items()}


async def _by_endpoint(context: ScreenContext, groups: list[DeadGroupView]) -> list[DeadLetterGroup]:
    """Return the groups of each endpoint together, with the count of all its dead letters."""
    if not groups:
        return []
    counts = {book.endpoint_id: book.dead for book in (await context.call("readBooks")).items}
    by_endpoint: dict[str, list[DeadGroupView]] = {}
    for group in groups:
        by_endpoint.setdefault(group.endpoint_id, []).append(group)
    return [
        DeadLetterGroup(
            endpoint_id=endpoint_id,
            endpoint=members[0].endpoint,
            name=_name(members[0].endpoint, endpoint_id),
            count=counts.get(endpoint_id, 0),
            warning=members[0].warning,
            causes=[_cause_row(each, counts.get(endpoint_id, 0)) for each in members],
        )
        for endpoint_id, members in by_endpoint.items()
    ]


def _cause_row(group: DeadGroupView, dead: int) -> CauseRow:
    selection = {"endpoint_id": group.endpoint_id, "cause": "1", "reason": group.reason, "error": group.error}
    return CauseRow(
        group=group,
        reason=reason_in_words(group.reason),
        query=urlencode({name: value for name, value in selection.items() if value is not None}),
        is_all=group.count >= dead,
    )


def _row(row: DeliveryRow) -> DeadLetterRow:
    message = "never attempted" if row.last is None else row.last.cause or ""
    return DeadLetterRow(row, row.endpoint, _name(row.endpoint, row.delivery.endpoint_id), message)


def _name(endpoint: EndpointSummary | None, endpoint_id: str) -> str:
    return f"{endpoint_id} (deleted)" if endpoint is None else display_name(endpoint)
