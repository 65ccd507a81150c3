"""Order by business key: one after the other for a key, different keys in parallel."""

import pytest
from stores import START_MS, Engine, accept_events, claim, new_event, result

from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Replay, Scope
from commerce_event.store.model import NewDelivery
from commerce_event.store.port import Store

LATER_MS = START_MS + 60_000


async def test_second_of_a_key_waits_for_the_first_and_other_keys_flow(store: Store) -> None:
    a1, a2, b1 = (new_event(7, order_key=key) for key in ("a", "a", "b"))
    await accept_events(store, [a1, a2, b1])

    first = await claim(store, 7)
    assert sorted(each.event_id for each in first) == sorted([a1.id, b1.id])
    await store.queue.settle([result(each) for each in first])
    assert [each.event_id for each in await claim(store, 7, now_ms=LATER_MS)] == [a2.id]


async def test_second_waits_while_the_first_is_retried(store: Store) -> None:
    await accept_events(store, [new_event(7, order_key="a"), new_event(7, order_key="a")])
    [first] = await claim(store, 7)
    await store.queue.settle([result(first, "pending", due_ms=START_MS + 10)])

    assert await claim(store, 7, now_ms=LATER_MS) == []
    [again] = await claim(store, 7, retrying=True, now_ms=LATER_MS)
    await store.queue.settle([result(again)])
    assert len(await claim(store, 7, now_ms=LATER_MS)) == 1


@pytest.mark.parametrize("end", ["dead", "cancelled"])
async def test_end_of_the_first_in_any_way_releases_the_next(store: Store, end: str) -> None:
    await accept_events(store, [new_event(7, order_key="a"), new_event(7, order_key="a")])
    [first] = await claim(store, 7)
    if end == "dead":
        await store.queue.settle([result(first, "dead", reason="attempts_exhausted")])
    else:
        await store.queue.cancel([first.delivery_id], reason="test", now_ms=START_MS)

    assert len(await claim(store, 7, now_ms=LATER_MS)) == 1


async def test_order_holds_over_batches_and_reopening(engine: Engine) -> None:
    store = await engine.open()
    events = [new_event(7, order_key="a") for _ in range(4)]
    await accept_events(store, events[:2])
    await accept_events(store, events[2:])
    await store.close()
    store = await engine.open()

    seen = []
    for _ in events:
        [claimed] = await claim(store, 7, now_ms=LATER_MS)
        seen.append(claimed.event_id)
        await store.queue.settle([result(claimed)])
    assert seen == [event.id for event in events]


async def test_keys_of_endpoints_are_their_own(store: Store) -> None:
    await accept_events(store, [new_event(7, 8, order_key="a")])

    assert len(await claim(store, 7)) == len(await claim(store, 8)) == 1


async def test_reopened_first_goes_before_what_waits_but_not_beside_it(store: Store) -> None:
    first, second, third = (new_event(7, order_key="a") for _ in range(3))
    await accept_events(store, [first, second, third])
    [one] = await claim(store, 7)
    await store.queue.settle([result(one, "dead", reason="attempts_exhausted")])
    [two] = await claim(store, 7, now_ms=LATER_MS)
    await store.queue.requeue([one.delivery_id], now_ms=LATER_MS)

    assert await claim(store, 7, retrying=True, now_ms=LATER_MS) == []
    await store.queue.settle([result(two)])
    [again] = await claim(store, 7, retrying=True, now_ms=LATER_MS)
    assert again.event_id == first.id


async def test_ending_everything_ends_what_waits_for_its_turn_too(store: Store) -> None:
    await accept_events(store, [new_event(7, order_key="a") for _ in range(5)])
    while await store.queue.finish_pending(7, state="cancelled", reason="endpoint_deleted", now_ms=START_MS, limit=2):
        pass

    assert await store.queue.backlog() == []


