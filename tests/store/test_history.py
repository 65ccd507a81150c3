"""Reading: by every condition, page by page, and never beyond the scope."""

import asyncio
from typing import Any

import msgspec
import pytest
from stores import START_MS, accept_events, attempts_of, claim, new_event, new_replay, result

from commerce_event.core.model import Attempt, AttemptDetails, Certificate, DeliveryState, Redirect, Scope
from commerce_event.store.model import DeliveryQuery, EventQuery, Page
from commerce_event.store.port import Store
from commerce_event.store.postgres import history as postgres_history
from commerce_event.store.sqlite import history as sqlite_history

EVERYONE = Scope.everyone()


async def ids_of(store: Store, **conditions: object) -> list[int]:
    query = EventQuery(**({"scope": EVERYONE} | conditions))  # type: ignore[arg-type]
    return [event.id for event in await store.history.events(query, Page(100))]


async def test_events_are_found_by_type_time_and_application(store: Store) -> None:
    one = new_event(type_="OrderConfirmedEvent", at_ms=START_MS, application=1)
    two = new_event(type_="JobCompletedEvent", at_ms=START_MS + 10)
    await accept_events(store, [one, two])

    assert await ids_of(store) == [two.id, one.id]
    assert await ids_of(store, types=("JobCompletedEvent", "OrderDeliveredEvent")) == [two.id]
    assert await ids_of(store, since_ms=START_MS + 1) == [two.id]
    assert await ids_of(store, until_ms=START_MS + 9) == [one.id]
    assert await ids_of(store, application_id=1) == [one.id]


@pytest.mark.parametrize("state", ["pending", "delivered", "dead", "cancelled"])
async def test_events_are_found_by_the_state_of_a_delivery(store: Store, state: str) -> None:
    events = {name: new_event(7) for name in ("pending", "delivered", "dead", "cancelled")}
    await accept_events(store, list(events.values()))
    by_event = {each.event_id: each for each in await claim(store, 7)}
    await store.queue.settle([result(by_event[events[name].id], name) for name in ("delivered", "dead")])
    await store.queue.cancel([by_event[events["cancelled"].id].delivery_id], reason="test", now_ms=START_MS)

    assert await ids_of(store, state=state) == [events[state].id]


async def test_pages_follow_each_other_without_gap_or_repeat(store: Store) -> None:
    events = [new_event() for _ in range(7)]
    await accept_events(store, events)
    seen: list[int] = []
    before = None
    while page := await store.history.events(EventQuery(scope=EVERYONE), Page(3, before)):
        seen += [event.id for event in page]
        before = seen[-1]

    assert seen == [event.id for event in reversed(events)]


BODIES = {
    "order": b'{"OrderNo":"SO-10023","FirstName":"\\u00c5sa","LastName":"Lindqvist"}',
    "other": b'{"OrderNo":"SO-10024","FirstName":"Erik","LastName":"Berg","Note":"50% off (\\"today\\") * AND OR"}',
    "number": b'{"OrderId":4000017,"OrderNo":"X"}',
}


@pytest.mark.usefixtures("scan_depth")
@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SO-10023", {"order"}),
        ("so-10023", {"order"}),
        ("SO-1002", {"order", "other"}),
        ("Lindqv", {"order"}),
        ("Åsa", {"order"}),
        ("asa lindqvist", {"order"}),
        ("4000017", {"number"}),
        ("AND OR", {"other"}),
        ("50%", {"other"}),
        ('("today")', {"other"}),
        ("nothing of the kind", set()),
        ("O-10023", set()),
        ('"', set()),
    ],
)
async def test_text_is_found_as_a_person_would_write_it_indexed_or_not(
    store: Store, text: str, found: set[str], indexed: bool
) -> None:
    events = {name: new_event(body=body) for name, body in BODIES.items()}
    await accept_events(store, list(events.values()))
    if indexed:
        assert await store.maintenance.index_text(100) == 3

    assert set(await ids_of(store, text=text)) == {events[name].id for name in found}


