"""Replays: past events sent again, with a count before and a progress bar after."""

from typing import Final

from starlette.responses import Response

from commerce_event.admin.endpoint_form import on_fields
from commerce_event.admin.page import ROOT, Form, Page
from commerce_event.api.problems import Problem
from commerce_event.api.views import ReplayView
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core import ids

_PAGE: Final = 50
_FINISHED: Final = ("delivered", "dead", "cancelled")
_MINUTES: Final = len("2026-01-31T00:00")


async def list_replays(page: Page) -> Response:
    found = await page.call("listReplays", query={"limit": _PAGE, "cursor": page.query.get("cursor")})
    return page.show(
        "replays.html",
        replays=[(replay, _finished(replay)) for replay in found.items],
        next_url=page.here(cursor=found.next_cursor) if found.next_cursor else "",
        first_url=page.here(cursor=None) if "cursor" in page.query else "",
    )


async def one_replay(page: Page) -> Response:
    replay = await page.call("getReplay", path={"id": page.id()})
    finished = _finished(replay)
    return page.show(
        "replay.html",
        replay=replay,
        finished=finished,
        moving=replay.state == "running" or finished < replay.queued,
        endpoint=await _endpoint(page, replay.endpoint_id),
    )


async def new_replay(page: Page) -> Response:
    given = {name: [value] for name, value in page.query.items()}
    return await _form(page, {"only": ["failed"], **given}, {})


async def start_replay(page: Page) -> Response:
    form = page.form
    wanted = {
        "endpoint_id": page.text("endpoint_id"),
        "since": _time(page.text("since")) or "1970-01-01T00:00:00Z",
        "types": form.get("types", []),
        "only": page.text("only") or "failed",
    }
    if page.text("until"):
        wanted["until"] = _time(page.text("until"))
    try:
        replay = await page.call("startReplay", body=wanted)
    except Problem as problem:
        return await _form(page, form, on_fields(problem), problem.status)
    return page.redirect(f"{ROOT}/replays/{replay.id}", said="The replay has begun.")


async def _form(page: Page, form: Form, errors: dict[str, str], status: int = 200) -> Response:
    chosen = form.get("endpoint_id", [""])[0]
    endpoints = page.services.directory.endpoints(page.session.key.scope)
    books = {ids.encode("end", b.endpoint_id): b for b in await page.services.store.books(page.session.key.scope)}
    return page.show(
        "replay_form.html",
        status,
        form=form,
        errors=errors,
        endpoints=[(ids.encode("end", each.id), each.url) for each in endpoints],
        dead=books[chosen].dead if chosen in books else 0,
        types=list(EVENT_TYPES),
    )


async def _endpoint(page: Page, endpoint_id: str) -> str:
    try:
        return str((await page.call("getEndpoint", path={"id": endpoint_id})).url)
    except Problem:  # deleted since
        return endpoint_id


def _finished(replay: ReplayView) -> int:
    return sum(replay.deliveries.get(state, 0) for state in _FINISHED)


def _time(text: str) -> str:
    return f"{text}:00Z" if len(text) == _MINUTES else text
