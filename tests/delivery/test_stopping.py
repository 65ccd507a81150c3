"""A node that is stopped takes back what it has not sent, and does not wait for ever for what it has."""

import asyncio

import pytest
from msgspec.structs import replace
from node_bench import Bench

from commerce_event.server import Node


async def test_what_was_not_sent_yet_when_a_node_is_stopped_is_no_attempt(bench: Bench) -> None:
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


async def test_node_whose_store_answers_no_more_stops_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.endpoint("/ok")
    never = asyncio.Event()

    async def hang(*_: object, **__: object) -> None:
        await never.wait()

    with monkeypatch.context() as patched:
        for method in ("accept", "settle", "give_back", "claim", "add_activity"):
            patched.setattr(bench.node.store, method, hang)
        publishing = asyncio.create_task(bench.publish())
        async with asyncio.timeout(30):
            await bench.node.stop(within_s=0.5)
    publishing.cancel()
