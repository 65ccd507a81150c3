"""Upkeep: the recount finds what is wrong, retention frees what is old and nothing else."""

import asyncio
import itertools
from typing import cast

import pytest
from stores import START_MS, Engine, accept_events, claim, empty_registry, new_event, result

from commerce_event.core.clock import SystemClock
from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Refusal, Replay, Scope
from commerce_event.maintenance import runner
from commerce_event.maintenance.activity_recorder import ActivityRecorder
from commerce_event.maintenance.clock_watcher import ClockWatcher
from commerce_event.maintenance.retention import Retention
from commerce_event.store.model import DeliveryQuery, EventQuery, NewDelivery, Page
from commerce_event.store.port import MaintenanceStore, Store, StoreUnavailableError

EVERYONE = Scope.everyone()
DAY_MS = 86_400_000


async def test_event_that_lost_its_delivery_is_found(engine: Engine) -> None:
    store = await engine.open()
    good, bad = new_event(7), new_event(7)
    await accept_events(store, [good, bad])
    await store.close()
    await engine.damage(bad.id)
    store = await engine.open()

    assert (await store.maintenance.verify_counts(after_id=0, limit=10)).wrong == (bad.id,)
    [book] = await store.history.delivery_counts(EVERYONE, recount=True)
    assert book.difference == 1


async def test_recount_goes_on_where_it_stopped_and_begins_again_at_the_end(store: Store) -> None:
    events = [new_event() for _ in range(5)]
    await accept_events(store, events)
    first = await store.maintenance.verify_counts(after_id=0, limit=3)
    second = await store.maintenance.verify_counts(after_id=first.cursor, limit=3)

    assert (first.checked, first.cursor) == (3, events[2].id)
    assert (second.checked, second.cursor) == (2, 0)


async def test_old_finished_events_go_with_everything_of_theirs(engine: Engine) -> None:
    store = await engine.open()
    old = new_event(7, at_ms=START_MS - 100, body=b'{"OrderNo":"SO-OLD"}')
    await accept_events(store, [old])
    await store.maintenance.index_text(10)
    [claimed] = await claim(store, 7)
    await store.queue.settle([result(claimed)])

    assert await store.maintenance.expire(before_ms=START_MS, limit=10) == 1
    assert await store.history.event(old.id, EVERYONE) is None
    assert await store.history.delivery(claimed.delivery_id, EVERYONE) is None
    assert await store.history.events(EventQuery(scope=EVERYONE, text="SO-OLD"), Page(10)) == []
    [book] = await store.history.delivery_counts(EVERYONE, recount=True)
    assert (book.delivered, book.difference) == (1, 0)
    assert await engine.count_attempts() == 0


async def test_what_is_pending_or_young_stays(store: Store) -> None:
    pending, done = new_event(7, at_ms=START_MS - 100), new_event(at_ms=START_MS - 50)
    young = new_event(at_ms=START_MS)
    await accept_events(store, [pending, done, young])

    assert await store.maintenance.expire(before_ms=START_MS, limit=10) == 1
    assert [event.id for event in await store.history.events(EventQuery(scope=EVERYONE), Page(9))] == [
        young.id,
        pending.id,
    ]
    assert len(await claim(store, 7)) == 1


async def test_retention_goes_in_steps(store: Store) -> None:
    await accept_events(store, [new_event(at_ms=START_MS - 100) for _ in range(5)])

    assert [await store.maintenance.expire(before_ms=START_MS, limit=2) for _ in range(4)] == [2, 2, 1, 0]


async def test_text_index_goes_in_steps_and_is_done_once(store: Store) -> None:
    await accept_events(store, [new_event() for _ in range(5)])

    assert [await store.maintenance.index_text(2) for _ in range(4)] == [2, 2, 1, 0]


