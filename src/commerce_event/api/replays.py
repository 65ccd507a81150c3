"""Replays: send past events again, and read the progress."""

from typing import Annotated

import msgspec
from msgspec import Meta

from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.paging import Listing, PageQuery, listing
from commerce_event.api.parameters import Int32, Time, read_id, read_time, read_types, scope_for
from commerce_event.api.response_models import ReplayView, replay_view
from commerce_event.core.model import Endpoint, Replay, ReplayOf
from commerce_event.core.problems import Problem, invalid, not_found
from commerce_event.deliver.replays import COUNTED_MAX, RUNNING_MAX, TooManyReplaysError


class NewReplay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A replay to start: events that were accepted in a time span, sent to one endpoint again."""

    endpoint_id: Annotated[str, Meta(max_length=40)]
    since: Time
    until: Time | None = None
    types: Annotated[list[str], Meta(max_length=50)] = []
    only: ReplayOf = "failed"


class ReplaysQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters of replays."""

    client_id: Int32 | None = None
    counts: bool = True


class ReplayCountView(msgspec.Struct, frozen=True):
    """How many deliveries a replay would send; ``more`` when there are more than counted."""

    deliveries: int
    more: bool


class _Selection(msgspec.Struct, frozen=True):
    endpoint: Endpoint
    since_ms: int
    until_ms: int
    types: tuple[str, ...]
    only: ReplayOf


async def start_replay(call: Call) -> Reply:
    wanted = _selection(call)
    try:
        replay = await call.services.replays.start(
            wanted.endpoint, wanted.since_ms, wanted.until_ms, wanted.types, wanted.only
        )
    except TooManyReplaysError:
        raise Problem(409, f"A client has at most {RUNNING_MAX} running replays; wait until one is done.") from None
    view = replay_view(replay, wanted.endpoint, {}, has_pending=False, has_dead=False)
    call.is_about(replay.client_id, view.id)
    return Reply(view, 202, {"Location": f"/v1/replays/{view.id}"})


async def count_replay(call: Call) -> Reply:
    wanted = _selection(call)
    found = await call.services.replays.count(
        wanted.endpoint, wanted.since_ms, wanted.until_ms, wanted.types, wanted.only
    )
    return Reply(ReplayCountView(found.deliveries, found.more))


def _selection(call: Call) -> _Selection:
    """Check the request. Raises Problem 404 and 422."""
    wanted: NewReplay = call.body
    endpoint_id = read_id("end", wanted.endpoint_id, "/endpoint_id")
    endpoint = call.services.registry.endpoint_in(call.scope, endpoint_id or 0)
    if endpoint is None:
        raise not_found("endpoint")
    since_ms = read_time(wanted.since, "/since") or 0
    until_ms = read_time(wanted.until, "/until")
    until_ms = call.now_ms if until_ms is None else until_ms
    if until_ms < since_ms:
        raise invalid("/until", "until must not be before since")
    return _Selection(
        endpoint, since_ms, until_ms, read_types(call.services.registry.catalogue, wanted.types, "/types"), wanted.only
    )


async def list_replays(call: Call) -> Reply:
    query: ReplaysQuery = call.query
    history = call.services.store.history
    found = await history.replays(scope_for(call, query.client_id), query.page())
    page = listing(found, query, lambda replay: replay)
    if query.counts:
        return Reply(Listing([await _view(call, replay) for replay in page.items], page.next_cursor))
    numbers = [replay.id for replay in page.items]
    pending, dead = await history.replays_with(numbers, "pending"), await history.replays_with(numbers, "dead")
    views = [
        replay_view(each, _endpoint(call, each), {}, has_pending=each.id in pending, has_dead=each.id in dead)
        for each in page.items
    ]
    return Reply(Listing(views, page.next_cursor))


async def get_replay(call: Call) -> Reply:
    replay = await call.services.store.history.replay(call.id("rpl", "replay"))
    if replay is None or not call.scope.allows(replay.client_id):
        raise not_found("replay")
    return Reply(await _view(call, replay))


async def _view(call: Call, replay: Replay) -> ReplayView:
    states = await call.services.store.history.replay_states(replay.id)
    has_pending, has_dead = bool(states.get("pending")), bool(states.get("dead"))
    return replay_view(replay, _endpoint(call, replay), states, has_pending=has_pending, has_dead=has_dead)


def _endpoint(call: Call, replay: Replay) -> Endpoint | None:
    return call.services.registry.endpoint_in(call.scope, replay.endpoint_id)


_TAG = "Replays"
OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/replays",
        name="startReplay",
        summary="Send past events again",
        tag=_TAG,
        needs="manage",
        run=start_replay,
        body=NewReplay,
        answers={202: ReplayView},
        problems=(404, 409, 415, 422),
        description="`failed` gives dead deliveries all their retries again; `all` sends every event that matches now.",
    ),
    Operation(
        method="POST",
        path="/v1/replays/count",
        name="countReplay",
        summary="Count what a replay would send",
        tag=_TAG,
        needs="manage",
        run=count_replay,
        body=NewReplay,
        reads=True,
        answers={200: ReplayCountView},
        problems=(404, 415, 422),
        description=(f"Starts nothing. Counts up to {COUNTED_MAX:,}; `more` is true when there are more."),
    ),
    Operation(
        method="GET",
        path="/v1/replays",
        name="listReplays",
        summary="List replays",
        tag=_TAG,
        needs="read",
        run=list_replays,
        query=ReplaysQuery,
        answers={200: Listing[ReplayView]},
        problems=(422,),
        description=(
            "Newest first. `counts=false` leaves `deliveries` empty: counting takes time where replays are large."
        ),
    ),
    Operation(
        method="GET",
        path="/v1/replays/{id}",
        name="getReplay",
        summary="Read a replay's progress",
        tag=_TAG,
        needs="read",
        run=get_replay,
        answers={200: ReplayView},
        problems=(404,),
        description="How far it is, and the states of the deliveries that it queued.",
    ),
)
