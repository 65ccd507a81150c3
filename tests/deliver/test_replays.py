"""Replays on a store of each engine: what was missed, cancelling, and a node that dies in the middle of a step."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from stores import START_MS, Engine, FakeClock, accept_events, claim, empty_registry, new_event, result

from commerce_event.core.clock import Clock
from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Endpoint, Replay, ReplayOf, ReplayState, Scope
from commerce_event.deliver import replays as module
from commerce_event.deliver.replays import CANCELLED, ReplayFinishedError, Replays
from commerce_event.store.model import DeliveryQuery, NewEvent, Page
from commerce_event.store.port import Store

EVERYONE = Scope.everyone()
STEP = 3


class DiedError(Exception):
    """The node was killed."""


async def run_now(_owner: str, steps: Generator[None, None, Any], /) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


class Setup:
    """Replays to an endpoint, of events of which only some were sent to it."""

    def __init__(self, store: Store, endpoint: Endpoint, replays: Replays) -> None:
        self.store = store
        self.endpoint = endpoint
        self.replays = replays

    async def start(self, only: ReplayOf) -> Replay:
        return await self.replays.start(self.endpoint, 0, START_MS + 1_000, (), only)

    async def until(self, replay: Replay, *states: ReplayState) -> Replay:
        async with asyncio.timeout(60):
            while True:
                found = await self.store.history.replay(replay.id)
                assert found is not None
                if found.state in states:
                    return found
                await asyncio.sleep(0)

    async def counts(self, **conditions: Any) -> dict[str, int]:
        query = DeliveryQuery(scope=EVERYONE, endpoint_id=self.endpoint.id, **conditions)
        counts: dict[str, int] = {}
        for each in await self.store.history.deliveries(query, Page(1_000)):
            counts[each.state] = counts.get(each.state, 0) + 1
        return counts

    async def accept(self, count: int, *endpoints: int) -> list[NewEvent]:
        events = [new_event(*endpoints) for _ in range(count)]
        await accept_events(self.store, events)
        return events

    async def kill_everything(self) -> None:
        """Let each delivery to the endpoint die."""
        for each in await claim(self.store, self.endpoint.id, limit=1_000):
            await self.store.queue.settle([result(each, "dead", status=500, reason="attempts_exhausted")])


@asynccontextmanager
async def running(store: Store, clock: Clock, *, runs: bool = True) -> AsyncIterator[Setup]:
    registry = empty_registry(store)
    await registry.load()
    found = registry.endpoints(EVERYONE)
    endpoint = (
        found[0]
        if found
        else await registry.save(
            Endpoint(id=IdMaker(node=1).next(START_MS), client_id=1, url="https://a.example/", event_types=("*",))
        )
    )
    maker = IdMaker(node=2, after=await store.last_id())
    replays = Replays(store, registry, maker, clock, lambda: None, run_now)
    if runs:
        replays.run()
    yield Setup(store, endpoint, replays)
    await replays.close()


async def step_to_the_end(setup: Setup) -> None:
    while found := await setup.store.history.replays(EVERYONE, Page(9), running=True):
        await setup.replays._step(found[0])


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STEP", STEP)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_missed_queues_what_has_no_delivery_of_its_own(store: Store, clock: FakeClock) -> None:
    async with running(store, clock) as setup:
        await setup.accept(4, setup.endpoint.id)
        await setup.kill_everything()
        missed = await setup.accept(5)
        counted = await setup.replays.count(setup.endpoint, 0, START_MS + 1_000, (), "missed")

        done = await setup.until(await setup.start("missed"), "done")
        again = await setup.until(await setup.start("missed"), "done")

        assert (counted.deliveries, counted.more) == (5, False)
        assert (done.looked_at, done.queued, again.queued) == (9, 5, 0)
        assert await setup.counts() == {"dead": 4, "pending": 5}
        sent = await store.history.events_with_delivery(setup.endpoint.id, [each.id for each in missed])
        assert len(sent) == 5


@pytest.mark.parametrize(
    ("only", "expected"), [("all", {"dead": 8, "cancelled": 8}), ("failed", {"dead": 8}), ("waiting", {"pending": 8})]
)
async def test_cancel_ends_the_pending_deliveries_of_a_replay_whose_events_are_queued(
    store: Store, clock: FakeClock, only: ReplayOf, expected: dict[str, int]
) -> None:
    async with running(store, clock) as setup:
        await setup.accept(8, setup.endpoint.id)
        if only != "waiting":
            await setup.kill_everything()
        else:
            for each in await claim(store, setup.endpoint.id):
                await store.queue.settle([result(each, "pending", status=500, due_ms=START_MS + 500_000)])
        replay = await setup.until(await setup.start(only), "done")
        assert replay.queued == 8

        await setup.replays.cancel(replay.id)
        cancelled = await setup.until(replay, "cancelled")

        assert cancelled.finished_ms is not None
        assert await setup.counts() == expected
        if only != "waiting":
            found = await store.history.deliveries(DeliveryQuery(scope=EVERYONE, replay_id=replay.id), Page(1_000))
            assert {each.reason for each in found} == {CANCELLED}
        with pytest.raises(ReplayFinishedError):
            await setup.replays.cancel(replay.id)


async def test_cancel_of_a_finished_replay_is_refused(store: Store, clock: FakeClock) -> None:
    async with running(store, clock) as setup:
        await setup.accept(2)
        replay = await setup.until(await setup.start("all"), "done")
        for each in await claim(store, setup.endpoint.id, bulk=True):
            await store.queue.settle([result(each)])

        with pytest.raises(ReplayFinishedError):
            await setup.replays.cancel(replay.id)

        found = await store.history.replay(replay.id)
        assert found is not None
        assert found.state == "done"


async def test_cancel_stops_a_step_that_was_decided_before(store: Store, clock: FakeClock) -> None:
    async with running(store, clock, runs=False) as setup:
        await setup.accept(8)
        replay = await setup.start("all")
        await setup.replays._step(replay)
        [stale] = await store.history.replays(EVERYONE, Page(9), running=True)
        await setup.replays.cancel(replay.id)

        await setup.replays._step(stale)  # as another node would, which has read the replay before

        assert await setup.counts() == {"pending": STEP}
        setup.replays.run()
        await setup.until(replay, "cancelled")
        assert await setup.counts() == {"cancelled": STEP}


@pytest.mark.parametrize("method", ["finish_replay", "put_replay"])
@pytest.mark.parametrize("is_stored", [False, True])
async def test_cancelling_goes_on_after_a_node_died_in_a_step(
    engine_maker: Callable[..., Engine],
    tmp_path: Any,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    *,
    is_stored: bool,
) -> None:
    engine = engine_maker(tmp_path)
    store = await engine.open()
    async with running(store, clock, runs=False) as setup:
        await setup.accept(8)
        replay = await setup.start("all")
        while (found := await store.history.replay(replay.id)) is not None and found.state == "running":
            await setup.replays._step(found)
        await setup.replays.cancel(replay.id)
        original = getattr(store.queue, method)

        async def die(_queue: object, *arguments: Any, **named: Any) -> Any:
            if is_stored:
                await original(*arguments, **named)
            raise DiedError

        monkeypatch.setattr(type(store.queue), method, die)
        with pytest.raises(DiedError):
            await step_to_the_end(setup)
        monkeypatch.undo()
    await store.close()
    monkeypatch.setattr(module, "_STEP", STEP)

    store = await engine.open()
    async with running(store, clock) as restarted:
        await restarted.until(replay, "cancelled")

        assert await restarted.counts() == {"cancelled": 8}
        [counts] = await store.history.delivery_counts(EVERYONE)
        assert (counts.matched, counts.cancelled, counts.pending, counts.difference) == (8, 8, 0, 0)
    await engine.close_all()


async def test_replay_that_another_node_left_is_continued(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.01)
    async with running(store, clock) as setup:
        await setup.accept(4)
        async with running(store, clock, runs=False) as other:
            replay = await other.start("missed")

        done = await setup.until(replay, "done")

        assert done.queued == 4
