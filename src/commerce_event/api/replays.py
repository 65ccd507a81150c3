"""Replays: send past events again, and read the progress."""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from commerce_event.api.endpoint_standing import standings_of
from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.paging import Listing, PageQuery, listing
from commerce_event.api.parameters import Int32, Time, read_id, read_time, read_types, scope_for
from commerce_event.api.response_models import ReplayView, replay_view
from commerce_event.core import ids
from commerce_event.core.health import Health
from commerce_event.core.model import DeliveryState, Endpoint, Replay, ReplayOf
from commerce_event.core.problems import Problem, invalid, not_found
from commerce_event.deliver.replays import COUNTED_MAX, RUNNING_MAX, ReplayFinishedError, TooManyReplaysError

_WHAT: Final[Mapping[ReplayOf, str]] = {
    "failed": "dead letters",
    "waiting": "pending deliveries",
    "missed": "missed events",
    "all": "all events",
}


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
    endpoint_health: Health
    warning: str | None


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
    _audit(call, replay)
    view = await _view(call, replay)
    return Reply(view, 202, {"Location": f"/v1/replays/{view.id}"})


async def cancel_replay(call: Call) -> Reply:
    replay = await _find(call)
    _audit(call, replay)
    try:
        await call.services.replays.cancel(replay.id)
    except ReplayFinishedError:
        raise Problem(409, "This replay is finished: none of its deliveries is pending.") from None
    return Reply(await _view(call, await _find(call)), 202)


def _audit(call: Call, replay: Replay) -> None:
    endpoint = call.services.registry.endpoint(replay.endpoint_id)
    name = None if endpoint is None else f"{_WHAT[replay.only]} to {endpoint.name}"
    call.is_about(replay.client_id, ids.encode("rpl", replay.id), name=name)


async def count_replay(call: Call) -> Reply:
    wanted = _selection(call)
    found = await call.services.replays.count(
        wanted.endpoint, wanted.since_ms, wanted.until_ms, wanted.types, wanted.only
    )
    standing = (await standings_of(call, [wanted.endpoint]))[wanted.endpoint.id]
    return Reply(ReplayCountView(found.deliveries, found.more, standing.health, standing.warning))


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
        counts = {each.id: await history.replay_states(each.id) for each in page.items}
        return Reply(Listing(await _views(call, page.items, counts), page.next_cursor))
    numbers = [replay.id for replay in page.items]
    with_pending, with_dead = (
        await history.replays_with(numbers, "pending"),
        await history.replays_with(numbers, "dead"),
    )
    views = await _views(call, page.items, {}, with_pending=with_pending, with_dead=with_dead)
    return Reply(Listing(views, page.next_cursor))


async def get_replay(call: Call) -> Reply:
    return Reply(await _view(call, await _find(call)))


async def _find(call: Call) -> Replay:
    replay = await call.services.store.history.replay(call.id("rpl", "replay"))
    if replay is None or not call.scope.allows(replay.client_id):
        raise not_found("replay")
    return replay


async def _view(call: Call, replay: Replay) -> ReplayView:
    counts = await call.services.store.history.replay_states(replay.id)
    [view] = await _views(call, [replay], {replay.id: counts})
    return view


async def _views(
    call: Call,
    replays: Sequence[Replay],
    counts: Mapping[int, dict[DeliveryState, int]],
    *,
    with_pending: Collection[int] = (),
    with_dead: Collection[int] = (),
) -> list[ReplayView]:
    """Return replays as answers. Those without counts name what is pending and dead among their deliveries."""
    endpoints = {each.id: call.services.registry.endpoint_in(call.scope, each.endpoint_id) for each in replays}
    standings = await standings_of(call, [each for each in endpoints.values() if each is not None])
    views = []
    for replay in replays:
        states = counts.get(replay.id, {})
        has_pending = bool(states.get("pending")) or replay.id in with_pending
        endpoint = endpoints[replay.id]
        views.append(
            replay_view(
                replay,
                endpoint,
                states,
                has_pending=has_pending,
                has_dead=bool(states.get("dead")) or replay.id in with_dead,
                standing=None if endpoint is None else standings[endpoint.id],
                ended_ms=await _ended_ms(call, replay, has_pending=has_pending) if states else None,
                now_ms=call.now_ms,
            )
        )
    return views


async def _ended_ms(call: Call, replay: Replay, *, has_pending: bool) -> int | None:
    """Return when the last delivery of a replay was finished; None while it goes on."""
    if has_pending or replay.state not in {"done", "cancelled"}:
        return None
    return await call.services.store.history.replay_ended_ms(replay.id)


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
        description=(
            "`failed` gives dead deliveries all their retries again; `missed` sends the events that match now and have "
            "no delivery to the endpoint, as after it was off; `all` sends every event that matches now."
        ),
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
    Operation(
        method="POST",
        path="/v1/replays/{id}/cancel",
        name="cancelReplay",
        summary="Cancel a replay",
        tag=_TAG,
        needs="manage",
        run=cancel_replay,
        answers={202: ReplayView},
        problems=(404, 409),
        description=(
            "Nothing more is queued, and its pending deliveries end in steps; `state` is `cancelling` meanwhile. "
            "Deliveries that it created are `cancelled`; dead letters are dead again, with the reason "
            "`replay_cancelled`; deliveries that waited for a retry stay pending. 409: it is finished."
        ),
    ),
)
