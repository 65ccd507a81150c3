"""A paused endpoint is matched as usual; its deliveries are held, and sent when it is resumed."""

from typing import Any

import pytest
from local_node import EVERYONE, Bench
from msgspec.structs import replace

from commerce_event.core.model import AUTOMATIC_ID, Endpoint, FieldChange
from commerce_event.store.model import Page


async def change(bench: Bench, endpoint: Endpoint, **fields: Any) -> None:
    await bench.node.registry.change(endpoint.id, lambda each: replace(each, **fields))
    bench.node.dispatcher.wake()


async def test_paused_endpoint_holds_every_delivery_until_it_is_resumed(bench: Bench) -> None:
    paused = await bench.endpoint("/paused", paused=True)
    await bench.endpoint("/ok")

    accepted = await bench.publish(30)
    await bench.until_settled(endpoint_id=bench.node.registry.endpoints(EVERYONE)[-1].id)

    assert [each.deliveries for each in accepted] == [2] * 30
    held = await bench.deliveries(endpoint_id=paused.id)
    assert {(each.state, each.attempt_count, each.leased) for each in held} == {("pending", 0, False)}
    assert bench.arrived("/paused") == []

    await change(bench, paused, paused=False, url=bench.hostile.url + "/ok")
    found = await bench.until_settled(endpoint_id=paused.id)
    assert [each.state for each in found] == ["delivered"] * 30


@pytest.mark.parametrize("max_in_flight", [2], indirect=True)
async def test_pause_begins_while_deliveries_wait_and_retries_are_due(bench: Bench) -> None:
    endpoint = await bench.endpoint("/status?code=503", retry_schedule_s=(0.05,) * 40)
    await bench.publish(10)

    async def was_tried() -> bool:
        return any(each.failure_count for each in await bench.deliveries())

    await bench.until(was_tried)
    await change(bench, endpoint, paused=True)

    async def is_idle() -> bool:
        return bench.node.dispatcher.in_flight == 0 and bench.node.dispatcher.unsettled == 0

    await bench.until(is_idle)
    arrived = len(bench.hostile.received)
    await bench.publish(1)  # of which a slot is refused

    async def all_are_due() -> bool:
        now_ms = bench.node.clock.now_ms()
        return all((each.due_ms or 0) <= now_ms and not each.leased for each in await bench.deliveries())

    await bench.until(all_are_due)
    await bench.node.dispatcher._claim_loop._claim()  # a round that finds them
    assert len(bench.hostile.received) == arrived

    await change(bench, endpoint, paused=False, url=bench.hostile.url + "/ok")
    assert {each.state for each in await bench.until_settled()} == {"delivered"}


async def test_endpoint_that_says_gone_is_switched_off_with_an_audit_entry(bench: Bench) -> None:
    endpoint = await bench.endpoint("/gone", description="The ERP")
    await bench.publish()
    await bench.until_settled()

    async def is_noted() -> bool:
        return bool(await bench.node.store.audit_log.entries(EVERYONE, Page(10)))

    await bench.until(is_noted)
    [entry] = await bench.node.store.audit_log.entries(EVERYONE, Page(10))
    assert (entry.key_id, entry.key_name, entry.name) == (AUTOMATIC_ID, "automatic", "The ERP")
    assert entry.changes == (FieldChange("enabled", before=True, after=False),)
    switched = bench.node.registry.endpoint(endpoint.id)
    assert switched is not None
    assert switched.switched_ms == entry.at_ms