@pytest.mark.usefixtures("scan_depth")
async def test_text_is_found_on_both_sides_of_the_index_in_order(store: Store) -> None:
    events = [new_event(body=b'{"OrderNo":"SO-1"}') for _ in range(4)]
    await accept_events(store, events[:2])
    await store.maintenance.index_text(100)
    await accept_events(store, events[2:])

    assert await ids_of(store, text="SO-1") == [event.id for event in reversed(events)]
    page = await store.history.events(EventQuery(scope=EVERYONE, text="SO-1"), Page(3))
    rest = await store.history.events(EventQuery(scope=EVERYONE, text="SO-1"), Page(3, page[-1].id))
    assert [event.id for event in rest] == [events[0].id]


@pytest.mark.usefixtures("scan_depth")
async def test_body_that_is_no_json_does_not_stop_the_index(store: Store) -> None:
    odd, plain = new_event(body=b"\xff\xfe not json"), new_event(body=b'{"OrderNo":"SO-2"}')
    await accept_events(store, [odd, plain])
    await store.maintenance.index_text(100)

    assert await ids_of(store, text="SO-2") == [plain.id]


async def test_events_between_come_oldest_first_for_replays(store: Store) -> None:
    events = [new_event(at_ms=START_MS + number) for number in range(4)]
    await accept_events(store, [*events, new_event(client=2)])

    found = await store.history.events_between(1, after_id=events[0].id, until_ms=START_MS + 2, types=(), limit=10)
    assert [event.id for event in found] == [events[1].id, events[2].id]
    assert (
        await store.history.events_between(1, after_id=0, until_ms=START_MS + 9, types=("JobCompletedEvent",), limit=9)
        == []
    )


async def test_deliveries_are_found_by_every_condition(store: Store) -> None:
    one, two = new_event(7, 8), new_event(7, type_="JobCompletedEvent", at_ms=START_MS + 10)
    await accept_events(store, [one, two])

    async def count(**conditions: object) -> int:
        query = DeliveryQuery(**({"scope": EVERYONE} | conditions))  # type: ignore[arg-type]
        return len(await store.history.deliveries(query, Page(100)))

    assert await count() == 3
    assert await count(endpoint_id=7) == 2
    assert await count(event_id=one.id) == 2
    assert await count(state="pending", endpoint_id=8) == 1
    assert await count(state="dead") == 0
    assert await count(types=("JobCompletedEvent",)) == 1
    assert await count(since_ms=START_MS + 5) == 1
    assert await count(until_ms=START_MS + 5) == 2
    assert await count(replay_id=1) == 0


@pytest.mark.usefixtures("scan_depth")
async def test_nothing_of_another_client_is_ever_read(store: Store) -> None:
    ours, theirs = (
        new_event(7, client=1, body=b'{"OrderNo":"SO-1"}'),
        new_event(8, client=2, body=b'{"OrderNo":"SO-1"}'),
    )
    await accept_events(store, [ours, theirs])
    await store.maintenance.index_text(1)
    scope, their_delivery = Scope.of(1), theirs.deliveries[0].id

    assert [event.id for event in await store.history.events(EventQuery(scope=scope), Page(9))] == [ours.id]
    assert [event.id for event in await store.history.events(EventQuery(scope=scope, text="SO-1"), Page(9))] == [
        ours.id
    ]
    assert await store.history.event(theirs.id, scope) is None
    assert await store.history.delivery(their_delivery, scope) is None
    assert await store.history.deliveries(DeliveryQuery(scope=scope, event_id=theirs.id), Page(9)) == []
    assert [book.client_id for book in await store.history.delivery_counts(scope)] == [1]
    assert await store.history.events(EventQuery(scope=Scope.of()), Page(9)) == []
    await store.maintenance.index_text(9)
    assert await store.history.events(EventQuery(scope=Scope.of(), text="SO-1"), Page(9)) == []


