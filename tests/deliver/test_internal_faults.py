"""An internal fault delays one delivery, and no other."""

from typing import Any

import pytest
from local_node import EVERYONE, SECRET_KEY, Bench
from msgspec.structs import replace
from stores import accept_events

from commerce_event.core.delivery import OWN_FAULT_DELAY_S
from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Endpoint, Secret
from commerce_event.core.signatures import new_secret
from commerce_event.core.vault import Vault, parse_key
from commerce_event.deliver.resolver import TransportError
from commerce_event.registry.registry import Registry
from commerce_event.store.model import EndpointBacklog, NewDelivery, NewEvent
from commerce_event.store.port import StoreUnavailableError


def failing(*_: object) -> None:
    raise RuntimeError("a fault of ours")


def no_sockets(*_: object) -> None:
    raise TransportError("connect_failed", "no sockets are left", is_internal=True)


def failing_once(method: Any, error: Exception) -> Any:
    """Do what ``method`` does, but raise the first time."""
    errors = [error]

    async def call(*values: Any, **named: Any) -> Any:
        if errors:
            raise errors.pop()
        return await method(*values, **named)

    return call


async def test_dispatcher_with_raising_listener_sends_every_delivery(bench: Bench) -> None:
    await bench.endpoint("/ok", max_in_flight=2)

    faults = [RuntimeError("a fault of ours")] * 3

    def fault(*_: object) -> None:
        if faults:
            raise faults.pop()

    bench.node.dispatcher.on_attempt.append(fault)
    await bench.publish(30)

    assert [each.state for each in await bench.until_settled()] == ["delivered"] * 30


async def test_intake_with_failing_launch_sends_later_events(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = await bench.endpoint("/ok", timeout_s=0.1)
    with monkeypatch.context() as patched:
        patched.setattr(bench.node.dispatcher, "launch", failing)
        await bench.publish()
    await bench.publish(5)

    async def five_arrived() -> bool:
        return len(await bench.deliveries(endpoint_id=endpoint.id, state="delivered")) == 5

    await bench.until(five_arrived)
    bench.node.dispatcher.release(endpoint.id)  # what the fault left behind


@pytest.mark.parametrize("error", [StoreUnavailableError("the disk is full"), RuntimeError("a fault of ours")])
async def test_results_after_any_store_failure_are_recorded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    store = bench.node.store
    endpoint = await bench.endpoint("/hang", timeout_s=1.0, max_in_flight=1)
    await bench.publish(3)  # one is under way, others are claimed and wait for its slot
    monkeypatch.setattr(store.queue, "release_claims", failing_once(store.queue.release_claims, error))
    await bench.node.registry.delete(endpoint.id, bench.node.clock.now_ms())
    await bench.endpoint("/ok")
    await bench.publish(5)

    async def all_delivered() -> bool:
        return len(await bench.deliveries(state="delivered")) == 5

    await bench.until(all_delivered)


async def test_results_older_than_their_leases_are_recorded_and_not_sent_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = bench.node
    await bench.endpoint("/ok")

    async def full(*_: object) -> None:
        raise StoreUnavailableError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(node.store.queue, "settle", full)
        await bench.publish(20)

        async def behind() -> bool:
            return node.dispatcher.unsettled == 20 and node.dispatcher._results.is_behind

        await bench.until(behind)
        node.clock.follow(60_000)  # as if that had lasted a minute
        looks: list[None] = []
        waiting = node.store.queue.backlog

        async def looked() -> list[EndpointBacklog]:
            looks.append(None)
            return await waiting()

        patched.setattr(node.store.queue, "backlog", looked)
        node.dispatcher.wake()

        async def looked_twice() -> bool:
            return len(looks) > 1

        await bench.until(looked_twice)

    assert [each.state for each in await bench.until_settled()] == ["delivered"] * 20
    assert len(bench.arrived("/ok")) == 20


async def test_internal_faults_do_not_count_as_failures_of_the_endpoint(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = await bench.endpoint("/ok")
    with monkeypatch.context() as patched:
        patched.setattr(bench.node.sender, "_post", no_sockets)
        await bench.publish(30)

        async def all_tried() -> bool:
            return all(each.attempt_count > 0 and not each.leased for each in await bench.deliveries())

        await bench.until(all_tried)
    assert bench.node.dispatcher.treatment(endpoint.id).consecutive_failures == 0


async def test_requeued_delivery_after_internal_fault_is_retried_soon(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = await bench.endpoint("/status?code=500", retry_schedule_s=(0.01,) * 30)
    await bench.publish()
    [dead] = await bench.until_settled()
    assert dead.attempt_count > 25
    await bench.node.registry.change(endpoint.id, lambda each: replace(each, url=bench.hostile.url + "/ok"))
    with monkeypatch.context() as patched:
        patched.setattr(bench.node.sender, "_post", no_sockets)
        await bench.node.store.queue.requeue([dead.id], now_ms=bench.node.clock.now_ms())
        bench.node.dispatcher.wake()

        async def tried() -> bool:
            [found] = await bench.deliveries()
            return found.attempt_count > dead.attempt_count and not found.leased

        await bench.until(tried)

    [waiting] = await bench.deliveries()
    assert waiting.due_ms is not None
    assert waiting.due_ms - bench.node.clock.now_ms() <= OWN_FAULT_DELAY_S * 1_000


async def test_delivery_to_unknown_endpoint_waits_until_it_is_known(bench: Bench) -> None:
    node = bench.node
    unknown = Endpoint(
        id=4_711,
        client_id=1,
        url=bench.hostile.url + "/ok",
        event_types=("*",),
        timeout_s=1.0,
        secrets=(Secret(new_secret("hmac")),),
    )
    now_ms = node.clock.now_ms()
    event = NewEvent(
        id=1, client_id=1, type="OrderConfirmedEvent", application_id=None, accepted_ms=now_ms, config_version=1,
        idempotency_key=None, traceparent=None, body=b"{}", deliveries=(NewDelivery(2, unknown.id),),
    )  # fmt: skip
    await accept_events(node.store, [event])
    await bench.endpoint("/ok")
    await bench.publish()
    await bench.until_settled(endpoint_id=node.registry.endpoints(EVERYONE)[0].id)  # it has looked at the store
    assert [each.state for each in await bench.deliveries(endpoint_id=unknown.id)] == ["pending"]

    other_node = Registry(node.store, Vault(parse_key(SECRET_KEY)), IdMaker(node=9))
    await other_node.load()
    await other_node.save(unknown)

    assert [each.state for each in await bench.until_settled(endpoint_id=unknown.id)] == ["delivered"]


@pytest.mark.parametrize("max_in_flight", [8])
async def test_failing_endpoints_leave_a_quarter_of_the_slots_free(bench: Bench) -> None:
    held: list[int] = []
    for _ in range(20):
        await bench.endpoint("/hang", timeout_s=0.1, max_in_flight=1, retry_schedule_s=(0.05,) * 200)
    await bench.publish()

    async def all_failed() -> bool:
        return all(each.failure_count > 1 for each in await bench.deliveries())

    await bench.until(all_failed)
    bench.node.dispatcher.on_attempt.append(lambda *_: held.append(bench.node.dispatcher.in_flight))

    async def seen_enough() -> bool:
        return len(held) > 60

    await bench.until(seen_enough)
    assert max(held) <= 6
    fine = await bench.endpoint("/ok")
    await bench.publish(20)
    assert [each.state for each in await bench.until_settled(endpoint_id=fine.id)] == ["delivered"] * 20
