"""Changes of several nodes: they write the same rows at once, and lose nothing."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from change_batches import (
    EVERYONE,
    accept,
    found,
    new_change,
    raised,
    row,
    row_key,
    values_of,
    waiting,
    write_until_current,
)
from stores import START_MS, PostgresEngine, new_event

from commerce_event.core.ids import at_time
from commerce_event.store.model import PositionWrite, RowWrite
from commerce_event.store.port import ChangesOutdatedError, PositionChangedError, StoreUnavailableError
from commerce_event.store.postgres import connections
from commerce_event.store.postgres.connections import Address
from commerce_event.store.postgres.partitions import Week, create

AT_ONCE = 3  # batches of a node
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[PostgresEngine]:
    made = PostgresEngine(tmp_path)
    yield made
    await made.close_all()


@asynccontextmanager
async def transaction(engine: PostgresEngine, statement: str) -> AsyncIterator[None]:
    """Hold what the statement locks, as a node does in the middle of accepting; roll it back at the end."""
    connection = await asyncpg.connect(await engine.url(), server_settings={"search_path": "commerce_event"})
    try:
        await connection.execute(f"BEGIN; {statement}")
        yield
    finally:
        await connection.close()


async def test_two_nodes_write_the_same_row_at_once_and_both_values_arrive(engine: PostgresEngine) -> None:
    one, two = await engine.open(), await engine.open()
    for number in range(10):
        expected = None if number == 0 else 100 + number
        answers = await asyncio.gather(
            accept(one, changes=[new_change()], rows=[row(number, 1), row(99, 101 + number, expected)]),
            accept(two, changes=[new_change()], rows=[row(99, 101 + number, expected), row(number, 2)]),
            return_exceptions=True,
        )
        assert sorted(type(each).__name__ for each in answers) == ["ChangesOutdatedError", "list"]
        assert len(await found(one)) == number + 1
        assert await values_of(one, 99) == [101 + number]


async def test_nodes_that_write_rows_in_any_order_lose_no_change_and_never_deadlock(engine: PostgresEngine) -> None:
    stores = [await engine.open(), await engine.open()]
    rng = random.Random(5)
    batches = [(rng.sample(range(6), rng.randint(1, 5)), change_id) for change_id in range(100, 160)]
    slots = [asyncio.Semaphore(AT_ONCE) for _ in stores]

    async def write(numbers: list[int], change_id: int) -> None:
        async with slots[change_id % 2]:
            await write_until_current(stores[change_id % 2], numbers, change_id, rng)

    await asyncio.gather(*(write(numbers, change_id) for numbers, change_id in batches))

    known = await stores[0].changes.known_rows([(1, row_key(number)) for number in range(6)])
    counted = {number: known[1, row_key(number)].values["count"] for number in range(6)}
    assert counted == {number: sum(number in numbers for numbers, _ in batches) for number in range(6)}
    assert await engine.run(DEADLOCKS) == 0


async def test_nodes_that_delete_and_add_rows_at_once_never_deadlock(engine: PostgresEngine) -> None:
    stores = [await engine.open(), await engine.open()]
    rng = random.Random(9)

    async def flip(node: int, change_id: int) -> None:
        """Add the rows that are missing, and delete those that are there."""
        numbers = rng.sample(range(5), 3)
        while True:
            known = await stores[node].changes.known_rows([(1, row_key(number)) for number in numbers])
            rows: list[RowWrite] = []
            for number in numbers:
                there = known.get((1, row_key(number)))
                rows.append(
                    row(number, change_id)
                    if there is None
                    else row(number, change_id, there.change_id, values=rng.choice([None, {}]))
                )
            key = f"k{change_id % 7}"
            held = [waiting(str(number), change_id) for number in numbers]
            taken = await stores[node].changes.first_changes([(1, key)])
            change = new_change(idempotency_key=None if taken else key)
            try:
                await accept(stores[node], new_event(7), changes=[change], rows=rows, waiting=held)
            except ChangesOutdatedError:
                continue
            return

    async def flip_some(node: int, change_ids: Iterable[int]) -> None:
        for change_id in change_ids:
            await flip(node, change_id)

    runs = range(2 * AT_ONCE)
    await asyncio.gather(*(flip_some(run % 2, range(100 + run, 160, len(runs))) for run in runs))
    merged = await stores[0].changes.due(now_ms=START_MS, limit=9)
    assert sum(each.merged for each in merged) == 180
    assert len(await found(stores[1])) == 60
    events = await stores[0].history.events_after(1, 0, 100)
    assert [each.sequence for each in events] == list(range(1, 61))
    assert await engine.run(DEADLOCKS) == 0


async def test_batch_that_waits_to_add_a_row_has_only_locked_its_others(
    engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise two batches that each add what the other changes could wait for each other."""
    monkeypatch.setattr(connections, "_LOCK_WAIT", "60s")
    store = await engine.open()
    await accept(store, rows=[row(1, 5), row(2, 5)])
    async with transaction(engine, f"UPDATE change_row SET change_id = 6 WHERE row_key = '{row_key(2)}'"):
        adding = asyncio.create_task(accept(store, rows=[row(1, 7, 5), row(2, 7)]))
        await until_one_waits(engine)
        with pytest.raises(ChangesOutdatedError):
            await accept(store, rows=[row(1, 8)])
        assert not adding.done()
    with pytest.raises(ChangesOutdatedError):
        await adding


