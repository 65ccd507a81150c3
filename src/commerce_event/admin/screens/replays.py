"""Replays: count and send past events again, with progress."""

from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from commerce_event.admin.endpoint_form import errors_as_sentences
from commerce_event.admin.event_filters import full_time, is_reversed
from commerce_event.admin.refresh import replay_refresh_s
from commerce_event.admin.screen_context import LIVE_S, ROOT, Form, ScreenContext
from commerce_event.api.response_models import BookView, ReplayView, display_name
from commerce_event.core.problems import Problem

_PAGE_SIZE: Final = 50
_EARLIEST: Final = "1970-01-01T00:00:00Z"
_FIELDS: Final = ("endpoint_id", "only", "since", "until")
LABELS: Final = {"endpoint_id": "Endpoint", "since": "From", "until": "To", "types": "Types", "only": "What"}


KINDS: Final = {
    "failed": "Dead letters",
    "waiting": "Pending deliveries",
    "missed": "Missed events",
    "all": "All events",
}
_TITLES: Final = {
    "failed": "Replay of dead letters",
    "waiting": "Replay of pending deliveries",
    "missed": "Replay of missed events",
    "all": "Replay of past events",
}
_OUTCOMES: Final = (("delivered", "good"), ("dead", "bad"), ("cancelled", "idle"), ("pending", "wait"))


class OutcomeBar(msgspec.Struct, frozen=True):
    """A part of the bar that shows the states of the deliveries; start and width are percent."""

    state: str
    tone: str
    start: float
    width: float


class ReplayRow(msgspec.Struct, frozen=True):
    """A replay in the list."""

    replay: ReplayView
    name: str
    progress: str
    tone: str


async def list_replays(context: ScreenContext) -> Response:
    query = {"limit": _PAGE_SIZE, "cursor": context.query.get("cursor"), "counts": False}
    found = await context.call("listReplays", query=query)
    return context.render(
        "replays.html",
        rows=[ReplayRow(replay, _endpoint_name(replay), *replay_progress(replay)) for replay in found.items],
        kinds=KINDS,
        next_url=context.url_with(cursor=found.next_cursor) if found.next_cursor else "",
        first_url=context.url_with(cursor=None) if "cursor" in context.query else "",
    )


async def show_replay(context: ScreenContext) -> Response:
    replay: ReplayView = await context.call("getReplay", path={"id": context.path_id})
    return await _render_replay(context, replay)


async def cancel_replay(context: ScreenContext) -> Response:
    path = {"id": context.path_id}
    try:
        await context.call("cancelReplay", path=path)
    except Problem as problem:
        if problem.status != 409:
            raise
        return await _render_replay(context, await context.call("getReplay", path=path), problem)
    return context.redirect(f"{ROOT}/replays/{context.path_id}", flash="The replay is being cancelled.")


async def _render_replay(context: ScreenContext, replay: ReplayView, problem: Problem | None = None) -> Response:
    total = sum(replay.deliveries.values())
    pending = replay.deliveries.get("pending", 0)
    progress, tone = replay_progress(replay)
    await context.count_dead_letters(as_stored=True)
    return context.render(
        "replay.html",
        200 if problem is None else problem.status,
        replay=replay,
        title=_TITLES[replay.only],
        total=total,
        finished=total - pending,
        bars=_bars(replay, total),
        is_queueing=replay.state == "running" and replay.queued_at is None,
        in_progress=replay.state in ("running", "cancelling"),
        live_s=replay_refresh_s(replay, LIVE_S),
        pace="" if replay.pace_per_s is None else pace_text(replay.pace_per_s),
        progress=progress,
        tone=tone,
        name=_endpoint_name(replay),
        problem=problem,
    )


