"""Deliveries of many events in one call, and the oldest that wait for an endpoint."""

from stores import START_MS, accept_events, claim, new_event, result

from commerce_event.core.model import Scope
from commerce_event.store.port import Store

EVERYONE = Scope.everyone()


async def test_deliveries_of_events_come_with_their_last_attempts(store: Store) -> None:
    one, two, other = new_event(7, 8), new_event(7), new_event(7)
    await accept_events(store, [one, two, other])
    claimed = {each.event_id: each for each in await claim(store, 7)}
    await store.queue.settle([result(claimed[one.id], "dead"), result(claimed[two.id], "delivered")])

    found, attempts = await store.history.deliveries_of_events([one.id, two.id], EVERYONE, limit=10)

    assert [(each.event_id, each.endpoint_id, each.state) for each in found] == [
        (two.id, 7, "delivered"),
        *sorted([(one.id, 8, "pending"), (one.id, 7, "dead")], key=lambda each: -each[1]),
    ]
    assert set(attempts) == {claimed[one.id].delivery_id, claimed[two.id].delivery_id}
    assert await store.history.deliveries_of_events([], EVERYONE, limit=10) == ([], {})


async def test_deliveries_of_events_keep_the_scope_and_the_limit(store: Store) -> None:
    one, two = new_event(7, 8), new_event(7)
    await accept_events(store, [one, two])

    limited, _ = await store.history.deliveries_of_events([one.id, two.id], EVERYONE, limit=2)
    foreign, _ = await store.history.deliveries_of_events([one.id], Scope.of(one.client_id + 1), limit=10)

    assert [each.event_id for each in limited] == [two.id, one.id]
    assert foreign == []


async def test_oldest_pending_are_read_for_many_endpoints_at_once(store: Store) -> None:
    events = [new_event(7, 8, at_ms=START_MS + number) for number in range(4)]
    await accept_events(store, events)
    first, *_ = await claim(store, 7, limit=1)
    await store.queue.settle([result(first, "delivered")])

    found = await store.history.oldest_pending([7, 8, 9], limit=2)

    assert [each.event_id for each in found if each.endpoint_id == 7] == [each.id for each in events[1:3]]
    assert [each.event_id for each in found if each.endpoint_id == 8] == [each.id for each in events[:2]]
    assert {each.state for each in found} == {"pending"}
    assert await store.history.oldest_pending([], limit=2) == []
