"""Whose turn it is: fresh events from memory, the rest from the store, and who gives way to whom."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from stores import SqliteEngine

from commerce_event.core.circuit import Circuit
from commerce_event.core.clock import SystemClock
from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Endpoint
from commerce_event.core.vault import Vault
from commerce_event.deliver.concurrency import Slots
from commerce_event.deliver.endpoint_state import MANY, Lane
from commerce_event.registry.registry import Registry
from commerce_event.store.model import ClaimRequest

ENDPOINT = Endpoint(
    id=7, client_id=1, url="https://a.example/", event_types=("*",), secrets=(), max_in_flight=4
)  # with twice as many at hand while all goes well


class Desk:
    """One endpoint and its slots."""

    def __init__(self, slots: Slots, registry: Registry) -> None:
        self.slots = slots
        self.registry = registry
        self.lane = slots.lane(ENDPOINT.id)

    def reserve_all(self) -> int:
        count = 0
        while self.slots.reserve(ENDPOINT):
            count += 1
        return count

    def free(self, count: int) -> None:
        for _ in range(count):
            self.slots.free(self.lane, retrying=False)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    engine = SqliteEngine(tmp_path)
    store = await engine.open()
    registry = Registry(store, Vault(b"k" * 32), IdMaker())
    await registry.load()
    await registry.save(ENDPOINT)
    yield Desk(Slots(store, registry, SystemClock(), max_in_flight=64, circuit_failures=5), registry)
    await engine.close_all()


def test_fresh_events_leave_room_for_those_that_wait(desk: Desk) -> None:
    assert desk.reserve_all() == 8
    for _ in range(3):
        desk.lane.notice()
    desk.free(5)

    assert desk.reserve_all() == 2
    assert desk.slots.wants() == [ClaimRequest(ENDPOINT.id, retrying=False, limit=3)]


def test_fresh_events_are_sent_from_memory_again_while_a_few_still_wait(desk: Desk) -> None:
    desk.reserve_all()
    desk.lane.notice()
    desk.free(8)
    wants = desk.slots.wants()
    desk.lane.notice()  # accepted while the claim ran

    desk.slots.count_back(wants, ())
    assert desk.reserve_all() == 7
    assert desk.slots.wants() == [ClaimRequest(ENDPOINT.id, retrying=False, limit=1)]


def test_nothing_fresh_overtakes_a_backlog_nobody_counted(desk: Desk) -> None:
    desk.lane.backlog[False] = MANY
    assert desk.reserve_all() == 0
    assert desk.slots.wants() == [ClaimRequest(ENDPOINT.id, retrying=False, limit=8)]


def test_what_is_ready_waits_for_an_open_circuit_and_then_goes_out_one_by_one() -> None:
    lane = Lane(Circuit(threshold=2, min_span_s=0.0, first_pause_s=1.0), 0.0)
    assert lane.may_send(0.0)
    for _ in range(2):
        lane.circuit.record(delivered=False, now=10.0)

    assert not lane.may_send(10.9)
    assert lane.may_send(11.0)
    lane.sending += 1
    assert not lane.may_send(11.0)


async def test_lane_of_a_deleted_endpoint_is_forgotten_once_nothing_is_in_flight(desk: Desk) -> None:
    desk.slots.reserve(ENDPOINT)
    await desk.registry.delete(ENDPOINT.id, 1)
    desk.slots.forget_deleted()
    assert desk.slots.lane(ENDPOINT.id) is desk.lane

    desk.free(1)
    await desk.registry.save(Endpoint(id=8, client_id=1, url="https://b.example/", event_types=("*",), secrets=()))
    desk.slots.forget_deleted()
    assert desk.slots.lane(ENDPOINT.id) is not desk.lane


async def test_every_endpoint_has_its_turn_when_slots_are_few(desk: Desk) -> None:
    endpoints = [msgspec.structs.replace(ENDPOINT, id=100 + number) for number in range(200)]
    for endpoint in endpoints:
        await desk.registry.save(endpoint)
        desk.slots.lane(endpoint.id).backlog[False] = MANY

    served: set[int] = set()
    for _ in range(len(endpoints)):
        wants = desk.slots.wants()
        assert wants
        assert desk.slots.held <= 64
        served.update(want.endpoint_id for want in wants)
        for want in wants:
            desk.slots.count_back([want], [])
            desk.slots.lane(want.endpoint_id).backlog[False] = MANY
    assert served == {endpoint.id for endpoint in endpoints}


async def test_nothing_opens_with_time_while_every_slot_is_held(desk: Desk) -> None:
    others = [msgspec.structs.replace(ENDPOINT, id=100 + number, max_in_flight=64) for number in range(9)]
    for other in others:
        await desk.registry.save(other)
        desk.slots.lane(other.id).trusted = True
        desk.slots.lane(other.id).backlog[False] = MANY
    limited = msgspec.structs.replace(ENDPOINT, rate_limit=1.0)
    await desk.registry.save(limited)
    desk.lane.take(1)
    desk.lane.backlog[False] = MANY
    assert desk.slots.opens_at(0.0) is not None

    while desk.slots.wants():
        pass
    assert desk.slots.held == 64
    assert desk.slots.opens_at(0.0) is None
    desk.slots.lane(100).workers = 9
    assert desk.slots.free(desk.slots.lane(100), retrying=False), "it is time to claim as soon as one is free"
