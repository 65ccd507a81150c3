"""The delivery policy end to end: real store, real sender, failing receivers; schedules compressed."""

from collections import Counter
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from local_node import Bench
from msgspec.structs import replace

from commerce_event.core.delivery import Outcome
from commerce_event.deliver import claim_loop


async def test_failing_delivery_uses_the_whole_schedule_and_is_dead(bench: Bench) -> None:
    await bench.endpoint("/status?code=500")
    await bench.publish()

    [delivery] = await bench.until_settled()
    attempts = await bench.attempts(delivery)
    assert (delivery.state, delivery.reason, delivery.failure_count) == ("dead", "attempts_exhausted", 4)
    assert [(each.number, each.status, each.error) for each in attempts] == [(n, 500, "http_500") for n in (1, 2, 3, 4)]
    starts = [each.started_ms for each in attempts]
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert all(gap >= least for gap, least in zip(gaps, (50, 100, 150), strict=True))
    assert {each.headers["webhook-id"] for each in bench.hostile.received} == {
        bench.hostile.received[0].headers["webhook-id"]
    }


async def test_default_schedule_first_delay_is_five_seconds(bench: Bench) -> None:
    await bench.endpoint("/status?code=500", retry_schedule_s=None)
    await bench.publish()

    async def failed_once() -> bool:
        return (await bench.deliveries())[0].failure_count == 1

    await bench.until(failed_once)
    [delivery] = await bench.deliveries()
    [attempt] = await bench.attempts(delivery)
    assert delivery.due_ms is not None
    assert 5_000 <= delivery.due_ms - attempt.started_ms < 7_000


async def test_410_switches_endpoint_off_and_pending_deliveries_are_dead(bench: Bench) -> None:
    endpoint = await bench.endpoint("/gone", max_in_flight=1)
    await bench.publish(20)

    found = await bench.until_settled()
    assert {(each.state, each.reason) for each in found} == {("dead", "gone")}
    assert len(bench.arrived("/gone")) < 20
    switched = bench.node.registry.endpoint(endpoint.id)
    assert switched is not None
    assert (switched.enabled, switched.disabled_reason) == (False, "gone")
    assert [answer.deliveries for answer in await bench.publish()] == [0]