async def new_replay(context: ScreenContext) -> Response:
    """Show the form; once it is filled in, show what the replay would send."""
    form = {"only": ["failed"], **{name: [context.query[name]] for name in _FIELDS if name in context.query}}
    form["types"] = context.request.query_params.getlist("types")
    if "check" not in context.query:
        return await _render_form(context, form, {})
    body, errors = _read(form)
    if errors:
        return await _render_form(context, form, errors, 422)
    try:
        counted = await context.call("countReplay", body=body)
    except Problem as problem:
        return await _render_form(context, form, _errors(problem), problem.status)
    return context.render(
        "replay_check.html",
        form=form,
        counted=counted,
        kind=KINDS.get(body["only"], ""),
        endpoint=await context.call("getEndpoint", path={"id": body["endpoint_id"]}),
        since=body["since"] if body["since"] != _EARLIEST else "",
        until=body.get("until", ""),
        back=f"{context.request.url.path}?{urlencode(form, doseq=True)}",
    )


async def start_replay(context: ScreenContext) -> Response:
    body, errors = _read(context.form)
    if errors:
        return await _render_form(context, context.form, errors, 422)
    try:
        replay = await context.call("startReplay", body=body)
    except Problem as problem:
        return await _render_form(context, context.form, _errors(problem), problem.status)
    return context.redirect(f"{ROOT}/replays/{replay.id}", flash="The replay has started.")


def replay_progress(replay: ReplayView) -> tuple[str, str]:
    """Return the state of a replay with its outcome in words, and its tone."""
    if replay.state != "done":
        return replay.state, "" if replay.state == "cancelled" else "info"
    if not replay.queued:
        return "done, nothing to send", ""
    if not replay.has_dead:
        return "done", "good"
    dead = replay.deliveries.get("dead")
    return f"done, {f'{dead:,}' if dead else 'some'} dead", "bad"


def pace_text(per_s: float) -> str:
    """Return a pace in the unit that gives a number of 1 or more: 12.3 per second, 4 per minute."""
    for factor, unit in ((1, "second"), (60, "minute")):
        if per_s * factor >= 1:
            return f"{per_s * factor:,.3g} per {unit}"
    return f"{per_s * 3_600:.3g} per hour"


def _bars(replay: ReplayView, total: int) -> list[OutcomeBar]:
    found: list[OutcomeBar] = []
    start = 0.0
    for state, tone in _OUTCOMES:
        width = 100 * replay.deliveries.get(state, 0) / max(1, total)
        if width:
            found.append(OutcomeBar(state, tone, round(start, 3), round(width, 3)))
        start += width
    return found


def _read(form: Form) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the request body of what was chosen, and errors by field."""
    typed = {name: (form.get(name) or [""])[0].strip() for name in _FIELDS}
    body: dict[str, Any] = {
        "endpoint_id": typed["endpoint_id"],
        "since": full_time(typed["since"]) or _EARLIEST,
        "types": form.get("types", []),
        "only": typed["only"] or "failed",
    }
    if typed["until"]:
        body["until"] = full_time(typed["until"])
    errors = {}
    if not typed["endpoint_id"]:
        errors["endpoint_id"] = "Choose an endpoint."
    if is_reversed(body["since"], body.get("until")) or body.get("until") == body["since"]:
        errors["until"] = "To must be later than From."
    return body, errors


def _errors(problem: Problem) -> dict[str, str]:
    return {"endpoint_id": "There is no such endpoint."} if problem.status == 404 else errors_as_sentences(problem)


async def _render_form(context: ScreenContext, form: Form, errors: dict[str, str], status: int = 200) -> Response:
    chosen = (form.get("endpoint_id") or [""])[0]
    books: list[BookView] = (await context.call("readBooks")).items if chosen else []
    clients: dict[int, list[tuple[str, str]]] = {}  # id and name of each endpoint
    for each in await context.all_endpoints():
        name = f"{each.description} – {each.url}" if each.description else each.url
        clients.setdefault(each.client_id, []).append((each.id, name))
    return context.render(
        "replay_form.html",
        status,
        form=form,
        errors=errors,
        labels=LABELS,
        clients=[
            (client, sorted(found, key=lambda each: each[1].lower())) for client, found in sorted(clients.items())
        ],
        book=next((book for book in books if book.endpoint_id == chosen), None),
        types=[(name, [each.name for each in types]) for name, types in context.catalogue.by_category()],
    )


def _endpoint_name(replay: ReplayView) -> str:
    return replay.endpoint_id if replay.endpoint is None else display_name(replay.endpoint)
