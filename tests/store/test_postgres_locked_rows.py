"""Rows that a node keeps to itself, having stopped in the middle of a transaction, are waited for by their client alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import msgspec
import pytest
from stores import PostgresEngine, empty_registry

from commerce_event.accept import commit_batcher
from commerce_event.accept import intake as intake_module
from commerce_event.accept.intake import Intake, PendingEvent
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core.addresses import AddressPolicy
from commerce_event.core.clock import SystemClock
from commerce_event.core.ids import IdMaker
from commerce_event.deliver.dispatcher import Dispatcher
from commerce_event.deliver.resolver import Resolver
from commerce_event.deliver.sender import Sender
from commerce_event.store.port import StoreBusyError

ORDER = EVENT_TYPES["OrderConfirmedEvent"]


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[PostgresEngine]:
    made = PostgresEngine(tmp_path)
    yield made
    await made.close_all()


@pytest.fixture
async def intake(engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Intake]:
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


async def test_other_clients_go_on_and_the_held_ones_events_are_stored_once_they_can(
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


async def test_client_that_is_held_for_long_is_told_to_come_again(
    engine: PostgresEngine, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "ANSWER_S", 0.1)
    async with holding(engine, 1):
        with pytest.raises(StoreBusyError, match="try again"):
            await intake.submit([pending_event(1)])

    assert [answer.sequence for answer in await intake.submit([pending_event(1)])] == [2]