async def test_endpoint_switched_on_again_keeps_its_pending_deliveries(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = bench.node
    endpoint = await bench.endpoint("/hang", max_in_flight=1, timeout_s=1.0)
    await bench.publish(600)
    finish_pending = node.store.queue.finish_pending

    async def switch_on_after_a_step(*values: Any, **named: Any) -> int:
        ended: int = await finish_pending(*values, **named)
        monkeypatch.setattr(node.store.queue, "finish_pending", finish_pending)
        await node.registry.change(endpoint.id, lambda each: replace(each, enabled=True, url=bench.hostile.url + "/ok"))
        return ended

    monkeypatch.setattr(node.store.queue, "finish_pending", switch_on_after_a_step)
    await node.registry.switch_off(endpoint.id, "gone", node.clock.now_ms())
    node.dispatcher.wake()

    async def on_again() -> bool:
        found = node.registry.endpoint(endpoint.id)
        return found is not None and found.enabled

    await bench.until(on_again)
    await bench.publish(5)
    found = await bench.until_settled()
    assert Counter(each.state for each in found) == {"dead": 500, "delivered": 105}


async def test_410_after_the_endpoint_was_changed_does_not_switch_it_off(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = bench.node
    endpoint = await bench.endpoint("/gone", max_in_flight=1)
    send = node.sender.send

    async def send_after_endpoint_change(*values: Any) -> Outcome:
        outcome = await send(*values)
        monkeypatch.setattr(node.sender, "send", send)
        await node.registry.change(endpoint.id, lambda each: replace(each, url=bench.hostile.url + "/ok"))
        return outcome

    monkeypatch.setattr(node.sender, "send", send_after_endpoint_change)
    await bench.publish(20)

    found = await bench.until_settled()
    assert Counter(each.state for each in found) == {"dead": 1, "delivered": 19}


async def test_retry_after_pauses_the_whole_endpoint(bench: Bench) -> None:
    endpoint = await bench.endpoint("/retry-after?code=429&value=1")
    await bench.publish()

    async def paused() -> bool:
        return bench.node.dispatcher.treatment(endpoint.id).paused_for_s is not None

    await bench.until(paused)
    await bench.publish(5)
    await bench.until_settled()
    times = [each.started_ms for each in await bench.attempts((await bench.deliveries())[-1])]
    assert all(later - earlier >= 1_000 for earlier, later in pairwise(times))


async def test_retry_after_pauses_claimed_deliveries_too(bench: Bench) -> None:
    endpoint = await bench.endpoint("/retry-after?code=429&value=3600", max_in_flight=2, timeout_s=5.0)
    await bench.publish(100)

    async def all_quiet() -> bool:
        paused = bench.node.dispatcher.treatment(endpoint.id).paused_for_s is not None
        return paused and not any(each.leased for each in await bench.deliveries())

    await bench.until(all_quiet)
    assert len(bench.hostile.received) <= 2
    assert sum(each.attempt_count for each in await bench.deliveries()) == len(bench.hostile.received)


async def test_ordered_deliveries_are_sent_at_once_when_ordering_is_switched_off(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim_loop, "_SCAN_INTERVAL_S", 3_600.0)  # nothing is found by looking unasked
    endpoint = await bench.endpoint("/hang", ordering="key")
    await bench.publish(3)
    await bench.node.registry.change(
        endpoint.id, lambda each: replace(each, ordering="none", url=bench.hostile.url + "/ok")
    )

    assert [each.state for each in await bench.until_settled()] == ["delivered"] * 3


async def test_hung_endpoints_do_not_delay_another(bench: Bench) -> None:
    hung = [await bench.endpoint("/hang", timeout_s=3.0, max_in_flight=64) for _ in range(6)]
    fine = await bench.endpoint("/ok")
    for _ in range(4):
        await bench.publish(100)

    found = await bench.until_settled(endpoint_id=fine.id)
    assert [each.state for each in found] == ["delivered"] * 400
    for endpoint in hung:
        await bench.node.registry.delete(endpoint.id, bench.node.clock.now_ms())


async def test_backlog_of_one_endpoint_drains_within_its_slots(bench: Bench) -> None:
    endpoint = await bench.endpoint("/ok", max_in_flight=3)
    for _ in range(3):
        await bench.publish(400)

    await bench.until_settled(endpoint_id=endpoint.id)
    assert len(bench.arrived("/ok")) == 1_200
    assert bench.hostile.connections <= 3


async def test_ordered_deliveries_wait_for_a_failing_one_of_the_same_key_only(bench: Bench) -> None:
    endpoint = await bench.endpoint("/status?code=500", ordering="key")
    await bench.publish(3, "B-A")
    await bench.publish(1, "B-B")

    await bench.until_settled(endpoint_id=endpoint.id)
    arrived = [(each["ClientOrderRef"], each["OrderId"]) for each in bench.arrived("/status?code=500")]
    assert [number for reference, number in arrived if reference == "B-A"] == [0] * 4 + [1] * 4 + [2] * 4
    assert arrived.index(("B-B", 0)) < arrived.index(("B-A", 1))


async def test_rate_limit_spreads_attempts(bench: Bench) -> None:
    await bench.endpoint("/ok", rate_limit=50.0)
    await bench.publish(40)

    found = await bench.until_settled()
    times = sorted([(await bench.attempts(each))[0].started_ms for each in found])
    assert times[-1] - times[0] >= (40 - 5 - 1) / 50 * 1_000  # 40 at 50 a second, less the burst of a tenth


async def test_endpoint_switched_off_holds_pending_deliveries_and_gets_no_new_ones(bench: Bench) -> None:
    endpoint = await bench.endpoint("/status?code=500", retry_schedule_s=(0.3,) * 10)
    await bench.publish()
    off = await bench.node.registry.save(msgspec.structs.replace(endpoint, enabled=False))
    assert [answer.deliveries for answer in await bench.publish()] == [0]

    on = msgspec.structs.replace(off, enabled=True, url=bench.hostile.url + "/ok")
    await bench.node.registry.save(on)
    bench.node.dispatcher.wake()
    [delivery] = await bench.until_settled()
    assert delivery.state == "delivered"


async def test_deleted_endpoint_has_its_pending_deliveries_cancelled(bench: Bench) -> None:
    endpoint = await bench.endpoint("/status?code=500", retry_schedule_s=(5.0,))
    await bench.publish(30)
    await bench.node.registry.delete(endpoint.id, bench.node.clock.now_ms())
    bench.node.dispatcher.wake()

    found = await bench.until_settled()
    assert {(each.state, each.reason) for each in found} == {("cancelled", "endpoint_deleted")}


async def test_delivery_counts_balance_after_every_kind_of_end(bench: Bench) -> None:
    for path in ("/ok", "/status?code=500", "/hang", "/reset", "/garbage", "/redirect-without-location"):
        await bench.endpoint(path)
    await bench.publish(25)
    await bench.until_settled()
    await bench.node.maintenance.counts.verify()

    report = bench.node.maintenance.counts.report
    assert report is not None
    assert report.balanced
    assert sum(each.matched for each in report.counts) == 150


async def test_clock_set_forward_moves_due_times(bench: Bench) -> None:
    await bench.endpoint("/status?code=500", retry_schedule_s=(60.0,))
    await bench.publish()

    async def failed_once() -> bool:
        return (await bench.deliveries())[0].failure_count == 1

    await bench.until(failed_once)
    [before] = await bench.deliveries()
    bench.node.clock.follow(-3_600_000)  # as if the machine's clock had been set an hour forward
    await bench.node.maintenance.clock_watcher.check()

    [after] = await bench.deliveries()
    assert before.due_ms is not None
    assert after.due_ms is not None
    assert abs(after.due_ms - before.due_ms - 3_600_000) < 1_000
    assert after.attempt_count == 1
