"""Replays: queue past events again, in small steps; each step commits its progress with its deliveries."""

import asyncio
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import Final, Literal, Protocol, TypeVar

import msgspec
import structlog

from commerce_event.contract.catalogue import Catalogue
from commerce_event.core import ids
from commerce_event.core.clock import Clock
from commerce_event.core.ids import IdMaker
from commerce_event.core.model import DeliveryState, Endpoint, Event, Replay, ReplayOf, Scope, client_owner
from commerce_event.core.routing import explain_steps
from commerce_event.registry.registry import Registry
from commerce_event.store.model import DeliveryQuery, NewDelivery, Page
from commerce_event.store.port import Store, StoreUnavailableError

_OF_EVENTS: Final[frozenset[ReplayOf]] = frozenset({"all", "missed"})  # these queue new deliveries
_STEP: Final = 200  # events or deliveries
_COUNT_STEP: Final = 50  # events: several clients may count at once
_ROUND: Final = 100  # replays that take turns, the oldest first
RUNNING_MAX: Final = 10  # of one client at once, so its replays do not delay those of others
_STORE_WAIT_S: Final = 1.0
COUNTED_MAX: Final = 10_000
CANCELLED: Final = "replay_cancelled"  # the reason of deliveries that a cancelled replay ended
_LOOK_S: Final = 5.0  # how often a node looks for replays that another one started, and may not finish
_CANCEL_TRIES: Final = 100  # a step of a running replay may be committed in between

T = TypeVar("T")

log = structlog.get_logger(__name__)


class RunInTurns(Protocol):
    """Runs a generator of an owner's work, in turns with other work."""

    async def __call__(self, owner: str, steps: Generator[None, None, T], /) -> T: ...


class TooManyReplaysError(Exception):
    """The client has as many running replays as it may have."""


class ReplayFinishedError(Exception):
    """The replay is done or cancelled, and none of its deliveries is pending."""


class Counted(msgspec.Struct, frozen=True):
    """How many deliveries a replay would queue; with ``more`` there are more than were counted."""

    deliveries: int
    more: bool