async def test_recount_finds_too_few_but_is_not_misled_by_replays(engine: Engine) -> None:
    store = await engine.open()
    replayed, bad = new_event(7), new_event(7, 8)
    await accept_events(store, [replayed, bad])
    replay = Replay(
        id=new_event().id, client_id=1, endpoint_id=7, since_ms=0, until_ms=START_MS, types=(), only="all",
        state="done", cursor=0, looked_at=2, queued=2, created_ms=START_MS, finished_ms=START_MS,
    )  # fmt: skip
    again = [NewDelivery(new_event().id, 7), NewDelivery(new_event().id, 7)]
    await store.queue.add_deliveries(again, [replayed.id, bad.id], replay=replay, now_ms=START_MS)
    assert (await store.maintenance.verify_counts(after_id=0, limit=10)).wrong == ()
    await store.close()
    await engine.damage(bad.id)
    store = await engine.open()

    assert (await store.maintenance.verify_counts(after_id=0, limit=10)).wrong == (bad.id,)
    assert (await store.maintenance.verify_counts(after_id=replayed.id, limit=10)).wrong == (bad.id,)
    assert (await store.maintenance.verify_counts(after_id=bad.id, limit=10)).wrong == ()


async def test_ids_that_were_freed_stay_unknown_in_every_reading(engine: Engine) -> None:
    store = await engine.open()
    old, young = new_event(7, at_ms=START_MS - 100), new_event(7)
    await accept_events(store, [old, young])
    delivery_id = old.deliveries[0].id
    await store.queue.cancel([delivery_id], reason="by hand", now_ms=START_MS)
    await store.maintenance.expire(before_ms=START_MS, limit=10)
    await store.close()
    store = await engine.open()

    assert await store.history.event(old.id, EVERYONE) is None
    assert await store.history.delivery(delivery_id, EVERYONE) is None
    assert await store.queue.cancel([delivery_id], reason="again", now_ms=START_MS) == 0
    assert await store.queue.requeue([delivery_id], now_ms=START_MS) == 0
    assert [event.sequence for event in await store.history.events_after(1, 0, 10)] == [2]
    between = await store.history.events_between(1, after_id=0, until_ms=START_MS, types=(), limit=10)
    assert [event.id for event in between] == [young.id]
    query = DeliveryQuery(scope=EVERYONE)
    assert [each.event_id for each in await store.history.deliveries(query, Page(9))] == [young.id]
    assert (await store.maintenance.verify_counts(after_id=0, limit=10)).wrong == ()


async def test_pending_replay_keeps_an_old_event(store: Store) -> None:
    old = new_event(7, at_ms=START_MS - 100)
    await accept_events(store, [old])
    await store.queue.settle([result(each) for each in await claim(store, 7)])
    [delivery_id] = [each.id for each in old.deliveries]
    assert await store.queue.requeue([delivery_id], now_ms=START_MS) == 0  # it has arrived
    replay = Replay(
        id=new_event().id, client_id=1, endpoint_id=8, since_ms=0, until_ms=START_MS, types=(), only="all",
        state="done", cursor=0, looked_at=1, queued=1, created_ms=START_MS, finished_ms=START_MS,
    )  # fmt: skip
    await store.queue.add_deliveries([NewDelivery(new_event().id, 8)], [old.id], replay=replay, now_ms=START_MS)

    assert await store.maintenance.expire(before_ms=START_MS, limit=10) == 0
    await store.queue.settle([result(each) for each in await claim(store, 8)])
    assert await store.maintenance.expire(before_ms=START_MS, limit=10) == 1


async def test_old_pending_events_do_not_hide_finished_ones_behind_them(store: Store) -> None:
    pending = [new_event(7, at_ms=START_MS - 100) for _ in range(10)]
    done = new_event(at_ms=START_MS - 50)
    await accept_events(store, [*pending, done])

    assert await store.maintenance.expire(before_ms=START_MS, limit=2) == 1
    assert await store.history.event(done.id, EVERYONE) is None


async def test_store_describes_itself(store: Store) -> None:
    await accept_events(store, [new_event(7)])
    info = await store.info()

    assert info.engine
    assert info.version
    assert info.location
    assert info.durability
    assert info.schema_version >= 1
    assert info.size_bytes > 0


async def test_healthy_store_does_not_report_a_failure(store: Store) -> None:
    watching = asyncio.create_task(store.failed())
    await accept_events(store, [new_event(7)])

    assert not watching.done()
    watching.cancel()


