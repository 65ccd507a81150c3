"""Rows that another node has locked delay the events of their clients only."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from stores import PostgresEngine, accept_events, empty_registry, new_event

from commerce_event.accept import commit_batcher
from commerce_event.accept import intake as intake_module
from commerce_event.accept.commit_batcher import OutcomeUnknownError
from commerce_event.accept.intake import Intake, PendingEvent
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core.addresses import AddressPolicy
from commerce_event.core.clock import SystemClock
from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Endpoint, Scope
from commerce_event.deliver.dispatcher import Dispatcher
from commerce_event.deliver.resolver import Resolver
from commerce_event.deliver.sender import Sender
from commerce_event.store.model import DeliveryQuery, Page
from commerce_event.store.port import ConfigChangedError, Store, StoreUnavailableError
from commerce_event.store.postgres import PostgresStore, locked_clients

EVERYONE = Scope.everyone()
ORDER = EVENT_TYPES["OrderConfirmedEvent"]
LOCK_WAITS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[PostgresEngine]:
    made = PostgresEngine(tmp_path)
    yield made
    await made.close_all()


@pytest.fixture
async def intake(engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Intake]:
    monkeypatch.setattr(locked_clients, "_GIVE_UP_S", 60.0)
    for module in (commit_batcher, intake_module):
        monkeypatch.setattr(module, "ANSWER_S", 60.0)
    store, clock = await engine.open(), SystemClock()
    registry = empty_registry(store)
    await registry.load()
    sender = Sender(resolver=Resolver(AddressPolicy(())), timeout_s=5, clock=clock, installation_id="0")
    dispatcher = Dispatcher(
        store, registry, sender, clock, timeout_s=5, retry_schedule_s=(1.0,), max_in_flight=8, circuit_failures=5
    )
    made = Intake(store, registry, dispatcher, IdMaker(), clock)
    await made.submit([pending_event(client) for client in range(1, 9)])
    yield made
    await made.close()
    await sender.close()


def pending_event(client: int) -> PendingEvent:
    data = {**ORDER.example, "ClientId": client}
    return PendingEvent(client, ORDER, None, data, msgspec.json.encode(data))


def endpoint(client: int) -> Endpoint:
    return Endpoint(id=50, client_id=client, url="https://shop.example/", event_types=("*",), secrets=())


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def next_attempt(store: Store) -> None:
    """Wait until a transaction of locked clients begins: it sees every change that was made before."""
    assert isinstance(store, PostgresStore)
    locked = store.journal._locked
    before = set(locked._running)
    await until(lambda: locked._running.keys() - before)


@asynccontextmanager
async def holding(engine: PostgresEngine, *clients: int) -> AsyncIterator[None]:
    """Hold clients as a node does in the middle of accepting."""
    connection = await asyncpg.connect(await engine.url(), server_settings={"search_path": "commerce_event"})
    try:
        async with connection.transaction():
            await connection.execute(
                "UPDATE client SET last_sequence = last_sequence WHERE client_id = ANY ($1::bigint[])", clients
            )
            yield
    finally:
        await connection.close()


async def test_intake_with_locked_rows_stores_events_of_other_clients_at_once(
    engine: PostgresEngine, intake: Intake
) -> None:
    async with holding(engine, 1, 2, 3, 4):
        held = [asyncio.create_task(intake.submit([pending_event(client)])) for client in (1, 2, 3, 4)]
        for _ in range(5):
            await asyncio.gather(*(intake.submit([pending_event(client)]) for client in (5, 6, 7, 8)))
        assert not any(each.done() for each in held)

    answers = [answer.sequence for each in held for answer in await each]
    assert answers == [2, 2, 2, 2]
    assert [answer.sequence for answer in await intake.submit([pending_event(1), pending_event(5)])] == [3, 7]


async def test_intake_with_rows_locked_for_long_raises_unavailable_error(
    engine: PostgresEngine, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locked_clients, "_GIVE_UP_S", 0.1)
    async with holding(engine, 1):
        with pytest.raises(StoreUnavailableError, match="another node has locked this client's rows; try again"):
            await intake.submit([pending_event(1)])

    assert [answer.sequence for answer in await intake.submit([pending_event(1)])] == [2]


async def test_intake_with_endpoint_added_while_rows_are_locked_matches_again(
    engine: PostgresEngine, intake: Intake
) -> None:
    async with holding(engine, 1):
        submitted = [asyncio.create_task(intake.submit([pending_event(1), pending_event(5)])) for _ in range(3)]
        await until(lambda: len(intake._late) == 3)
        other = empty_registry(await engine.open())
        await other.load()
        await other.save(endpoint(1))
        await next_attempt(intake._store)

    answers = [await each for each in submitted]
    assert [[(each.sequence, each.deliveries) for each in answer] for answer in answers] == [
        [(2, 1), (2, 0)],
        [(3, 1), (3, 0)],
        [(4, 1), (4, 0)],
    ]


async def test_intake_with_locked_rows_holds_no_slot(
    engine: PostgresEngine, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    await intake._registry.save(endpoint(1))
    calls: list[str] = []

    def reserve(_: Endpoint, **__: bool) -> int:
        calls.append("reserve")
        return SystemClock().now_ms() + 60_000

    monkeypatch.setattr(intake._dispatch, "reserve", reserve)
    monkeypatch.setattr(intake._dispatch, "release", lambda _, **__: calls.append("release"))
    monkeypatch.setattr(intake._dispatch, "notice", lambda _, **__: calls.append("notice"))
    async with holding(engine, 1):
        submitted = asyncio.create_task(intake.submit([pending_event(1)]))
        await until(lambda: intake._late)
        assert calls == ["reserve", "release"]

    [answer] = await submitted
    await until(lambda: calls == ["reserve", "release", "notice"])
    [delivery] = await intake._store.history.deliveries(DeliveryQuery(scope=EVERYONE), Page(10))
    assert (delivery.event_id, delivery.state, delivery.attempt_count) == (answer.id, "pending", 0)


async def test_intake_close_with_rows_locked_for_long_answers_outcome_unknown(
    engine: PostgresEngine, intake: Intake
) -> None:
    async with holding(engine, 1):
        submitted = asyncio.create_task(intake.submit([pending_event(1)]))
        await until(lambda: intake._late)
        await intake.close(0.05)
        with pytest.raises(OutcomeUnknownError):
            await submitted


async def test_accept_with_locked_rows_keeps_the_order_of_each_client(engine: PostgresEngine, intake: Intake) -> None:
    journal = intake._store.journal
    async with holding(engine, 1):
        results = [
            *await journal.accept([[new_event(client=1)], [new_event(client=5)]]),
            *await journal.accept([[new_event(client=5), new_event(client=1)]]),
            *await journal.accept([[new_event(client=5)], [new_event(client=6)]]),
        ]

    assert [isinstance(each, list) for each in results] == [False, True, False, False, True]
    answers = [each if isinstance(each, list) else await each for each in results]
    assert [[answer.sequence for answer in each] for each in answers] == [[2], [2], [3, 3], [4], [2]]


async def test_accept_with_locked_rows_keeps_the_order_within_a_batch(engine: PostgresEngine, intake: Intake) -> None:
    batch = [[new_event(client=1)], [new_event(client=5), new_event(client=1)], [new_event(client=1)]]
    async with holding(engine, 5):
        results = await intake._store.journal.accept(batch)

    assert [isinstance(each, list) for each in results] == [True, False, False]
    answers = [each if isinstance(each, list) else await each for each in results]
    assert [[answer.sequence for answer in each] for each in answers] == [[2], [2, 3], [4]]


async def test_accept_with_many_locked_clients_uses_two_connections(engine: PostgresEngine, intake: Intake) -> None:
    store = intake._store
    async with holding(engine, *range(1, 9)):
        results = await store.journal.accept([[new_event(client=client)] for client in range(1, 9) for _ in range(3)])
        counts = []
        for _ in range(20):
            counts.append(await engine.run(LOCK_WAITS))
            await asyncio.sleep(0.05)

    assert max(counts) == 2
    late = [await each for each in results if not isinstance(each, list)]
    assert [answer.sequence for [answer] in late] == [2, 3, 4] * 8


async def test_accept_cancelled_while_it_waits_stores_nothing(engine: PostgresEngine, intake: Intake) -> None:
    journal = intake._store.journal
    async with holding(engine, 1):
        first, second = await journal.accept([[new_event(client=1)], [new_event(client=1), new_event(client=2)]])
        assert isinstance(second, asyncio.Future)
        second.cancel()

    assert not isinstance(first, list)
    assert [answer.sequence for answer in await first] == [2]
    assert [answer.sequence for answer in await accept_events(intake._store, [new_event(client=1)])] == [3]


async def test_accept_with_config_changed_while_rows_are_locked_stores_nothing(
    engine: PostgresEngine, intake: Intake
) -> None:
    store = intake._store
    version = await store.registry.config_version()
    async with holding(engine, 1):
        results = await store.journal.accept([[new_event(client=1)], [new_event(client=1)]], config_version=version)
        await store.registry.end_session("any", ends_ms=2, now_ms=1)
        await next_attempt(store)

    for each in results:
        assert not isinstance(each, list)
        with pytest.raises(ConfigChangedError):
            await each
    assert [answer.sequence for answer in await accept_events(store, [new_event(client=1)])] == [2]


async def test_store_close_with_locked_rows_fails_what_waits(engine: PostgresEngine, intake: Intake) -> None:
    async with holding(engine, *range(1, 5)):
        results = await intake._store.journal.accept([[new_event(client=client)] for client in range(1, 5)])
        await intake._store.close()
        for each in results:
            assert not isinstance(each, list)
            with pytest.raises(StoreUnavailableError):
                await each