@pytest.mark.usefixtures("scan_depth")
async def test_every_condition_narrows_the_others(store: Store) -> None:
    wanted = new_event(7, application=1, at_ms=START_MS + 5, body=b'{"OrderNo":"SO-1"}')
    near_misses = [
        new_event(7, client=2, application=1, at_ms=START_MS + 5, body=wanted.body),
        new_event(7, application=2, at_ms=START_MS + 5, body=wanted.body),
        new_event(7, application=1, at_ms=START_MS + 4, body=wanted.body),
        new_event(7, application=1, at_ms=START_MS + 6, body=wanted.body),
        new_event(7, application=1, at_ms=START_MS + 5, body=wanted.body, type_="JobCompletedEvent"),
        new_event(7, application=1, at_ms=START_MS + 5, body=b'{"OrderNo":"SO-2"}'),
        new_event(application=1, at_ms=START_MS + 5, body=wanted.body),
    ]
    await accept_events(store, [*near_misses[:3], wanted, *near_misses[3:]])
    conditions = {
        "scope": Scope.of(1, 3), "application_id": 1, "since_ms": START_MS + 5, "until_ms": START_MS + 5,
        "types": ("OrderConfirmedEvent", "NoSuchEvent"), "text": "SO-1", "state": "pending",
    }  # fmt: skip

    assert await ids_of(store, **conditions) == [wanted.id]
    await store.maintenance.index_text(100)
    assert await ids_of(store, **conditions) == [wanted.id]
    for left_out in conditions:
        fewer = {name: value for name, value in conditions.items() if name != left_out}
        assert wanted.id in await ids_of(store, **fewer)
        assert len(await ids_of(store, **fewer)) > 1, f"no near miss for {left_out}"


async def test_filtered_pages_are_full_as_long_as_there_is_more(store: Store) -> None:
    events = [new_event(type_="JobCompletedEvent" if number % 3 else "OrderConfirmedEvent") for number in range(20)]
    await accept_events(store, events)
    wanted = [event.id for event in reversed(events) if event.type == "OrderConfirmedEvent"]
    query = EventQuery(scope=EVERYONE, types=("OrderConfirmedEvent",))
    first = await store.history.events(query, Page(4))
    second = await store.history.events(query, Page(4, first[-1].id))

    assert [event.id for event in first] == wanted[:4]
    assert [event.id for event in second] == wanted[4:8]


@pytest.mark.usefixtures("scan_depth")
@pytest.mark.parametrize("state", ["dead", "cancelled", "pending"])
async def test_events_in_a_state_are_found_behind_many_others_in_it(store: Store, state: DeliveryState) -> None:
    jobs = [new_event(7, 8, type_="JobCompletedEvent", client=1 + number % 2) for number in range(4)]
    orders = [new_event(7, 8, client=1 + number % 2) for number in range(24)]
    await accept_events(store, [*jobs, *orders])
    for endpoint in (7, 8) if state != "pending" else ():
        await store.queue.settle([result(each, state) for each in await claim(store, endpoint)])

    async def pages(**conditions: object) -> list[int]:
        query = EventQuery(**({"scope": EVERYONE, "state": state} | conditions))  # type: ignore[arg-type]
        ids: list[int] = []
        while some := await store.history.events(query, Page(3, ids[-1] if ids else None)):
            ids += [event.id for event in some]
        return ids

    backwards = [*reversed(orders), *reversed(jobs)]
    assert await pages() == [event.id for event in backwards]
    assert await pages(scope=Scope.of(1)) == [event.id for event in backwards if event.client_id == 1]
    assert await pages(types=("JobCompletedEvent",)) == [event.id for event in reversed(jobs)]
    assert await pages(types=("JobCompletedEvent",), scope=Scope.of(2)) == [jobs[3].id, jobs[1].id]
    assert await pages(types=("JobCompletedEvent",), scope=Scope.of(1, 2)) == [event.id for event in reversed(jobs)]
    assert await pages(types=("NoSuchEvent",)) == []


