"""Dead letters: what was given up, grouped by endpoint and reason, and sent again together or one by one."""

from typing import Final

import msgspec
from starlette.responses import Response

from commerce_event.admin.error_messages import error_in_words, in_words, reason_in_words
from commerce_event.admin.page import Page
from commerce_event.admin.screens.one_endpoint import Logged, logged, name_of
from commerce_event.api.dead_letters import GROUPED_MAX, DeadGroupView
from commerce_event.core import ids
from commerce_event.core.model import Endpoint
from commerce_event.core.problems import Problem

_PAGE: Final = 50


class Heap(msgspec.Struct, frozen=True):
    """The dead letters of one endpoint; ``endpoint`` is None when it was deleted."""

    endpoint_id: str
    endpoint: Endpoint | None
    name: str
    count: int
    groups: list[DeadGroupView]
    since: str


class Letter(msgspec.Struct, frozen=True):
    """One dead letter: what it is about, where it was to go, and what the last attempt brought."""

    logged: Logged
    endpoint: Endpoint | None
    name: str
    words: str


async def list_dead(page: Page) -> Response:
    query = {"endpoint_id": page.query.get("endpoint_id"), "client_id": page.query.get("client_id")}
    wanted = {**query, "state": "dead", "limit": _PAGE, "cursor": page.query.get("cursor")}
    try:
        found = await page.call("listDeliveries", query=wanted)
    except Problem as problem:
        if "client_id" not in page.query or problem.status not in {403, 422}:
            raise
        return _refused(page, problem)
    first = "cursor" not in page.query
    groups = (await page.call("listDeadLetters", query=query)).items if first else []
    return page.show(
        "dead.html",
        errors={},
        heaps=await _heaps(page, groups),
        looked_at=GROUPED_MAX if sum(group.count for group in groups) >= GROUPED_MAX else 0,
        letters=[_letter(page, each) for each in await logged(page, found.items)],
        only=page.endpoint(page.query["endpoint_id"]),
        first=first,
        back=page.here(),
        next_url=page.here(cursor=found.next_cursor) if found.next_cursor else "",
        first_url="" if first else page.here(cursor=None),
        error_in_words=error_in_words,
        reason_in_words=reason_in_words,
    )


def _refused(page: Page, problem: Problem) -> Response:
    message = problem.detail if problem.status == 403 else "Write the client's number."
    nothing = {"heaps": [], "looked_at": 0, "letters": [], "only": None, "next_url": "", "first_url": ""}
    return page.show("dead.html", 422, errors={"client_id": message}, first=True, back=page.here(), **nothing)


async def _heaps(page: Page, groups: list[DeadGroupView]) -> list[Heap]:
    dead = {
        ids.encode("end", b.endpoint_id): b.dead
        for b in await page.services.store.history.delivery_counts(page.session.key.scope)
    }
    by_endpoint: dict[str, list[DeadGroupView]] = {}
    for group in groups:
        by_endpoint.setdefault(group.endpoint_id, []).append(group)
    heaps = []
    for endpoint_id, members in by_endpoint.items():
        endpoint = page.endpoint(endpoint_id)
        oldest = min(member.oldest_at for member in members)
        heaps.append(
            Heap(endpoint_id, endpoint, _name(endpoint, endpoint_id), dead.get(endpoint_id, 0), members, oldest)
        )
    return heaps


def _letter(page: Page, each: Logged) -> Letter:
    endpoint_id = each.delivery.endpoint_id
    endpoint = page.endpoint(endpoint_id)
    words = "never tried" if each.last is None else in_words(each.last.status, each.last.error)
    return Letter(each, endpoint, _name(endpoint, endpoint_id), words)


def _name(endpoint: Endpoint | None, endpoint_id: str) -> str:
    return f"{endpoint_id} (deleted)" if endpoint is None else name_of(endpoint)