async def until_one_waits(engine: PostgresEngine) -> int:
    """Wait until a transaction waits for a lock; return its backend."""
    waits = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while (pid := await engine.run(waits)) is None:
        await asyncio.sleep(0.01)
    return int(pid)


async def test_one_position_is_taken_by_one_node(engine: PostgresEngine) -> None:
    stores = [await engine.open(), await engine.open()]
    expected = None
    for number in range(10):
        writes = [PositionWrite(source="erp", position=f"{number} {node}", expected=expected) for node in range(2)]
        answers = await asyncio.gather(
            *(
                accept(stores[node], changes=[new_change()], positions=[writes[node]])
                for node in rng_order(number)
            ),
            return_exceptions=True,
        )  # fmt: skip
        [refused] = [each for each in answers if isinstance(each, PositionChangedError)]
        states = await stores[0].change_settings.source_states()
        expected = states["erp"].position
        assert refused.position == expected
        assert len(await found(stores[0])) == number + 1


def rng_order(number: int) -> list[int]:
    return [0, 1] if number % 2 else [1, 0]


async def test_waiting_notification_is_released_by_one_node_or_merged_into(engine: PostgresEngine) -> None:
    stores = [await engine.open(), await engine.open()]
    sent = merged = 0
    for number in range(20):
        await accept(stores[0], waiting=[waiting("s", 1000 + 2 * number)])
        [held] = await stores[1].changes.due(now_ms=START_MS, limit=9)
        answers = await asyncio.gather(
            accept(stores[0], waiting=[waiting("s", 1001 + 2 * number)]),
            accept(stores[1], new_event(7), released=[held]),
            return_exceptions=True,
        )
        [left] = await stores[1].changes.due(now_ms=START_MS, limit=9)
        if isinstance(answers[1], ChangesOutdatedError):
            merged += 1
            assert (left.merged, left.first_change_id) == (held.merged + 1, held.first_change_id)
        else:
            sent += 1
            assert (left.merged, left.first_change_id) == (1, 1001 + 2 * number)
        assert left.change_id == 1001 + 2 * number
        await accept(stores[0], released=[left])
    assert sent + merged == 20
    assert len(await stores[0].history.events_after(1, 0, 100)) == sent