async def test_deliveries_come_newest_first_page_by_page(store: Store) -> None:
    events = [new_event(7, 8) for _ in range(3)]
    await accept_events(store, events)
    wanted = sorted((each.id for event in events for each in event.deliveries), reverse=True)
    query = DeliveryQuery(scope=EVERYONE)
    first = await store.history.deliveries(query, Page(4))

    assert [each.id for each in first] == wanted[:4]
    assert [each.id for each in await store.history.deliveries(query, Page(4, first[-1].id))] == wanted[4:]


async def test_deliveries_are_narrowed_by_all_conditions_at_once(store: Store) -> None:
    dead, alive, other = new_event(7, at_ms=START_MS), new_event(7, at_ms=START_MS), new_event(8, at_ms=START_MS)
    await accept_events(store, [dead, alive, other])
    held = {each.event_id: each for each in await claim(store, 7) + await claim(store, 8)}
    await store.queue.settle([result(held[each.id], "dead", reason="gone") for each in (dead, other)])
    query = DeliveryQuery(
        scope=Scope.of(1), event_id=dead.id, endpoint_id=7, state="dead", types=("OrderConfirmedEvent",),
        since_ms=START_MS, until_ms=START_MS,
    )  # fmt: skip

    assert [each.event_id for each in await store.history.deliveries(query, Page(9))] == [dead.id]
    for wrong in ({"event_id": alive.id}, {"endpoint_id": 8}, {"state": "delivered"}, {"types": ("JobCompletedEvent",)},
                  {"since_ms": START_MS + 1}, {"until_ms": START_MS - 1}, {"replay_id": 1},
                  {"scope": Scope.of(2)}):  # fmt: skip
        assert await store.history.deliveries(msgspec.structs.replace(query, **wrong), Page(9)) == []


async def test_reconciliation_goes_on_where_it_stopped(store: Store) -> None:
    await accept_events(store, [new_event(client=1 + number % 2) for number in range(10)])
    first = await store.history.events_after(1, 0, 3)
    rest = await store.history.events_after(1, first[-1].sequence, 100)

    assert [event.sequence for event in first + rest] == [1, 2, 3, 4, 5]
    assert {event.client_id for event in first + rest} == {1}
    assert await store.history.events_after(1, 5, 100) == []
    assert await store.history.events_after(99, 0, 100) == []


async def test_events_between_are_the_clients_own_of_the_types_asked_for(store: Store) -> None:
    events = [
        new_event(type_="JobCompletedEvent"), new_event(), new_event(client=2), new_event(type_="JobCompletedEvent"),
    ]  # fmt: skip
    await accept_events(store, events)

    async def between(*types: str, after_id: int = 0, limit: int = 10) -> list[int]:
        found = await store.history.events_between(1, after_id=after_id, until_ms=START_MS, types=types, limit=limit)
        return [event.id for event in found]

    jobs = [events[0].id, events[3].id]
    assert await between() == [events[0].id, events[1].id, events[3].id]
    assert await between("JobCompletedEvent") == jobs
    assert await between("JobCompletedEvent", limit=1) == jobs[:1]
    assert await between("JobCompletedEvent", after_id=jobs[0]) == jobs[1:]


