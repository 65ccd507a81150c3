"""What replays ask of the store: which events have a delivery, and an end of those that are pending."""

from stores import START_MS, accept_events, attempts_of, claim, new_event, new_replay, result

from commerce_event.core.model import Scope
from commerce_event.store.model import INTERRUPTED, NewDelivery
from commerce_event.store.port import Store

EVERYONE = Scope.everyone()


async def test_events_with_delivery_are_those_of_the_endpoint_in_any_state(store: Store) -> None:
    events = [new_event(7), new_event(7, 8), new_event(8), new_event()]
    await accept_events(store, events)
    [first, *_] = await claim(store, 7)
    await store.queue.settle([result(first)])
    ids = [each.id for each in events]

    assert await store.history.events_with_delivery(7, [*ids, 1]) == set(ids[:2])
    assert await store.history.events_with_delivery(8, ids[:2]) == {ids[1]}
    assert await store.history.events_with_delivery(9, ids) == set()
    assert await store.history.events_with_delivery(7, []) == set()


async def test_finish_replay_finishes_its_pending_deliveries_in_steps_and_fences_attempts(store: Store) -> None:
    event = new_event(8)
    await accept_events(store, [event])
    deliveries = [NewDelivery(new_event().id, 7) for _ in range(3)]
    other = NewDelivery(new_event().id, 7)
    await store.queue.add_deliveries(deliveries, [event.id] * 3, replay=new_replay(1), now_ms=START_MS)
    [sent] = await claim(store, 7, limit=1)
    await store.queue.add_deliveries([other], [event.id], replay=new_replay(2), now_ms=START_MS)

    async def step(limit: int) -> int:
        return await store.queue.finish_replay(
            1, state="cancelled", reason="replay_cancelled", now_ms=START_MS + 5, limit=limit
        )

    assert [await step(2), await step(2), await step(2)] == [2, 1, 0]
    assert await store.history.replay_states(1) == {"cancelled": 3}
    assert await store.history.replay_states(2) == {"pending": 1}
    assert await store.queue.settle([result(sent)]) == [False]
    assert [each.error for each in await attempts_of(store, sent.delivery_id)] == [INTERRUPTED]
    found = await store.history.delivery(deliveries[0].id, EVERYONE)
    assert found is not None
    assert (found.state, found.reason, found.finished_ms) == ("cancelled", "replay_cancelled", START_MS + 5)


async def test_replay_ended_ms_is_the_time_of_its_last_finished_delivery(store: Store) -> None:
    event = new_event(8)
    await accept_events(store, [event])
    deliveries = [NewDelivery(new_event().id, 7) for _ in range(2)]
    await store.queue.add_deliveries(deliveries, [event.id] * 2, replay=new_replay(1), now_ms=START_MS)
    assert await store.history.replay_ended_ms(1) is None

    for number in (5, 9):
        await store.queue.finish_replay(1, state="cancelled", reason="x", now_ms=START_MS + number, limit=1)

    assert await store.history.replay_ended_ms(1) == START_MS + 9
    assert await store.history.replay_ended_ms(2) is None


async def test_finish_replay_releases_the_next_of_an_order_key(store: Store) -> None:
    event = new_event(8)
    await accept_events(store, [event])
    replayed = NewDelivery(new_event().id, 7, "a")
    await store.queue.add_deliveries([replayed], [event.id], replay=new_replay(1), now_ms=START_MS)
    await accept_events(store, [later := new_event(7, order_key="a")])
    assert [each.delivery_id for each in await claim(store, 7)] == [replayed.id]

    await store.queue.finish_replay(1, state="cancelled", reason="x", now_ms=START_MS, limit=9)

    assert [each.delivery_id for each in await claim(store, 7)] == [later.deliveries[0].id]
