"""Several nodes on one database: told apart, on one time, and none loses its work to another while it lives."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import postgres
import pytest
from stores import START_MS, FakeClock, PostgresEngine, accept_events, claim, new_event, result

from commerce_event.core.clock import SharedClock
from commerce_event.core.ids import NODE_BITS
from commerce_event.core.model import DeliveryKind
from commerce_event.store.model import ClaimRequest
from commerce_event.store.port import StoreRefusedError
from commerce_event.store.postgres import PostgresStore, run_lock
from commerce_event.store.postgres.cluster import Cluster
from commerce_event.store.postgres.connections import Address
from commerce_event.store.postgres.locks import RUNS, lock_order_keys

LATER_MS = START_MS + 60_000
LEASE_MS = 15_000
PRESENCE = (
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = $1::bigint::oid AND objid = $2::bigint::oid"
)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[PostgresEngine]:
    made = PostgresEngine(tmp_path)
    yield made
    await made.close_all()


async def until_sees(store: PostgresStore, nodes: int) -> None:
    async with asyncio.timeout(60):
        while store.nodes != nodes:
            await asyncio.sleep(0.01)


async def cut_presence(engine: PostgresEngine, run: int) -> None:
    pid = await engine.run(PRESENCE, RUNS, run)
    assert await engine.run("SELECT pg_terminate_backend($1)", pid)


# Runs


async def test_nodes_that_live_together_never_share_their_part_of_ids(engine: PostgresEngine) -> None:
    first = await engine.open()
    await engine.run(f"UPDATE meta SET value = value + {2**NODE_BITS - 1} WHERE name = 'run'")
    second = await engine.open()

    assert second.run_id % 2**NODE_BITS != first.run_id % 2**NODE_BITS


async def test_number_that_a_live_node_holds_is_not_given_again(engine: PostgresEngine) -> None:
    """A copy of the database may be put in its place whose counter is behind."""
    first = await engine.open()
    await engine.run("UPDATE meta SET value = value - 1 WHERE name = 'run'")
    second = await engine.open()

    assert second.run_id != first.run_id


async def test_node_for_which_no_number_is_left_is_refused(
    engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lock, "_NODES_MAX", 2)
    first, second = await engine.open(), await engine.open()

    with pytest.raises(StoreRefusedError, match="2 nodes already"):
        await engine.open()
    await second.close()
    third = await engine.open()
    assert third.run_id % 2 != first.run_id % 2


# Leases


async def test_node_whose_presence_was_cut_for_a_moment_keeps_what_it_is_sending(engine: PostgresEngine) -> None:
    first, second = await engine.open(), await engine.open()
    await accept_events(first, [new_event(7)])
    [claimed] = await claim(first, 7)
    await until_sees(second, 2)
    database, pid = await engine.run("SELECT current_database()"), await engine.run(PRESENCE, RUNS, first.run_id)
    await postgres.run_on_server(
        f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false', f"SELECT pg_terminate_backend({pid})"
    )
    await until_sees(second, 1)  # it has looked
    await postgres.run_on_server(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS true')
    await until_sees(second, 2)

    assert await claim(second, 7, retrying=True) == []
    assert await first.queue.settle([result(claimed)]) == [True]


async def test_closing_gives_back_what_was_being_sent_at_once(engine: PostgresEngine) -> None:
    first, second = await engine.open(), await engine.open()
    await accept_events(first, [new_event(7)])
    [claimed] = await claim(first, 7)
    await first.close()

    [again] = await claim(second, 7, retrying=True)
    assert (again.delivery_id, again.number) == (claimed.delivery_id, 2)


async def test_giving_back_once_more_leaves_a_later_claim_of_the_same_run_alone(engine: PostgresEngine) -> None:
    store = await engine.open()
    await accept_events(store, [new_event(7)])
    unsent = await claim(store, 7)
    await store.queue.release_claims(unsent, now_ms=START_MS)
    [sending] = await claim(store, 7, now_ms=START_MS + 50)
    await store.queue.release_claims(unsent, now_ms=START_MS + 60)  # the answer to the first call was lost on its way

    assert await claim(store, 7, now_ms=START_MS + 70) == []
    assert await store.queue.settle([result(sending)]) == [True]


async def test_release_claims_after_clock_was_set_frees_the_attempt_number(engine: PostgresEngine) -> None:
    store = await engine.open()
    await accept_events(store, [new_event(7)])
    unsent = await claim(store, 7)
    for by_ms in (-3_000, 500):
        await store.maintenance.shift_due(by_ms)
    await store.queue.release_claims(unsent, now_ms=START_MS)

    [again] = await claim(store, 7)
    assert again.number == 1


# One time


async def due_now(store: PostgresStore, clock: SharedClock, kind: DeliveryKind) -> int:
    now_ms = clock.now_ms()
    return len(await store.queue.claim([ClaimRequest(7, kind, 9)], now_ms=now_ms, lease_until_ms=now_ms + LEASE_MS))


async def test_nodes_whose_clocks_differ_agree_on_when_a_lease_ends(engine: PostgresEngine) -> None:
    clocks = [SharedClock(), SharedClock()]
    clocks[1].follow(2 * LEASE_MS)  # its machine's clock is wrong
    url = await engine.url()
    first, second = (PostgresStore(url, clock=clock) for clock in clocks)
    await first.open()
    await second.open()
    await accept_events(first, [new_event(7, at_ms=clocks[0].now_ms())])

    assert await due_now(first, clocks[0], DeliveryKind.FIRST) == 1
    assert await due_now(second, clocks[1], DeliveryKind.RETRY) == 0
    await first.close()
    await second.close()


async def test_open_store_goes_on_to_compare_its_clock_with_the_databases(engine: PostgresEngine) -> None:
    clock = SharedClock()
    store = PostgresStore(await engine.url(), clock=clock)
    await store.open()
    clock.follow(-5_000)
    clock.compare_with_server(
        clock.now_ms(), clock.monotonic(), clock.monotonic()
    )  # as if the database's had been set just now
    assert abs(clock.drift_ms()) < 1_000

    async with asyncio.timeout(60):
        while clock.drift_ms() < 4_000:
            await asyncio.sleep(0.05)
    await store.close()


# Notices


async def test_notice_that_met_a_connection_just_cut_is_sent_once_that_is_back(engine: PostgresEngine) -> None:
    listener = await engine.open()
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener.on_notice = heard.put_nowait
    address = Address(await engine.url())
    teller = Cluster(address, FakeClock(), lambda _: None, lost_after_s=5)
    await teller.enter(await address.connect())
    await until_sees(listener, 2)
    cutting = threading.Thread(target=asyncio.run, args=(cut_presence(engine, teller.run_id),))
    cutting.start()
    cutting.join()  # the event loop stands still meanwhile, and so has not noticed
    teller.tell("config")

    async with asyncio.timeout(60):
        while await heard.get() != "config":
            pass
    await teller.leave()


# Order


async def test_order_of_a_key_is_that_of_acceptance_when_a_nodes_clock_is_behind(engine: PostgresEngine) -> None:
    ahead, behind = await engine.open(), await engine.open()
    first, of_behind, of_ahead = (new_event(7, order_key="a") for _ in range(3))
    await accept_events(ahead, [first])
    await accept_events(ahead, [of_ahead])
    await accept_events(behind, [of_behind])  # accepted later, though its ids are smaller

    sent = []
    for _ in range(3):
        [claimed] = await claim(ahead, 7, now_ms=LATER_MS)
        sent.append(claimed.sequence)
        await ahead.queue.settle([result(claimed)])
    assert sent == [1, 2, 3]


async def test_dead_ones_come_back_in_accept_order_when_a_nodes_clock_is_behind(engine: PostgresEngine) -> None:
    ahead, behind = await engine.open(), await engine.open()
    of_behind, of_ahead = (new_event(7, order_key="a") for _ in range(2))
    await accept_events(ahead, [of_ahead])
    await accept_events(behind, [of_behind])
    await ahead.queue.finish_pending(7, state="dead", reason="test", now_ms=START_MS, limit=9)
    await ahead.queue.requeue([each.deliveries[0].id for each in (of_behind, of_ahead)], now_ms=START_MS)

    [one] = await claim(ahead, 7, now_ms=LATER_MS)
    await ahead.queue.settle([result(one)])
    [two] = await claim(ahead, 7, now_ms=LATER_MS)
    assert [one.event_id, two.event_id] == [of_ahead.id, of_behind.id]


# Locks


@asynccontextmanager
async def held_turn(engine: PostgresEngine) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A transaction that has the turn of key "a" at endpoint 7."""
    other = await asyncpg.connect(await engine.url(), server_settings={"search_path": "commerce_event"})
    try:
        async with other.transaction():
            await lock_order_keys(other, [(7, "a")])
            yield other
    finally:
        await other.close()


async def test_settling_waits_for_its_turns_before_it_locks_anything_else(engine: PostgresEngine) -> None:
    store = await engine.open()
    await accept_events(store, [new_event(7, order_key="a"), new_event(7, order_key="a")])
    [claimed] = await claim(store, 7)
    async with held_turn(engine) as other:
        settling = asyncio.create_task(store.queue.settle([result(claimed)]))
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
        async with asyncio.timeout(60):
            while not await other.fetchval(waits):
                pass
        rows = await other.fetch("SELECT id FROM queue FOR UPDATE NOWAIT")
        assert len(rows) == 2
        assert await other.fetch("SELECT * FROM delivery_counts FOR UPDATE NOWAIT")

    assert await settling == [True]
    assert len(await claim(store, 7, now_ms=LATER_MS)) == 1