async def test_replayed_deliveries_queue_behind_those_of_their_key(store: Store) -> None:
    event = new_event(7, order_key="a")
    await accept_events(store, [event])
    ids = IdMaker(after=await store.last_id())
    replay = Replay(
        id=ids.next(START_MS), client_id=1, endpoint_id=7, since_ms=0, until_ms=LATER_MS, types=(), only="all",
        state="done", cursor=0, looked_at=1, queued=1, created_ms=START_MS, finished_ms=START_MS,
    )  # fmt: skip
    await store.queue.add_deliveries(
        [NewDelivery(ids.next(START_MS), 7, "a")], [event.id], replay=replay, now_ms=START_MS
    )

    [first] = await claim(store, 7, now_ms=LATER_MS)
    assert first.replay_id is None
    await store.queue.settle([result(first)])
    [second] = await claim(store, 7, now_ms=LATER_MS)
    assert second.replay_id == replay.id


async def test_cancel_of_a_waiting_delivery_releases_no_other(store: Store) -> None:
    first, second, third = (new_event(7, order_key="a") for _ in range(3))
    await accept_events(store, [first, second, third])
    [running] = await claim(store, 7)
    await store.queue.cancel([second.deliveries[0].id], reason="test", now_ms=START_MS)

    assert await claim(store, 7, now_ms=LATER_MS) == []
    await store.queue.settle([result(running)])
    assert [each.event_id for each in await claim(store, 7, now_ms=LATER_MS)] == [third.id]


async def test_second_waits_while_the_first_is_taken_over_from_a_lost_attempt(engine: Engine) -> None:
    store = await engine.open()
    first, second = new_event(7, order_key="a"), new_event(7, order_key="a")
    await accept_events(store, [first, second])
    await claim(store, 7)
    await store.close()
    store = await engine.open()

    assert await claim(store, 7, now_ms=LATER_MS) == []
    [again] = await claim(store, 7, retrying=True, now_ms=LATER_MS)
    assert again.event_id == first.id
    await store.queue.settle([result(again)])
    assert [each.event_id for each in await claim(store, 7, now_ms=LATER_MS)] == [second.id]


async def test_first_that_is_given_back_keeps_its_turn(store: Store) -> None:
    first, second = new_event(7, order_key="a"), new_event(7, order_key="a")
    await accept_events(store, [first, second])
    await store.queue.release_claims(await claim(store, 7), now_ms=START_MS)

    assert [each.event_id for each in await claim(store, 7, now_ms=LATER_MS)] == [first.id]


async def test_what_waits_for_its_turn_is_pending_and_not_due(store: Store) -> None:
    first, second = new_event(7, order_key="a"), new_event(7, order_key="a")
    await accept_events(store, [first, second])

    waits = await store.history.delivery(second.deliveries[0].id, Scope.everyone())
    assert waits is not None
    assert (waits.state, waits.due_ms, waits.order_key) == ("pending", None, "a")
    [book] = await store.history.delivery_counts(Scope.everyone(), recount=True)
    assert book.pending == 2


@pytest.mark.parametrize("key", ["A", " a", "ä", "' OR 1=1 --", "x" * 500])
async def test_key_may_be_any_text(store: Store, key: str) -> None:
    await accept_events(store, [new_event(7, order_key=key), new_event(7, order_key="a"), new_event(7, order_key=key)])

    assert len(await claim(store, 7)) == 2


async def test_dead_deliveries_requeued_together_are_sent_in_accept_order(store: Store) -> None:
    events = [new_event(7, order_key="a") for _ in range(3)]
    await accept_events(store, events)
    for _ in events:
        [claimed] = await claim(store, 7, now_ms=LATER_MS)
        await store.queue.settle([result(claimed, "dead", reason="attempts_exhausted")])
    await store.queue.requeue([event.deliveries[0].id for event in reversed(events)], now_ms=LATER_MS)

    seen = []
    for _ in events:
        [claimed] = await claim(store, 7, retrying=True, now_ms=LATER_MS)
        seen.append(claimed.event_id)
        await store.queue.settle([result(claimed)])
    assert seen == [event.id for event in events]
