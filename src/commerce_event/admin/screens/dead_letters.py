"""Dead letters: deliveries that were given up, grouped by endpoint and reason, and one by one."""

from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.responses import Response

from commerce_event.admin.screen_context import ScreenContext
from commerce_event.admin.screens.endpoint import DeliveryRow, delivery_rows, display_name
from commerce_event.api.dead_letters import GROUPED_MAX, DeadGroupView
from commerce_event.api.response_models import BooksView, EndpointSummary
from commerce_event.core.causes import cause_of_code, reason_in_words
from commerce_event.core.problems import Problem

_PAGE_SIZE: Final = 50


class DeadLetterGroup(msgspec.Struct, frozen=True):
    """The dead letters of one endpoint, by reason; ``endpoint`` is None when it was deleted."""

    endpoint_id: str
    endpoint: EndpointSummary | None
    name: str
    count: int
    reasons: list[DeadGroupView]


class DeadLetterRow(msgspec.Struct, frozen=True):
    """One dead letter with the endpoint's name and the meaning of its last error."""

    row: DeliveryRow
    endpoint: EndpointSummary | None
    name: str
    message: str


async def list_dead_letters(context: ScreenContext) -> Response:
    query = {"endpoint_id": context.query.get("endpoint_id"), "client_id": context.query.get("client_id")}
    parameters = {
        **query, "state": "dead", "limit": _PAGE_SIZE, "cursor": context.query.get("cursor"), "expand": True,
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
    groups = (await context.call("listDeadLetters", query=query)).items if first else []
    return context.render(
        "dead_letters.html",
        errors={},
        groups=await _by_endpoint(context, groups),
        truncated_at=GROUPED_MAX if sum(group.count for group in groups) >= GROUPED_MAX else 0,
        rows=[_row(row) for row in delivery_rows(found.items)],
        first=first,
        total=await _total(context, query),
        this_url=context.url_with(),
        next_url=context.url_with(cursor=found.next_cursor) if found.next_cursor else "",
        first_url="" if first else context.url_with(cursor=None),
        cause_of_code=cause_of_code,
        reason_in_words=reason_in_words,
    )


async def _total(context: ScreenContext, query: Mapping[str, str | None]) -> int | None:
    """Return how many dead letters the list has, from the counts of the endpoints; None for those of one client."""
    if query["client_id"] is not None:
        return None
    books: BooksView = await context.call("readBooks")
    wanted = query["endpoint_id"]
    return sum(book.dead for book in books.items if wanted in (None, book.endpoint_id))


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
            reasons=members,
        )
        for endpoint_id, members in by_endpoint.items()
    ]


def _row(row: DeliveryRow) -> DeadLetterRow:
    message = "never attempted" if row.last is None else row.last.cause or ""
    return DeadLetterRow(row, row.endpoint, _name(row.endpoint, row.delivery.endpoint_id), message)


def _name(endpoint: EndpointSummary | None, endpoint_id: str) -> str:
    return f"{endpoint_id} (deleted)" if endpoint is None else display_name(endpoint)
