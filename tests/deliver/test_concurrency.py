"""Slots of a node: new events from memory, due deliveries from the store, and which goes first."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from stores import SqliteEngine

from commerce_event.core.capacity import ClientLoad, EndpointLimits
from commerce_event.core.circuit import Circuit
from commerce_event.core.clock import SystemClock
from commerce_event.core.delivery import Outcome
from commerce_event.core.ids import IdMaker
from commerce_event.core.model import DeliveryKind, Endpoint
from commerce_event.core.vault import Vault
from commerce_event.deliver import concurrency as concurrency_module
from commerce_event.deliver.concurrency import Concurrency
from commerce_event.deliver.endpoint_state import EndpointState
from commerce_event.registry.registry import Registry
from commerce_event.store.model import Claimed, ClaimRequest

ENDPOINT = Endpoint(
    id=7, client_id=1, url="https://a.example/", event_types=("*",), secrets=(), max_in_flight=4
)  # so 8 slots while it answers well


class OneEndpoint:
    """One endpoint and its slots."""

    def __init__(self, concurrency: Concurrency, registry: Registry) -> None:
        self.concurrency = concurrency
        self.registry = registry
        self.state = concurrency.state(ENDPOINT.id)

    def reserve_all(self, *, bulk: bool = False) -> int:
        count = 0
        while self.concurrency.reserve(ENDPOINT, bulk=bulk):
            count += 1
        return count

    def free(self, count: int, kind: DeliveryKind = DeliveryKind.FIRST) -> None:
        for _ in range(count):
            self.concurrency.finish(self.state, kind)


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[OneEndpoint]:
    engine = SqliteEngine(tmp_path)
    store = await engine.open()
    registry = Registry(store, Vault(b"k" * 32), IdMaker())
    await registry.load()
    await registry.save(ENDPOINT)
    yield OneEndpoint(Concurrency(store, registry, SystemClock(), max_in_flight=64, circuit_failures=5), registry)
    await engine.close_all()


def test_reserve_leaves_room_for_due_first_tries(one: OneEndpoint) -> None:
    assert one.reserve_all() == 8
    for _ in range(3):
        one.concurrency.notice(ENDPOINT.id, DeliveryKind.FIRST)
    one.free(5)

    assert one.reserve_all() == 2
    assert one.concurrency.claim_requests() == [ClaimRequest(ENDPOINT.id, DeliveryKind.FIRST, limit=3)]


def test_reserve_after_a_short_claim_leaves_room_for_later_first_tries_only(one: OneEndpoint) -> None:
    one.reserve_all()
    one.concurrency.notice(ENDPOINT.id, DeliveryKind.FIRST)
    one.free(8)
    requests = one.concurrency.claim_requests()
    one.concurrency.notice(ENDPOINT.id, DeliveryKind.FIRST)  # accepted while the claim ran

    one.concurrency.claimed(requests, ())
    assert one.reserve_all() == 7
    assert one.concurrency.claim_requests() == [ClaimRequest(ENDPOINT.id, DeliveryKind.FIRST, limit=1)]


def test_reserve_with_uncounted_backlog_holds_no_slot(one: OneEndpoint) -> None:
    one.concurrency.mark_due(ENDPOINT.id, DeliveryKind.FIRST)
    assert one.reserve_all() == 0
    assert one.concurrency.claim_requests() == [ClaimRequest(ENDPOINT.id, DeliveryKind.FIRST, limit=8)]


def test_reserve_for_bulk_leaves_a_quarter_of_the_slots(one: OneEndpoint) -> None:
    assert one.reserve_all(bulk=True) == 6
    assert one.reserve_all() == 2


def test_reserve_with_uncounted_bulk_backlog_holds_a_slot_for_others_only(one: OneEndpoint) -> None:
    one.concurrency.mark_due(ENDPOINT.id, DeliveryKind.BULK)
    assert not one.concurrency.reserve(ENDPOINT, bulk=True)
    assert one.concurrency.claim_requests() == [ClaimRequest(ENDPOINT.id, DeliveryKind.BULK, limit=6)]
    assert one.reserve_all() == 2


def test_claim_requests_with_both_kinds_due_claim_both(one: OneEndpoint) -> None:
    one.concurrency.mark_due(ENDPOINT.id, DeliveryKind.BULK)
    one.concurrency.mark_due(ENDPOINT.id, DeliveryKind.FIRST)
    assert one.concurrency.claim_requests() == [
        ClaimRequest(ENDPOINT.id, DeliveryKind.FIRST, limit=6),
        ClaimRequest(ENDPOINT.id, DeliveryKind.BULK, limit=2),
    ]


def test_claim_of_a_kind_that_is_exhausted_leads_to_another_for_the_other_kind(one: OneEndpoint) -> None:
    one.concurrency.mark_due(ENDPOINT.id, DeliveryKind.FIRST)
    one.concurrency.mark_due(ENDPOINT.id, DeliveryKind.RETRY)
    requests = one.concurrency.claim_requests()
    assert not one.concurrency.may_claim_more

    assert one.concurrency.claimed(requests[:1], ()) is False
    assert one.concurrency.may_claim_more


def test_claim_that_finds_the_end_of_an_uncounted_bulk_backlog_is_reported(one: OneEndpoint) -> None:
    one.concurrency.mark_due(ENDPOINT.id, DeliveryKind.BULK)
    assert one.concurrency.claimed(one.concurrency.claim_requests(), ())
    assert one.concurrency.in_flight == 0

    one.concurrency.notice(ENDPOINT.id, DeliveryKind.BULK)
    assert not one.concurrency.claimed(one.concurrency.claim_requests(), ())


def test_slots_of_bulk_are_counted_back_to_none(one: OneEndpoint) -> None:
    client = one.state.client
    assert one.reserve_all(bulk=True) == 6
    assert (client.in_flight, client.bulk, client.untrusted_bulk, one.state.bulk) == (6, 6, 6, 6)

    one.concurrency.record(one.state, Outcome(started_ms=0, duration_ms=1.0, status=200, error=None))
    assert (client.bulk, client.untrusted_bulk) == (6, 0)
    one.concurrency.release(ENDPOINT.id, bulk=True)
    one.free(4, DeliveryKind.BULK)
    one.concurrency.record(one.state, Outcome(started_ms=0, duration_ms=1.0, status=500, error="http_500"))
    assert (client.bulk, client.untrusted_bulk) == (1, 1)
    one.free(1, DeliveryKind.BULK)
    assert (client.in_flight, client.bulk, client.untrusted_bulk, one.state.bulk) == (0, 0, 0, 0)


def test_bulk_that_finishes_leads_to_a_claim_once_the_node_has_room_for_many(one: OneEndpoint) -> None:
    one.state.workers = 4
    one.concurrency.mark_due(ENDPOINT.id, DeliveryKind.BULK)
    one.concurrency.claim_requests()
    one.concurrency._node.bulk += 40  # of other endpoints; the limit is 48 of 64

    assert not one.concurrency.finish(one.state, DeliveryKind.BULK)
    one.concurrency._node.bulk -= 10
    assert one.concurrency.finish(one.state, DeliveryKind.BULK)


def claimed_delivery(number: int, *, bulk: bool) -> Claimed:
    return Claimed(
        delivery_id=number,
        endpoint_id=7,
        number=1,
        failure_count=0,
        run_id=1,
        lease_until_ms=0,
        replay_id=None,
        event_id=number,
        client_id=1,
        sequence=number,
        type="OrderConfirmedEvent",
        traceparent=None,
        body=b"{}",
        bulk=bulk,
    )


def test_take_ready_returns_one_bulk_delivery_of_four_while_both_kinds_are_ready() -> None:
    state = EndpointState(7, Circuit(), 0.0, ClientLoad())
    for number in range(6):
        state.add_ready(claimed_delivery(number, bulk=True))
    for number in range(10, 18):
        state.add_ready(claimed_delivery(number, bulk=False))

    taken = [each.delivery_id for each in iter(state.take_ready, None)]
    assert taken == [10, 11, 12, 0, 13, 14, 15, 1, 16, 17, 2, 3, 4, 5]


def test_take_ready_returns_no_bulk_delivery_while_those_under_way_are_three_quarters() -> None:
    state = EndpointState(7, Circuit(), 0.0, ClientLoad())
    state.limits(ENDPOINT, nodes=1)
    state.add_ready(claimed_delivery(1, bulk=True))
    state.sending_bulk = 3  # of 4
    assert state.take_ready() is None

    state.add_ready(claimed_delivery(2, bulk=False))
    assert [each.delivery_id for each in iter(state.take_ready, None)] == [2]
    state.sending_bulk = 2
    assert [each.delivery_id for each in iter(state.take_ready, None)] == [1]


def test_may_send_with_open_circuit_allows_one_probe_after_the_pause() -> None:
    state = EndpointState(7, Circuit(threshold=2, min_span_s=0.0, first_pause_s=1.0), 0.0, ClientLoad())
    assert state.may_send(0.0)
    for _ in range(2):
        state.circuit.record(delivered=False, now=10.0)

    assert not state.may_send(10.9)
    assert state.may_send(11.0)
    state.sending += 1
    assert not state.may_send(11.0)


def test_load_after_unlimited_sending_has_the_whole_allowance_of_a_new_rate_limit() -> None:
    state, limited = EndpointState(7, Circuit(), 0.0, ClientLoad()), EndpointLimits(4, rate_limit=1.0)
    for second in range(1, 100):  # far more than one a second
        state.load(EndpointLimits(4), float(second))
        state.take(8, DeliveryKind.FIRST)
        for _ in range(8):
            state.finish(DeliveryKind.FIRST)
    state.load(EndpointLimits(4), 100.0)

    assert state.load(limited, 100.0).allowance == 1.0
    state.take(1, DeliveryKind.FIRST)
    assert state.load(limited, 100.5).allowance == 0.5
    assert state.load(limited, 101.0).allowance == 1.0


async def test_forget_deleted_drops_the_state_once_nothing_is_in_flight(one: OneEndpoint) -> None:
    one.concurrency.reserve(ENDPOINT)
    await one.registry.delete(ENDPOINT.id, 1)
    one.concurrency.forget_deleted()
    assert one.concurrency.state(ENDPOINT.id) is one.state

    one.free(1)
    await one.registry.save(Endpoint(id=8, client_id=1, url="https://b.example/", event_types=("*",), secrets=()))
    one.concurrency.forget_deleted()
    assert one.concurrency.state(ENDPOINT.id) is not one.state


async def test_claim_requests_with_few_slots_give_every_endpoint_its_turn(one: OneEndpoint) -> None:
    endpoints = [msgspec.structs.replace(ENDPOINT, id=100 + number) for number in range(200)]
    for endpoint in endpoints:
        await one.registry.save(endpoint)
        one.concurrency.mark_due(endpoint.id, DeliveryKind.FIRST)

    served: set[int] = set()
    for _ in range(len(endpoints)):
        requests = one.concurrency.claim_requests()
        assert requests
        assert one.concurrency.in_flight <= 64
        served.update(request.endpoint_id for request in requests)
        for request in requests:
            one.concurrency.claimed([request], [])
            one.concurrency.mark_due(request.endpoint_id, DeliveryKind.FIRST)
    assert served == {endpoint.id for endpoint in endpoints}


async def test_claim_requests_take_turns_by_client_before_endpoint(one: OneEndpoint) -> None:
    for number in range(200):
        await one.registry.save(msgspec.structs.replace(ENDPOINT, id=100 + number))
        one.concurrency.mark_due(100 + number, DeliveryKind.FIRST)
    for number in range(3):
        await one.registry.save(msgspec.structs.replace(ENDPOINT, id=500 + number, client_id=2 + number))
        one.concurrency.mark_due(500 + number, DeliveryKind.FIRST)

    requests = one.concurrency.claim_requests()

    assert [request.endpoint_id for request in requests[:4]] == [100, 500, 501, 502]


async def test_claim_requests_of_many_endpoints_are_split_into_rounds(
    one: OneEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concurrency_module, "_REQUESTS_MAX", 2)
    for number in range(3):
        await one.registry.save(msgspec.structs.replace(ENDPOINT, id=100 + number))
        one.concurrency.mark_due(100 + number, DeliveryKind.FIRST)

    first, was_cut = one.concurrency.claim_requests(), one.concurrency.may_claim_more
    second = one.concurrency.claim_requests()

    assert [request.endpoint_id for request in first] == [100, 101]
    assert was_cut
    assert second[0].endpoint_id == 102


@pytest.mark.parametrize("trusted", [True, False])
async def test_reserve_with_every_endpoint_of_another_client_hanging_holds_a_slot(
    one: OneEndpoint, trusted: bool
) -> None:
    for number in range(100):
        await one.registry.save(msgspec.structs.replace(ENDPOINT, id=100 + number, max_in_flight=1_000))
        one.concurrency.state(100 + number).trusted = trusted
        one.concurrency.mark_due(100 + number, DeliveryKind.FIRST)
    while one.concurrency.claim_requests():
        pass
    for number in range(100):  # they are answered no more
        state = one.concurrency.state(100 + number)
        one.concurrency.record(state, Outcome(started_ms=0, duration_ms=1.0, status=None, error="timeout"))
    other = msgspec.structs.replace(ENDPOINT, id=500, client_id=2)
    await one.registry.save(other)

    assert one.concurrency.reserve(other)


async def test_slots_of_a_client_are_counted_back_to_none(one: OneEndpoint) -> None:
    client = one.state.client
    assert one.concurrency.reserve(ENDPOINT)
    assert one.concurrency.reserve(ENDPOINT)
    assert (client.in_flight, client.untrusted) == (2, 2)

    one.concurrency.record(one.state, Outcome(started_ms=0, duration_ms=1.0, status=200, error=None))
    assert (client.in_flight, client.untrusted) == (2, 0)
    one.free(1)
    one.concurrency.record(one.state, Outcome(started_ms=0, duration_ms=1.0, status=500, error="http_500"))
    assert (client.in_flight, client.untrusted) == (1, 1)
    one.concurrency.release(ENDPOINT.id)
    assert (client.in_flight, client.untrusted) == (0, 0)


async def test_next_opening_with_every_slot_held_is_none(one: OneEndpoint) -> None:
    others = [
        msgspec.structs.replace(ENDPOINT, id=100 + number, client_id=100 + number, max_in_flight=64)
        for number in range(30)
    ]
    for other in others:
        await one.registry.save(other)
        one.concurrency.state(other.id).trusted = True
        one.concurrency.mark_due(other.id, DeliveryKind.FIRST)
    limited = msgspec.structs.replace(ENDPOINT, rate_limit=1.0)
    await one.registry.save(limited)
    one.state.take(1, DeliveryKind.FIRST)
    one.concurrency.mark_due(ENDPOINT.id, DeliveryKind.FIRST)
    assert one.concurrency.next_opening(0.0) is not None

    while one.concurrency.claim_requests():
        pass
    assert one.concurrency.in_flight == 64
    assert one.concurrency.next_opening(0.0) is None
    one.concurrency.state(100).workers = 9
    assert one.concurrency.finish(one.concurrency.state(100), DeliveryKind.FIRST), (
        "it is time to claim as soon as one is free"
    )
