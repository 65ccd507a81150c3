"""Times: what was accepted in one is found whatever clocks did to the ids, and without reading the rest."""

import random
from typing import Any

import pytest
from stores import START_MS, accept_events, claim, event_at, new_replay, result

from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Scope
from commerce_event.store.model import DeliveryQuery, EventQuery, NewDelivery, NewEvent, Page
from commerce_event.store.port import Store

EVERYONE = Scope.everyone()
HOUR_MS = 3_600_000


async def found(store: Store, since_ms: int | None, until_ms: int | None, **more: Any) -> list[int]:
    query = EventQuery(scope=more.pop("scope", EVERYONE), since_ms=since_ms, until_ms=until_ms, **more)
    return [event.id for event in await store.history.events(query, Page(1_000))]


async def found_deliveries(store: Store, since_ms: int | None, until_ms: int | None, page: Page) -> list[int]:
    query = DeliveryQuery(scope=Scope.of(1), endpoint_id=7, since_ms=since_ms, until_ms=until_ms)
    return [delivery.id for delivery in await store.history.deliveries(query, page)]


async def test_events_of_a_time_are_found_after_the_clock_was_set_back_and_forth(store: Store) -> None:
    """Ids only grow: after a clock was set back they are ahead of it, until it has caught up."""
    rng, ids, now_ms = random.Random(5), IdMaker(), START_MS
    events: list[NewEvent] = []
    for _ in range(60):
        now_ms += rng.choice((1, 50, 3_000, 60_000, HOUR_MS, -HOUR_MS, -4_000, -40_000, -1))
        events.append(event_at(ids, now_ms))
    await accept_events(store, events)

    moments = [None, START_MS - HOUR_MS, START_MS + 90 * 86_400_000, *(each.accepted_ms for each in events[::6])]
    for since_ms in moments:
        for until_ms in moments:
            wanted = [
                each
                for each in events
                if (since_ms or 0) <= each.accepted_ms and (until_ms is None or each.accepted_ms <= until_ms)
            ]
            newest = sorted((each.id for each in wanted), reverse=True)
            assert await found(store, since_ms, until_ms) == newest
            assert await found(store, since_ms, until_ms, scope=Scope.of(1, 2), state="pending") == newest
            assert await found(store, since_ms, until_ms, text="SO-1") == newest
            sent = sorted(each.deliveries[0].id for each in wanted)
            assert await found_deliveries(store, since_ms, until_ms, Page(1_000, after=0)) == sent
            assert await found_deliveries(store, since_ms, until_ms, Page(1_000)) == sent[::-1]
            if until_ms is not None:
                between = await store.history.events_between(1, after_id=0, until_ms=until_ms, types=(), limit=1_000)
                assert [each.id for each in between if each.accepted_ms >= (since_ms or 0)] == newest[::-1]


@pytest.mark.parametrize("ahead_ms", [0, -2 * HOUR_MS], ids=["later", "by a node whose ids are behind"])
async def test_deliveries_of_a_replay_belong_to_the_time_of_their_event(store: Store, ahead_ms: int) -> None:
    ids, others = IdMaker(), IdMaker(node=1)
    events = [event_at(ids, START_MS + minute * 60_000) for minute in range(4)]
    await accept_events(store, events)
    await store.queue.settle([result(each) for each in await claim(store, 7, now_ms=START_MS + HOUR_MS)])
    now_ms = START_MS + HOUR_MS + ahead_ms
    again = [NewDelivery(others.next(now_ms), 7) for _ in events]
    replay = new_replay(ids.next(START_MS + HOUR_MS), only="all", state="done")
    await store.queue.add_deliveries(again, [event.id for event in events], replay=replay, now_ms=now_ms)

    def ids_from(first: int, end: int) -> list[int]:
        born = [event.deliveries[0].id for event in events]
        return sorted([*born[first:end], *(each.id for each in again[first:end])])

    minute = [event.accepted_ms for event in events]
    everything = Page(100, after=0)
    assert await found_deliveries(store, minute[1], minute[2], everything) == ids_from(1, 3)
    assert await found_deliveries(store, None, minute[1], everything) == ids_from(0, 2)
    assert await found_deliveries(store, minute[2], None, everything) == ids_from(2, 4)
    assert await found_deliveries(store, minute[3], minute[3], Page(100)) == ids_from(3, 4)[::-1]
    first = await found_deliveries(store, minute[0], minute[2], Page(4, after=0))
    assert first + await found_deliveries(store, minute[0], minute[2], Page(4, after=first[-1])) == ids_from(0, 3)
    [own] = await store.history.deliveries(
        DeliveryQuery(scope=EVERYONE, event_id=events[1].id, replay_id=replay.id, until_ms=minute[1]), Page(9)
    )
    assert own.id == again[1].id