async def test_clock_that_is_set_far_ahead_leaves_days_before_history_goes(engine: Engine) -> None:
    store, clock = await engine.open(), SystemClock()
    now_ms = clock.now_ms()
    await accept_events(store, [new_event(at_ms=now_ms - age_days * DAY_MS) for age_days in (40, 29, 1, 0)])
    retention = Retention(store.maintenance, clock, 30 * 86_400)
    clock.follow(366 * DAY_MS)
    for _ in range(3):
        await retention.expire()

    assert [event.sequence for event in await store.history.events_after(1, 0, 10)][-3:] == [2, 3, 4]


async def test_retention_takes_what_is_past_its_time_and_catches_up_after_a_long_pause(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, clock = await engine.open(), SystemClock()
    now_ms, start_s = clock.now_ms(), clock.monotonic()
    await accept_events(store, [new_event(at_ms=now_ms - age_days * DAY_MS) for age_days in (40, 39, 9, 8)])
    retention = Retention(store.maintenance, clock, 10 * 86_400)
    left = []
    for passed_days in (0, 1, 3.5, 4):
        monkeypatch.setattr(clock, "monotonic", lambda days=passed_days: start_s + days * 86_400)
        await retention.expire()
        left.append(len(await store.history.events_after(1, 0, 10)))

    assert left == [4, 2, 2, 2], "a day's work of ten days; what is younger than the retention stays"


async def test_maintenance_deletes_refused_events_past_their_own_retention(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, clock, ids = await engine.open(), SystemClock(), IdMaker()
    days = itertools.count()
    monkeypatch.setattr(clock, "monotonic", lambda: next(days) * 86_400.0)
    monkeypatch.setattr(runner, "_EXPIRE_EVERY_S", 0.001)
    now_ms = clock.now_ms()
    for age_days in (9, 8, 6, 0):
        at_ms = now_ms - age_days * DAY_MS
        refused = Refusal(
            id=ids.next(at_ms), at_ms=at_ms, client_id=1, owner="client 1", type="T", key_id=0, key_name="", status=422,
            detail="", faults=(), body=b"{}", size=2,
        )  # fmt: skip
        await store.refusals.add([refused])
    maintenance = runner.Maintenance(
        store,
        empty_registry(store),
        clock,
        ActivityRecorder(clock),
        retention_s=0,
        refusal_retention_s=7 * 86_400,
        change_retention_s=7 * 86_400,
    )
    maintenance.start()
    try:
        async with asyncio.timeout(60):
            while await store.refusals.oldest_ms() != now_ms - 6 * DAY_MS:
                await asyncio.sleep(0.005)
    finally:
        await maintenance.close()
    assert await store.refusals.count_open(Scope.everyone(), limit=9) == 2


async def test_maintenance_writes_key_uses_while_it_runs_and_when_it_is_closed(engine: Engine) -> None:
    store, clock = await engine.open(), SystemClock()
    registry = empty_registry(store)
    maintenance = runner.Maintenance(
        store, registry, clock, ActivityRecorder(clock), retention_s=0, refusal_retention_s=0, change_retention_s=0
    )
    registry.note_use(3)
    maintenance.start()
    async with asyncio.timeout(60):
        while set(await store.registry.key_uses()) != {3}:
            await asyncio.sleep(0.005)
    registry.note_use(4)
    await maintenance.close()

    assert set(await store.registry.key_uses()) == {3, 4}


async def test_due_times_follow_a_clock_that_was_set_back_while_the_store_was_away() -> None:
    moved: list[int] = []
    clock = SystemClock()
    clock.follow(3_600_000)  # as if the machine's clock had been set an hour back

    class Away:
        """A store that is out of reach the first time."""

        @property
        def maintenance(self) -> "Away":
            return self

        async def shift_due(self, by_ms: int) -> None:
            moved.append(by_ms)
            if len(moved) == 1:
                raise StoreUnavailableError("the disk is full")

    watcher = ClockWatcher(cast("MaintenanceStore", Away()), clock)
    with pytest.raises(StoreUnavailableError):
        await watcher.check()
    await watcher.check()
    await watcher.check()

    assert len(moved) == 2
    assert all(abs(by_ms + 3_600_000) < 1_000 for by_ms in moved)
