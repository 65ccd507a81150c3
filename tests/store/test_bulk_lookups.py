"""What lists show with their rows: read for all rows at once, and within the scope."""

from stores import START_MS, accept_events, claim, new_event, new_replay, result

from commerce_event.core.model import Scope
from commerce_event.store.model import DeliveryQuery, NewDelivery, Page
from commerce_event.store.port import Store

EVERYONE = Scope.everyone()


async def test_events_and_the_states_of_their_deliveries_are_read_together(store: Store) -> None:
    one, two, nobodys = new_event(7, 8), new_event(7), new_event()
    await accept_events(store, [one, two, nobodys])
    claimed = {(each.event_id, each.endpoint_id): each for each in await claim(store, 7)}
    await store.queue.settle([result(claimed[one.id, 7], "dead"), result(claimed[two.id, 7], "delivered")])

    events = await store.history.events_by_id([one.id, two.id, 5], EVERYONE)
    states = await store.history.delivery_states([one.id, two.id, nobodys.id], EVERYONE)

    assert {event_id: event.body for event_id, event in events.items()} == {one.id: one.body, two.id: two.body}
    assert states == {one.id: {"dead": 1, "pending": 1}, two.id: {"delivered": 1}}
    assert await store.history.events_by_id([one.id], Scope.of(one.client_id + 1)) == {}
    assert await store.history.delivery_states([one.id], Scope.of(one.client_id + 1)) == {}


async def test_last_attempt_of_each_delivery_is_read_together(store: Store) -> None:
    one, two = new_event(7), new_event(7)
    await accept_events(store, [one, two])
    first, second = await claim(store, 7)
    await store.queue.settle([result(first, "pending", due_ms=START_MS + 50), result(second, "delivered")])
    (again,) = await claim(store, 7, now_ms=START_MS + 50, retrying=True)
    await store.queue.settle([result(again, "dead")])

    deliveries, found = await store.history.deliveries_with_last_attempts(DeliveryQuery(scope=EVERYONE), Page(10))

    assert {each.id for each in deliveries} == {first.delivery_id, second.delivery_id}
    assert {number: attempt.number for number, attempt in found.items()} == {
        first.delivery_id: 2,
        second.delivery_id: 1,
    }


async def test_deliveries_are_counted_up_to_a_limit(store: Store) -> None:
    await accept_events(store, [new_event(7, at_ms=START_MS + number) for number in range(5)])
    waiting = DeliveryQuery(scope=EVERYONE, endpoint_id=7, state="pending")

    assert await store.history.count_deliveries(waiting, limit=10) == 5
    assert await store.history.count_deliveries(waiting, limit=3) == 3
    late = DeliveryQuery(scope=EVERYONE, endpoint_id=7, state="pending", since_ms=START_MS + 3)
    assert await store.history.count_deliveries(late, limit=10) == 2
    first, *_ = await claim(store, 7, limit=1)
    await store.queue.settle([result(first, "pending", due_ms=START_MS + 50)])
    later = DeliveryQuery(scope=EVERYONE, state="pending", due_after_ms=START_MS + 49)
    assert await store.history.count_deliveries(later, limit=10) == 1


async def test_replays_are_told_apart_by_what_became_of_them(store: Store) -> None:
    events = [new_event(), new_event()]
    await accept_events(store, events)
    one, two = new_replay(91), new_replay(92, endpoint_id=8)
    for replay in (one, two):
        delivery = NewDelivery(replay.id + 1_000_000, replay.endpoint_id)
        await store.queue.add_deliveries([delivery], [events[0].id], replay=replay, now_ms=START_MS)
    (claimed,) = await claim(store, 7)
    await store.queue.settle([result(claimed, "dead")])

    assert await store.history.replays_with([one.id, two.id, 5], "pending") == {two.id}
    assert await store.history.replays_with([one.id, two.id], "dead") == {one.id}
    assert await store.history.replays_with([one.id, two.id], "delivered") == set()
