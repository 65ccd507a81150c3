"""Replays: past events sent again, with a count before and a progress bar after."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from commerce_event.admin.endpoint_form import of_problem
from commerce_event.admin.event_search import whole_time
from commerce_event.admin.page import ROOT, Form, Page
from commerce_event.admin.screens.one_endpoint import name_of
from commerce_event.api.paging import Listing, PageQuery, listing
from commerce_event.api.response_models import ReplayView, replay_view
from commerce_event.contract.catalogue import CATEGORIES, EVENT_TYPES
from commerce_event.core import ids
from commerce_event.core.clock import parse_rfc3339
from commerce_event.core.model import Endpoint, Replay
from commerce_event.core.problems import Problem

_PAGE: Final = 50
_FINISHED: Final = ("delivered", "dead", "cancelled")
_FIRST: Final = "1970-01-01T00:00:00Z"
_FIELDS: Final = ("endpoint_id", "only", "since", "until")
LABELS: Final = {"endpoint_id": "Endpoint", "since": "From", "until": "To", "types": "Types", "only": "What"}


class Row(msgspec.Struct, frozen=True):
    """A replay in the list."""

    replay: ReplayView
    endpoint: Endpoint | None
    name: str
    fate: str
    tone: str


async def list_replays(page: Page) -> Response:
    query = PageQuery(limit=_PAGE, cursor=page.query.get("cursor"))
    await page.call("listReplays", query={"limit": 1})  # whoever may not ask for it may not look either
    replays = await page.services.store.history.replays(page.session.key.scope, query.page())
    found: Listing[Replay] = listing(replays, query, lambda replay: replay)
    return page.show(
        "replays.html",
        rows=await _rows(page, found.items),
        next_url=page.here(cursor=found.next_cursor) if found.next_cursor else "",
        first_url=page.here(cursor=None) if "cursor" in page.query else "",
    )


async def one_replay(page: Page) -> Response:
    replay = await page.call("getReplay", path={"id": page.id()})
    finished = _finished(replay)
    endpoint = page.endpoint(replay.endpoint_id)
    return page.show(
        "replay.html",
        replay=replay,
        finished=finished,
        moving=replay.state == "running" or finished < replay.queued,
        endpoint=endpoint,
        name=replay.endpoint_id if endpoint is None else name_of(endpoint),
    )


async def new_replay(page: Page) -> Response:
    """The form; once it is filled in, what it would send, to be started from there."""
    form = {"only": ["failed"], **{name: [page.query[name]] for name in _FIELDS if name in page.query}}
    form["types"] = page.request.query_params.getlist("types")
    if "check" not in page.query:
        return await _form(page, form, {})
    wanted, errors = _read(form)
    if errors:
        return await _form(page, form, errors, 422)
    try:
        counted = await page.call("countReplay", body=wanted)
    except Problem as problem:
        return await _form(page, form, _faults(problem), problem.status)
    return page.show(
        "replay_check.html",
        form=form,
        counted=counted,
        endpoint=await page.call("getEndpoint", path={"id": wanted["endpoint_id"]}),
        since=wanted["since"] if wanted["since"] != _FIRST else "",
        until=wanted.get("until", ""),
        back=f"{page.request.url.path}?{urlencode(form, doseq=True)}",
    )


async def start_replay(page: Page) -> Response:
    wanted, errors = _read(page.form)
    if errors:
        return await _form(page, page.form, errors, 422)
    try:
        replay = await page.call("startReplay", body=wanted)
    except Problem as problem:
        return await _form(page, page.form, _faults(problem), problem.status)
    return page.redirect(f"{ROOT}/replays/{replay.id}", said="The replay has begun.")


def _read(form: Form) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the request body of what was chosen, and what is wrong with it by field."""
    given = {name: (form.get(name) or [""])[0].strip() for name in _FIELDS}
    wanted: dict[str, Any] = {
        "endpoint_id": given["endpoint_id"],
        "since": whole_time(given["since"]) or _FIRST,
        "types": form.get("types", []),
        "only": given["only"] or "failed",
    }
    if given["until"]:
        wanted["until"] = whole_time(given["until"])
    errors = {}
    if not given["endpoint_id"]:
        errors["endpoint_id"] = "Choose an endpoint."
    if given["until"] and _backwards(wanted):
        errors["until"] = "To must be later than From."
    return wanted, errors


def _backwards(wanted: Mapping[str, str]) -> bool:
    try:
        return parse_rfc3339(wanted["until"]) <= parse_rfc3339(wanted["since"])
    except (ValueError, OverflowError):
        return False  # the call says what is wrong


def _faults(problem: Problem) -> dict[str, str]:
    return {"endpoint_id": "There is no such endpoint."} if problem.status == 404 else of_problem(problem)


async def _form(page: Page, form: Form, errors: dict[str, str], status: int = 200) -> Response:
    chosen = (form.get("endpoint_id") or [""])[0]
    books = {
        ids.encode("end", b.endpoint_id): b
        for b in await page.services.store.history.delivery_counts(page.session.key.scope)
    }
    return page.show(
        "replay_form.html",
        status,
        form=form,
        errors=errors,
        labels=LABELS,
        clients=_by_client(page),
        book=books.get(chosen),
        types=[(name, [each.name for each in EVENT_TYPES.values() if each.category == name]) for name in CATEGORIES],
    )


def _by_client(page: Page) -> list[tuple[int, list[tuple[str, str]]]]:
    """Return the endpoints to choose from: client, then id and name of each."""
    clients: dict[int, list[tuple[str, str]]] = {}
    for each in page.services.registry.endpoints(page.session.key.scope):
        name = f"{each.description} – {each.url}" if each.description else each.url
        clients.setdefault(each.client_id, []).append((ids.encode("end", each.id), name))
    return sorted((client, sorted(found, key=lambda each: each[1].lower())) for client, found in clients.items())


async def _rows(page: Page, replays: list[Replay]) -> list[Row]:
    numbers = [replay.id for replay in replays]
    under_way = await page.services.store.history.replays_with(numbers, "pending")
    with_dead = await page.services.store.history.replays_with(numbers, "dead")
    rows = []
    for replay in replays:
        fate, tone = _fate(replay, pending=replay.id in under_way, dead=replay.id in with_dead)
        view = replay_view(replay, {})
        endpoint = page.endpoint(view.endpoint_id)
        name = view.endpoint_id if endpoint is None else name_of(endpoint)
        rows.append(Row(view, endpoint, name, fate, tone))
    return rows


def _fate(replay: Replay, *, pending: bool, dead: bool) -> tuple[str, str]:
    """Return how a replay stands, and its tone; a count of each would cost by the size of the replays."""
    if replay.state != "done":
        return ("queueing", "info") if replay.state == "running" else ("cancelled", "")
    if pending:
        return "being sent", "info"
    if not replay.queued:
        return "nothing to send", ""
    return ("some are dead", "bad") if dead else ("all finished", "good")


def _finished(replay: ReplayView) -> int:
    return sum(replay.deliveries.get(state, 0) for state in _FINISHED)