class Replays:
    """Runs replays one step at a time, and resumes after a restart at the last commit.

    Every node runs all replays, also those that another one started. When two nodes make the same step, the store
    accepts one.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        id_maker: IdMaker,
        clock: Clock,
        on_queued: Callable[[], None],
        run_in_turns: RunInTurns,
    ) -> None:
        """``on_queued`` is called after each step: there are new deliveries to send.

        ``run_in_turns`` matches events without holding up the event loop.
        """
        self._store = store
        self._registry = registry
        self._ids = id_maker
        self._clock = clock
        self._on_queued = on_queued
        self._run_in_turns = run_in_turns
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def run(self) -> None:
        """Start, with the replays that an earlier run did not finish."""
        self._wake.set()
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop between two steps."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def start(
        self,
        endpoint: Endpoint,
        since_ms: int,
        until_ms: int,
        types: Sequence[str],
        only: ReplayOf,
    ) -> Replay:
        """Store a replay and start it.

        ``all`` queues every event of the time range that matches the endpoint now, also those it was never sent;
        ``missed`` those of them that have no delivery to the endpoint; ``failed`` requeues its dead deliveries of that
        range, ``waiting`` pending ones. Raises TooManyReplaysError.
        """
        scope = Scope.of(endpoint.client_id)
        if len(await self._store.history.replays(scope, Page(RUNNING_MAX), running=True)) >= RUNNING_MAX:
            raise TooManyReplaysError
        now_ms = self._clock.now_ms()
        replay = Replay(
            id=self._ids.next(now_ms),
            client_id=endpoint.client_id,
            endpoint_id=endpoint.id,
            since_ms=since_ms,
            until_ms=until_ms,
            types=tuple(types),
            only=only,
            state="running",
            cursor=0,
            looked_at=0,
            queued=0,
            created_ms=now_ms,
            finished_ms=None,
        )
        await self._store.queue.put_replay(replay)
        self._wake.set()
        return replay

    async def cancel(self, replay_id: int) -> None:
        """Stop queueing, and end the deliveries of the replay that are pending.

        New ones become cancelled, requeued dead letters become dead again, and those that waited for a retry stay
        pending. It is done in steps, which a restart continues. Raises ReplayFinishedError.
        """
        for _ in range(_CANCEL_TRIES):
            replay = await self._store.history.replay(replay_id)
            if replay is None or replay.state == "cancelled":
                raise ReplayFinishedError
            if replay.state == "done" and not await self._store.history.replays_with([replay_id], "pending"):
                raise ReplayFinishedError
            cancelling = msgspec.structs.replace(replay, state="cancelling")
            if replay.state == "cancelling" or await self._store.queue.put_replay(
                cancelling, expected_cursor=replay.cursor
            ):
                self._wake.set()
                return
        raise StoreUnavailableError("the replay is changed by another request; try again")

    async def count(
        self, endpoint: Endpoint, since_ms: int, until_ms: int, types: Sequence[str], only: ReplayOf
    ) -> Counted:
        """Count what ``start`` would queue, looking at COUNTED_MAX events or deliveries at most."""
        if only in _OF_EVENTS:
            return await self._count_matching(endpoint, since_ms, until_ms, types, only)
        query = DeliveryQuery(
            scope=Scope.of(endpoint.client_id),
            endpoint_id=endpoint.id,
            state="dead" if only == "failed" else "pending",
            types=tuple(types),
            since_ms=since_ms,
            until_ms=until_ms,
            due_after_ms=None if only == "failed" else self._clock.now_ms(),
        )
        found = await self._store.history.count_deliveries(query, limit=COUNTED_MAX + 1)
        return Counted(min(found, COUNTED_MAX), found > COUNTED_MAX)

    async def _count_matching(
        self, endpoint: Endpoint, since_ms: int, until_ms: int, types: Sequence[str], only: ReplayOf
    ) -> Counted:
        after_id, count = ids.at_time(since_ms) - 1, 0
        for _ in range(COUNTED_MAX // _COUNT_STEP):
            events = await self._store.history.events_between(
                endpoint.client_id, after_id=after_id, until_ms=until_ms, types=types, limit=_COUNT_STEP
            )
            count += len(await self._matching(endpoint, events, since_ms, only))
            if len(events) < _COUNT_STEP:
                return Counted(count, more=False)
            after_id = events[-1].id
        return Counted(count, more=True)

    async def _matching(
        self, endpoint: Endpoint, events: Sequence[Event], since_ms: int, only: ReplayOf
    ) -> list[Event]:
        candidates = [event for event in events if event.accepted_ms >= since_ms]
        if only == "missed":
            sent = await self._store.history.events_with_delivery(endpoint.id, [event.id for event in candidates])
            candidates = [event for event in candidates if event.id not in sent]
        return await self._run_in_turns(
            client_owner(endpoint.client_id), _matching_steps(self._registry.catalogue, endpoint, candidates)
        )

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._wake.wait()
            self._wake.clear()
            try:
                while running := await self._store.history.replays(Scope.everyone(), Page(_ROUND), running=True):
                    for replay in running:
                        await self._step(replay)
            except StoreUnavailableError as error:
                log.warning("replays wait for the store", error=str(error))
            except Exception:
                log.exception("a replay failed; trying again")
            else:
                continue
            await asyncio.sleep(_STORE_WAIT_S)
            self._wake.set()

    async def _step(self, replay: Replay) -> None:
        endpoint = self._registry.endpoint(replay.endpoint_id)
        if replay.state == "cancelling":
            await self._end_deliveries(replay)
        elif endpoint is None or endpoint.deleted_ms is not None:
            await self._store.queue.put_replay(self._finished(replay, "cancelled"), expected_cursor=replay.cursor)
        elif replay.only in _OF_EVENTS:
            await self._queue_events(replay, endpoint)
        else:
            await self._requeue(replay, "dead" if replay.only == "failed" else "pending")
        self._on_queued()

    async def _end_deliveries(self, replay: Replay) -> None:
        ended = 0
        if replay.only != "waiting":  # those were pending before
            ended = await self._store.queue.finish_replay(
                replay.id,
                state="dead" if replay.only == "failed" else "cancelled",
                reason=CANCELLED,
                now_ms=self._clock.now_ms(),
                limit=_STEP,
            )
        if ended < _STEP:
            await self._store.queue.put_replay(self._finished(replay, "cancelled"), expected_cursor=replay.cursor)

    async def _queue_events(self, replay: Replay, endpoint: Endpoint) -> None:
        after = max(replay.cursor, ids.at_time(replay.since_ms) - 1)
        events = await self._store.history.events_between(
            replay.client_id, after_id=after, until_ms=replay.until_ms, types=replay.types, limit=_STEP
        )
        matching = await self._matching(endpoint, events, replay.since_ms, replay.only)
        step = msgspec.structs.replace(
            replay,
            cursor=events[-1].id if events else after,
            looked_at=replay.looked_at + len(events),
            queued=replay.queued + len(matching),
        )
        now_ms = self._clock.now_ms()
        deliveries = [
            NewDelivery(
                self._ids.next(now_ms),
                endpoint.id,
                _order_key(self._registry.catalogue, endpoint, event),
                bulk=True,  # there may be very many, and new events must not wait for them
            )
            for event in matching
        ]
        await self._store.queue.add_deliveries(
            deliveries,
            [event.id for event in matching],
            replay=step if len(events) == _STEP else self._finished(step, "done"),
            now_ms=now_ms,
            expected_cursor=replay.cursor,
        )

    async def _requeue(self, replay: Replay, state: DeliveryState) -> None:
        query = DeliveryQuery(
            scope=Scope.of(replay.client_id),
            endpoint_id=replay.endpoint_id,
            state=state,
            types=replay.types,
            since_ms=replay.since_ms,
            until_ms=replay.until_ms,
        )
        found = await self._store.history.deliveries(query, Page(_STEP, after=replay.cursor))
        now_ms = self._clock.now_ms()
        step = msgspec.structs.replace(
            replay,
            cursor=found[-1].id if found else replay.cursor,
            looked_at=replay.looked_at + len(found),
        )
        await self._store.queue.requeue(
            [delivery.id for delivery in found if delivery.state == "dead" or (delivery.due_ms or 0) > now_ms],
            now_ms=now_ms,
            replay=step if len(found) == _STEP else self._finished(step, "done"),
            expected_cursor=replay.cursor,
        )

    def _finished(self, replay: Replay, state: Literal["done", "cancelled"]) -> Replay:
        return msgspec.structs.replace(replay, state=state, finished_ms=self._clock.now_ms())


def _matching_steps(
    catalogue: Catalogue, endpoint: Endpoint, events: Sequence[Event]
) -> Generator[None, None, list[Event]]:
    """Return the events that match the endpoint. Yields after each condition and each event."""
    enabled = msgspec.structs.replace(endpoint, enabled=True)  # a replay is also queued for a disabled endpoint
    matching: list[Event] = []
    for event in events:
        data = msgspec.json.decode(event.body)
        verdict = yield from explain_steps(
            enabled, event.client_id, catalogue.of_event(event.type), event.application_id, data
        )
        if verdict.matched:
            matching.append(event)
        yield
    return matching


def _order_key(catalogue: Catalogue, endpoint: Endpoint, event: Event) -> str | None:
    if endpoint.ordering == "none":
        return None
    return catalogue.of_event(event.type).business_key(msgspec.json.decode(event.body))
