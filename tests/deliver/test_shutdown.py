"""A node that stops releases what it has not sent; one that starts after days sends what is due."""

import asyncio

import pytest
from local_node import Bench
from msgspec.structs import replace

from commerce_event.server import Node


async def test_stop_releases_claims_that_were_not_sent(bench: Bench) -> None:
    await bench.endpoint("/hang", timeout_s=5.0, max_in_flight=1)
    await bench.publish(3)

    async def one_is_under_way() -> bool:
        return len(bench.hostile.received) == 1

    await bench.until(one_is_under_way)
    await bench.node.stop(within_s=0.5)

    bench.node = again = Node(replace(bench.node.settings, hold_deliveries=True))
    await again.start()
    assert sorted(each.attempt_count for each in await bench.deliveries()) == [0, 0, 1]
    await again.stop()


async def test_stop_with_hanging_store_ends(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.endpoint("/ok")
    never = asyncio.Event()

    async def hang(*_: object, **__: object) -> None:
        await never.wait()

    with monkeypatch.context() as patched:
        store = bench.node.store
        for role, method in (
            (store.journal, "accept"),
            (store.queue, "settle"),
            (store.queue, "release_claims"),
            (store.queue, "claim"),
            (store.activity, "add"),
        ):
            patched.setattr(role, method, hang)
        publishing = asyncio.create_task(bench.publish())
        async with asyncio.timeout(60):
            await bench.node.stop(within_s=0.5)
    publishing.cancel()


async def test_start_sends_overdue_deliveries_oldest_first_within_the_rate_limit(bench: Bench) -> None:
    endpoint = await bench.endpoint(
        "/status?code=500", max_in_flight=1, rate_limit=50.0, retry_schedule_s=(3_600.0,), timeout_s=5.0
    )
    await bench.publish(30)

    async def all_failed() -> bool:
        return all(each.failure_count == 1 for each in await bench.deliveries())

    await bench.until(all_failed)
    due_ms = {each.id: each.due_ms or 0 for each in await bench.deliveries()}
    await bench.node.stop()

    bench.node = again = Node(replace(bench.node.settings, hold_deliveries=True))
    await again.start()
    await again.maintenance.close()  # it would take the clock for wrong
    again.clock.follow(3 * 86_400_000)
    await again.registry.change(endpoint.id, lambda each: replace(each, url=bench.hostile.url + "/ok"))
    again.dispatcher.start()

    found = await bench.until_settled()
    assert {each.state for each in found} == {"delivered"}
    started_ms = {each.id: (await bench.attempts(each))[-1].started_ms for each in found}
    sent = sorted(started_ms, key=started_ms.__getitem__)
    assert [due_ms[each] for each in sent] == sorted(due_ms.values())
    assert max(started_ms.values()) - min(started_ms.values()) >= (30 - 5 - 1) / 50 * 1_000
    await again.stop()
