"""Reading: by every condition, page by page, and never beyond the scope."""

import pytest
from stores import START_MS, claim, new_event, result

from commerce_event.core.model import Scope
from commerce_event.store.port import DeliveryQuery, EventQuery, Page, Store

EVERYONE = Scope.everyone()


async def ids_of(store: Store, **conditions: object) -> list[int]:
    query = EventQuery(**({"scope": EVERYONE} | conditions))  # type: ignore[arg-type]
    return [event.id for event in await store.events(query, Page(100))]


async def test_events_are_found_by_type_time_and_application(store: Store) -> None:
    one = new_event(type_="OrderConfirmedEvent", at_ms=START_MS, application=1)
    two = new_event(type_="JobCompletedEvent", at_ms=START_MS + 10)
    await store.accept([one, two])

    assert await ids_of(store) == [two.id, one.id]
    assert await ids_of(store, types=("JobCompletedEvent", "OrderDeliveredEvent")) == [two.id]
    assert await ids_of(store, since_ms=START_MS + 1) == [two.id]
    assert await ids_of(store, until_ms=START_MS + 9) == [one.id]
    assert await ids_of(store, application_id=1) == [one.id]


@pytest.mark.parametrize("state", ["pending", "delivered", "dead", "cancelled"])
async def test_events_are_found_by_the_state_of_a_delivery(store: Store, state: str) -> None:
    events = {name: new_event(7) for name in ("pending", "delivered", "dead", "cancelled")}
    await store.accept(list(events.values()))
    by_event = {each.event_id: each for each in await claim(store, 7)}
    await store.settle([result(by_event[events[name].id], name) for name in ("delivered", "dead")])
    await store.cancel([by_event[events["cancelled"].id].delivery_id], reason="test", now_ms=START_MS)

    assert await ids_of(store, state=state) == [events[state].id]


async def test_pages_follow_each_other_without_gap_or_repeat(store: Store) -> None:
    events = [new_event() for _ in range(7)]
    await store.accept(events)
    seen: list[int] = []
    before = None
    while page := await store.events(EventQuery(scope=EVERYONE), Page(3, before)):
        seen += [event.id for event in page]
        before = seen[-1]

    assert seen == [event.id for event in reversed(events)]


BODIES = {
    "order": b'{"OrderNo":"SO-10023","FirstName":"\\u00c5sa","LastName":"Lindqvist"}',
    "other": b'{"OrderNo":"SO-10024","FirstName":"Erik","LastName":"Berg","Note":"50% off (\\"today\\") * AND OR"}',
    "number": b'{"OrderId":4000017,"OrderNo":"X"}',
}


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SO-10023", {"order"}),
        ("so-10023", {"order"}),
        ("SO-1002", {"order", "other"}),
        ("Lindqv", {"order"}),
        ("Åsa", {"order"}),
        ("4000017", {"number"}),
        ("AND OR", {"other"}),
        ("50%", {"other"}),
        ('("today")', {"other"}),
        ("nothing of the kind", set()),
        ('"', {"other"}),
    ],
)
async def test_text_is_found_as_a_person_would_write_it(
    store: Store, text: str, found: set[str], indexed: bool
) -> None:
    events = {name: new_event(body=body) for name, body in BODIES.items()}
    await store.accept(list(events.values()))
    if indexed:
        assert await store.index_text(100) == 3
        if not any(letter.isalnum() for letter in text):
            pytest.skip("marks alone are looked for in the newest events only")

    assert set(await ids_of(store, text=text)) == {events[name].id for name in found}


async def test_text_is_found_on_both_sides_of_the_index_in_order(store: Store) -> None:
    events = [new_event(body=b'{"OrderNo":"SO-1"}') for _ in range(4)]
    await store.accept(events[:2])
    await store.index_text(100)
    await store.accept(events[2:])

    assert await ids_of(store, text="SO-1") == [event.id for event in reversed(events)]
    page = await store.events(EventQuery(scope=EVERYONE, text="SO-1"), Page(3))
    rest = await store.events(EventQuery(scope=EVERYONE, text="SO-1"), Page(3, page[-1].id))
    assert [event.id for event in rest] == [events[0].id]


async def test_body_that_is_no_json_does_not_stop_the_index(store: Store) -> None:
    odd, plain = new_event(body=b"\xff\xfe not json"), new_event(body=b'{"OrderNo":"SO-2"}')
    await store.accept([odd, plain])
    await store.index_text(100)

    assert await ids_of(store, text="SO-2") == [plain.id]


async def test_events_between_come_oldest_first_for_replays(store: Store) -> None:
    events = [new_event(at_ms=START_MS + number) for number in range(4)]
    await store.accept([*events, new_event(client=2)])

    found = await store.events_between(1, after_id=events[0].id, until_ms=START_MS + 2, types=(), limit=10)
    assert [event.id for event in found] == [events[1].id, events[2].id]
    assert await store.events_between(1, after_id=0, until_ms=START_MS + 9, types=("JobCompletedEvent",), limit=9) == []


async def test_deliveries_are_found_by_every_condition(store: Store) -> None:
    one, two = new_event(7, 8), new_event(7, type_="JobCompletedEvent", at_ms=START_MS + 10)
    await store.accept([one, two])

    async def count(**conditions: object) -> int:
        query = DeliveryQuery(**({"scope": EVERYONE} | conditions))  # type: ignore[arg-type]
        return len(await store.deliveries(query, Page(100)))

    assert await count() == 3
    assert await count(endpoint_id=7) == 2
    assert await count(event_id=one.id) == 2
    assert await count(state="pending", endpoint_id=8) == 1
    assert await count(state="dead") == 0
    assert await count(types=("JobCompletedEvent",)) == 1
    assert await count(since_ms=START_MS + 5) == 1
    assert await count(until_ms=START_MS + 5) == 2
    assert await count(replay_id=1) == 0


async def test_nothing_of_another_client_is_ever_read(store: Store) -> None:
    ours, theirs = (
        new_event(7, client=1, body=b'{"OrderNo":"SO-1"}'),
        new_event(8, client=2, body=b'{"OrderNo":"SO-1"}'),
    )
    await store.accept([ours, theirs])
    await store.index_text(1)
    scope, their_delivery = Scope.of(1), theirs.deliveries[0].id

    assert [event.id for event in await store.events(EventQuery(scope=scope), Page(9))] == [ours.id]
    assert [event.id for event in await store.events(EventQuery(scope=scope, text="SO-1"), Page(9))] == [ours.id]
    assert await store.event(theirs.id, scope) is None
    assert await store.delivery(their_delivery, scope) is None
    assert await store.deliveries(DeliveryQuery(scope=scope, event_id=theirs.id), Page(9)) == []
    assert [book.client_id for book in await store.books(scope)] == [1]
    assert await store.events(EventQuery(scope=Scope.of()), Page(9)) == []
    await store.index_text(9)
    assert await store.events(EventQuery(scope=Scope.of(), text="SO-1"), Page(9)) == []