async def test_rows_that_a_node_keeps_locked_refuse_their_changes_alone(engine: PostgresEngine) -> None:
    store = await engine.open()
    await accept(store, rows=[row(1, 5)])
    async with transaction(engine, "SELECT FROM change_row FOR UPDATE"):
        refused = asyncio.create_task(accept(store, new_event(7), changes=[new_change()], rows=[row(1, 6, 5)]))
        await accept(store, new_event(7, client=2), changes=[new_change(2)], rows=[row(1, 6, client=2)])
        await accept(store, changes=[new_change()], rows=[row(2, 6)])
        with pytest.raises(StoreUnavailableError, match="another node has locked these rows; try again in a moment"):
            await refused
    await accept(store, new_event(7), changes=[new_change()], rows=[row(1, 6, 5)])
    assert len(await found(store)) == 3
    assert [each.sequence for each in await store.history.events_after(1, 0, 9)] == [1]


async def test_node_that_is_cut_off_in_the_middle_leaves_nothing(engine: PostgresEngine) -> None:
    store = await engine.open()
    await accept(store, rows=[row(1, 5)])
    async with transaction(engine, "SELECT FROM change_row FOR UPDATE"):
        parts: dict[str, Any] = {"changes": [new_change()], "rows": [row(1, 6, 5)], "waiting": [waiting("s", 6)]}
        position = PositionWrite(source="erp", position="1", expected=None)
        cut = asyncio.create_task(accept(store, new_event(7), positions=[position], **parts))
        await engine.run("SELECT pg_terminate_backend($1)", await until_one_waits(engine))
        with pytest.raises(StoreUnavailableError):
            await cut
    assert await found(store) == []
    assert await values_of(store, 1) == [5]
    assert await store.change_settings.source_states() == {}
    assert await store.changes.next_due_ms() is None
    await accept(store, new_event(7), positions=[position], **parts)
    assert [each.sequence for each in await store.history.events_after(1, 0, 9)] == [1]


async def test_rows_written_at_once_with_retention_are_read_again(engine: PostgresEngine) -> None:
    one, two = await engine.open(), await engine.open()
    await accept(one, rows=[row(number, 5) for number in range(20)])

    async def write(number: int) -> None:
        try:
            await accept(one, changes=[new_change()], rows=[row(number, 6, 5)])
        except ChangesOutdatedError:
            await accept(one, changes=[new_change()], rows=[row(number, 6)])

    forgetting = [two.changes.forget_rows(1, "Skus", before_ms=2 * START_MS, limit=2) for _ in range(10)]
    await asyncio.gather(*(write(number) for number in range(20)), *forgetting)
    assert len(await found(one)) == 20
    assert set(await values_of(one, *range(20))) <= {None, 6}


async def test_dropped_week_takes_the_raised_events_along(engine: PostgresEngine) -> None:
    store = await engine.open()
    week = Week.of(START_MS - 60 * 86_400_000)
    connection = await Address(await engine.url()).connect()
    await create(connection, week)
    await connection.close()
    start_ms = START_MS - 60 * 86_400_000
    events = [new_event(at_ms=start_ms), new_event()]
    events[0] = type(events[0])(
        **{name: getattr(events[0], name) for name in events[0].__struct_fields__} | {"id": at_time(start_ms)}
    )
    await accept(store, *events, raised=[raised(each, 1, 1) for each in events])
    assert await store.maintenance.expire(before_ms=START_MS - 30 * 86_400_000, limit=1) == 1
    assert [await store.changes.raised(each.id) for each in events] == [None, raised(events[1], 1, 1)]
    assert await store.history.event(events[0].id, EVERYONE) is None


async def test_settings_and_changes_of_one_node_reach_the_other(engine: PostgresEngine) -> None:
    one, two = await engine.open(), await engine.open()
    told: asyncio.Queue[str] = asyncio.Queue()
    two.on_notice = told.put_nowait
    await one.change_settings.delete_source("erp")
    assert await asyncio.wait_for(told.get(), 60) == "config"
    await accept(one, new_event(7), changes=[new_change()])
    assert await asyncio.wait_for(told.get(), 60) == "work"
