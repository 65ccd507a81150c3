"""Upkeep: the recount finds what is wrong, retention frees what is old and nothing else."""

from stores import START_MS, Engine, claim, new_event, result

from commerce_event.core.model import Scope
from commerce_event.store.port import EventQuery, Page, Store

EVERYONE = Scope.everyone()


async def test_event_that_lost_its_delivery_is_found(engine: Engine) -> None:
    store = await engine.open()
    good, bad = new_event(7), new_event(7)
    await store.accept([good, bad])
    await store.close()
    await engine.damage(bad.id)
    store = await engine.open()

    assert (await store.audit(after_id=0, limit=10)).wrong == (bad.id,)
    [book] = await store.books(EVERYONE, recount=True)
    assert book.difference == 1


async def test_recount_goes_on_where_it_stopped_and_begins_again_at_the_end(store: Store) -> None:
    events = [new_event() for _ in range(5)]
    await store.accept(events)
    first = await store.audit(after_id=0, limit=3)
    second = await store.audit(after_id=first.cursor, limit=3)

    assert (first.checked, first.cursor) == (3, events[2].id)
    assert (second.checked, second.cursor) == (2, 0)


async def test_old_finished_events_go_with_everything_of_theirs(store: Store) -> None:
    old = new_event(7, at_ms=START_MS - 100, body=b'{"OrderNo":"SO-OLD"}')
    await store.accept([old])
    await store.index_text(10)
    [claimed] = await claim(store, 7)
    await store.settle([result(claimed)])

    assert await store.expire(before_ms=START_MS, limit=10) == 1
    assert await store.event(old.id, EVERYONE) is None
    assert await store.delivery(claimed.delivery_id, EVERYONE) is None
    assert await store.attempts(claimed.delivery_id) == []
    assert await store.events(EventQuery(scope=EVERYONE, text="SO-OLD"), Page(10)) == []
    [book] = await store.books(EVERYONE, recount=True)
    assert (book.delivered, book.difference) == (1, 0)


async def test_what_is_pending_or_young_stays(store: Store) -> None:
    pending, done = new_event(7, at_ms=START_MS - 100), new_event(at_ms=START_MS - 50)
    young = new_event(at_ms=START_MS)
    await store.accept([pending, done, young])

    assert await store.expire(before_ms=START_MS, limit=10) == 1
    assert [event.id for event in await store.events(EventQuery(scope=EVERYONE), Page(9))] == [young.id, pending.id]
    assert len(await claim(store, 7)) == 1


async def test_retention_goes_in_steps(store: Store) -> None:
    await store.accept([new_event(at_ms=START_MS - 100) for _ in range(5)])

    assert [await store.expire(before_ms=START_MS, limit=2) for _ in range(4)] == [2, 2, 1, 0]


async def test_text_index_goes_in_steps_and_is_done_once(store: Store) -> None:
    await store.accept([new_event() for _ in range(5)])

    assert [await store.index_text(2) for _ in range(4)] == [2, 2, 1, 0]
