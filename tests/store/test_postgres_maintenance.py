"""Upkeep of a large store on the engine of many nodes: every step is short, and what was done stays done."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from stores import START_MS, PostgresEngine, accept_events, claim, new_event, result

from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Scope
from commerce_event.store import text_search
from commerce_event.store.model import EventQuery, NewDelivery, NewEvent, Page
from commerce_event.store.port import StoreUnavailableError
from commerce_event.store.postgres import PostgresStore, partitions, retention

EVERYONE = Scope.everyone()
DAY_MS = 86_400_000
PAST_MS = START_MS + 14 * DAY_MS


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[PostgresEngine]:
    made = PostgresEngine(tmp_path)
    yield made
    await made.close_all()


async def connection(engine: PostgresEngine) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(await engine.url(), server_settings={"search_path": "commerce_event"})


def at_week(ids: IdMaker, ms: int, *, endpoint: int | None = None, key: str | None = None) -> NewEvent:
    """An event whose id tells its time, as real ones do."""
    deliveries = () if endpoint is None else (NewDelivery(ids.next(ms), endpoint),)
    return NewEvent(
        id=ids.next(ms), client_id=1, type="OrderConfirmedEvent", application_id=None, accepted_ms=ms,
        config_version=0, idempotency_key=key, traceparent=None, body=b"{}", deliveries=deliveries,
    )  # fmt: skip


async def test_keys_of_a_long_week_are_freed_in_steps_that_stay_done(
    engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "_KEYS_AT_ONCE", 2)
    store, ids = await engine.open(), IdMaker()
    await accept_events(store, [at_week(ids, START_MS, key=f"k{number}") for number in range(7)])
    engine.clock.ms = START_MS + 60 * DAY_MS
    other = await connection(engine)
    async with other.transaction():
        await other.execute("SELECT * FROM event_key WHERE key = 'k5' FOR UPDATE")
        expiring = asyncio.create_task(store.maintenance.expire(before_ms=PAST_MS, limit=1))
        async with asyncio.timeout(60):
            while await engine.run("SELECT count(*) FROM event_key") != 3:  # it waits for the third step's
                pass
        assert await engine.run("SELECT count(*) FROM event") == 7
    await other.close()

    assert await expiring == 7
    assert await engine.run("SELECT count(*) FROM event_key") == 0
    assert await engine.run("SELECT count(*) FROM event") == 0


async def test_week_ends_while_two_nodes_accept_and_deliver(engine: PostgresEngine) -> None:
    midnight_ms = START_MS - START_MS % (7 * DAY_MS) + 4 * DAY_MS  # 1970 began on a Thursday
    engine.clock.ms = midnight_ms - 100
    nodes, ids = [await engine.open(), await engine.open()], [IdMaker(node=1), IdMaker(node=2)]
    steps = range(-100, 100, 5)

    async def accept(number: int) -> None:
        for step in steps:
            engine.clock.ms = midnight_ms + step
            await accept_events(nodes[number], [at_week(ids[number], engine.clock.ms, endpoint=7)])

    async def deliver(node: PostgresStore) -> None:
        while len(delivered) < 2 * len(steps):
            for each in await claim(node, 7, now_ms=midnight_ms + 100, limit=3):
                assert await node.queue.settle([result(each)]) == [True]
                delivered.append(each.event_id)

    delivered: list[int] = []
    async with asyncio.timeout(60):
        await asyncio.gather(accept(0), accept(1), deliver(nodes[0]), deliver(nodes[1]))
    before, after = (partitions.Week.of(midnight_ms + by_ms) for by_ms in (-1, 0))
    for table in ("event", "finished", "attempt"):
        counts = [
            await engine.run(f"SELECT count(*) FROM {part}")
            for part in (before.partition(table), after.partition(table))
        ]
        assert counts == [len(steps)] * 2, table
    assert [each.sequence for each in await nodes[0].history.events_after(1, 0, 999)] == list(
        range(1, 2 * len(steps) + 1)
    )
    [book] = await nodes[1].history.delivery_counts(EVERYONE, recount=True)
    assert (book.delivered, book.pending, book.difference) == (2 * len(steps), 0, 0)


async def test_closing_does_not_wait_for_the_end_of_a_long_clearing(
    engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "_KEYS_AT_ONCE", 1)
    store, ids = await engine.open(), IdMaker()
    await accept_events(store, [at_week(ids, START_MS, key=f"k{number}") for number in range(200)])
    engine.clock.ms = START_MS + 60 * DAY_MS
    expiring = asyncio.create_task(store.maintenance.expire(before_ms=PAST_MS, limit=1))
    async with asyncio.timeout(60):
        while await engine.run("SELECT count(*) FROM event_key") == 200:
            pass
    await store.close()

    with pytest.raises(StoreUnavailableError):
        await expiring
    store = await engine.open()
    assert await store.maintenance.expire(before_ms=PAST_MS, limit=1) == 200


async def test_pass_of_retention_looks_at_old_pending_events_once(
    engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, looked_from = await engine.open(), list[int]()
    expired = retention.expired

    async def record_call(*args: Any, **given: Any) -> list[int]:
        looked_from.append(given["after_id"])
        return await expired(*args, **given)

    monkeypatch.setattr(retention, "expired", record_call)
    events = [new_event(*endpoints, at_ms=START_MS - 100) for _ in range(4) for endpoints in ((7,), ())]
    await accept_events(store, events)
    assert [await store.maintenance.expire(before_ms=START_MS, limit=2) for _ in range(3)] == [2, 2, 0]
    assert looked_from == [0, events[3].id, events[7].id]

    await store.queue.settle([result(each) for each in await claim(store, 7)])
    assert [await store.maintenance.expire(before_ms=START_MS, limit=2) for _ in range(3)] == [2, 2, 0]


async def test_events_that_another_node_holds_do_not_end_the_pass(engine: PostgresEngine) -> None:
    store = await engine.open()
    events = [new_event(at_ms=START_MS - 100) for _ in range(4)]
    await accept_events(store, events)
    other = await connection(engine)
    async with other.transaction():
        await other.execute("SELECT * FROM event WHERE id = ANY ($1) FOR UPDATE", [each.id for each in events[:2]])
        assert await store.maintenance.expire(before_ms=START_MS, limit=2) == 2
    await other.close()

    assert [await store.maintenance.expire(before_ms=START_MS, limit=2) for _ in range(3)] == [0, 2, 0]


async def test_step_of_the_text_index_ends_at_about_a_megabyte_of_payloads(engine: PostgresEngine) -> None:
    store = await engine.open()
    body = b'{"OrderNo":"SO-1","Text":"%s"}' % (b"word " * 60_000)
    await accept_events(store, [new_event(body=body) for _ in range(9)])

    assert [await store.maintenance.index_text(100) for _ in range(4)] == [4, 4, 1, 0]
    assert len(await store.history.events(EventQuery(scope=EVERYONE, text="so-1"), Page(99))) == 9


async def test_one_large_payload_is_a_step_of_its_own(engine: PostgresEngine) -> None:
    store = await engine.open()
    await accept_events(store, [new_event(body=b'{"Text":"%s"}' % (b"x" * 3_000_000)), new_event()])

    assert [await store.maintenance.index_text(100) for _ in range(3)] == [1, 1, 0]


async def test_words_are_found_off_the_event_loop(engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[int] = set()
    index_entry = text_search.index_entry

    def record_call(client_id: int, body: bytes) -> tuple[str, str]:
        threads.add(threading.get_ident())
        return index_entry(client_id, body)

    monkeypatch.setattr(text_search, "index_entry", record_call)
    store = await engine.open()
    await accept_events(store, [new_event()])

    assert await store.maintenance.index_text(10) == 1
    assert threads
    assert threading.get_ident() not in threads


async def test_pending_events_are_found_without_a_look_at_what_is_finished(engine: PostgresEngine) -> None:
    store = await engine.open()
    pending, done = new_event(7), new_event(8)
    await accept_events(store, [pending, done])
    await store.queue.settle([result(each) for each in await claim(store, 8)])
    other = await connection(engine)
    async with other.transaction():
        await other.execute("LOCK TABLE finished IN ACCESS EXCLUSIVE MODE")
        async with asyncio.timeout(60):
            found = await store.history.events(EventQuery(scope=EVERYONE, state="pending"), Page(10))
    await other.close()

    assert [each.id for each in found] == [pending.id]


async def test_words_lead_to_the_texts_of_the_client_alone(engine: PostgresEngine) -> None:
    store = await engine.open()
    body = b'{"LastName":"Lind"}'
    await accept_events(store, [new_event(client=4, body=body), *(new_event(client=40, body=body) for _ in range(5))])
    await store.maintenance.index_text(10)

    async def led_to(*clients: int) -> int:
        sql = "SELECT count(*) FROM event_text WHERE words @@ ($1::text)::tsquery"
        return int(await engine.run(sql, text_search.index_query([text_search.wanted("lin")], clients)))

    assert [await led_to(4), await led_to(40), await led_to(4, 40), await led_to(5), await led_to()] == [1, 5, 6, 0, 6]