@pytest.mark.usefixtures("scan_depth")
async def test_wall_of_the_scope_holds_for_every_listing_and_condition(store: Store) -> None:
    ours = new_event(7, client=1, body=b'{"OrderNo":"SO-1"}')
    theirs = new_event(8, client=2, body=b'{"OrderNo":"SO-1"}')
    await accept_events(store, [ours, theirs])
    [replayed] = await claim(store, 8)
    await store.queue.settle([result(replayed, "dead", reason="gone")])
    await store.queue.requeue([replayed.delivery_id], now_ms=START_MS, replay=new_replay(50))
    walls = {Scope.of(1): [1], Scope.of(1, 9): [1], Scope.of(2): [2], Scope.of(1, 2): [1, 2], Scope.of(9): [],
             Scope.of(): []}  # fmt: skip

    for scope, clients in walls.items():
        for _ in range(2):  # before and after the text index has run
            for conditions in ({}, {"text": "SO-1"}, {"state": "pending"}, {"types": ("OrderConfirmedEvent",)}):
                found = await store.history.events(EventQuery(scope=scope, **conditions), Page(9))
                assert sorted(event.client_id for event in found) == clients
            await store.maintenance.index_text(9)
        for one in (ours, theirs):
            reached = one.client_id in clients
            assert (await store.history.event(one.id, scope) is not None) is reached
            assert (await store.history.delivery(one.deliveries[0].id, scope) is not None) is reached
            query = DeliveryQuery(scope=scope, endpoint_id=one.deliveries[0].endpoint_id)
            assert bool(await store.history.deliveries(query, Page(9))) is reached
        assert bool(await store.history.deliveries(DeliveryQuery(scope=scope, replay_id=50), Page(9))) is (2 in clients)
        every = DeliveryQuery(scope=scope)
        for narrowed in ({}, {"state": "pending"}, {"until_ms": START_MS + 9}, {"types": ("OrderConfirmedEvent",)}):
            listed = await store.history.deliveries(msgspec.structs.replace(every, **narrowed), Page(9))
            assert sorted(delivery.client_id for delivery in listed) == clients
        assert await store.history.deliveries(DeliveryQuery(scope=scope, state="dead"), Page(9)) == []
        assert sorted(book.client_id for book in await store.history.delivery_counts(scope, recount=True)) == clients


async def test_delivery_and_its_attempts_are_one_snapshot(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt that is recorded between the two reads is in both of them, or in neither."""
    event = new_event(7)
    await accept_events(store, [event])
    (claimed,) = await claim(store, 7)
    loop = asyncio.get_running_loop()
    read_in_sqlite, read_in_postgres = sqlite_history._attempts, postgres_history._attempts

    def after_settling_sqlite(connection: Any, delivery_id: int) -> list[Attempt]:
        asyncio.run_coroutine_threadsafe(store.queue.settle([result(claimed, "delivered")]), loop).result()
        return read_in_sqlite(connection, delivery_id)

    async def after_settling_postgres(connection: Any, delivery_id: int) -> list[Attempt]:
        await store.queue.settle([result(claimed, "delivered")])
        return await read_in_postgres(connection, delivery_id)

    monkeypatch.setattr(sqlite_history, "_attempts", after_settling_sqlite)
    monkeypatch.setattr(postgres_history, "_attempts", after_settling_postgres)
    [(delivery, attempts)] = await store.history.deliveries_with_attempts([claimed.delivery_id], EVERYONE)
    monkeypatch.undo()

    assert (delivery.state, attempts) == ("pending", [])
    [(delivery, attempts)] = await store.history.deliveries_with_attempts([5, claimed.delivery_id], EVERYONE)
    assert (delivery.state, [each.number for each in attempts]) == ("delivered", [1])
    assert await store.history.deliveries_with_attempts([claimed.delivery_id], Scope.of(event.client_id + 1)) == []


DETAILS = AttemptDetails(
    phase="tls",
    address="192.0.2.7:443",
    redirects=(Redirect(302, "https://b.example/"),),
    certificate=Certificate(subject="a", issuer="b", names=("a.example",), not_before_ms=1, not_after_ms=2),
)


async def test_settle_keeps_details_of_attempts(store: Store) -> None:
    await accept_events(store, [new_event(7), new_event(7)])
    first, second = await claim(store, 7)
    await store.queue.settle(
        [
            result(first, "dead", reason="attempts_exhausted", status=None, error="tls_expired", details=DETAILS),
            result(second),
        ]
    )

    assert [each.details for each in await attempts_of(store, first.delivery_id)] == [DETAILS]
    assert [each.details for each in await attempts_of(store, second.delivery_id)] == [None]
    assert {each.details for each in await store.history.recent_attempts(7, 9)} == {DETAILS, None}
    _, last = await store.history.deliveries_with_last_attempts(DeliveryQuery(scope=EVERYONE), Page(9))
    assert (last[first.delivery_id].details, last[second.delivery_id].details) == (DETAILS, None)
