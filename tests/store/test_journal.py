"""Accepting: durable, gap-free, once for each key, all or nothing."""

import asyncio

import pytest
from stores import Engine, new_event

from commerce_event.core.model import Scope
from commerce_event.store.port import EventQuery, Page, Store, StoreUnavailableError

EVERYONE = Scope.everyone()


async def test_sequence_of_each_client_has_no_gap_and_follows_the_order_of_accepting(store: Store) -> None:
    first = await store.accept([new_event(client=1), new_event(client=2), new_event(client=1)])
    second = await store.accept([new_event(client=2), new_event(client=1)])

    assert [answer.sequence for answer in first + second] == [1, 1, 2, 2, 3]
    assert [event.sequence for event in await store.events_after(1, 0, 10)] == [1, 2, 3]
    assert [event.sequence for event in await store.events_after(1, 2, 10)] == [3]


async def test_sequence_goes_on_after_reopening(engine: Engine) -> None:
    store = await engine.open()
    await store.accept([new_event()])
    await store.close()
    store = await engine.open()

    assert [answer.sequence for answer in await store.accept([new_event()])] == [2]


async def test_sequence_goes_on_after_everything_expired(engine: Engine) -> None:
    store = await engine.open()
    await store.accept([new_event(at_ms=1), new_event(at_ms=2)])
    assert await store.expire(before_ms=10, limit=10) == 2
    await store.close()
    store = await engine.open()

    assert [answer.sequence for answer in await store.accept([new_event()])] == [3]


async def test_same_key_and_event_is_a_duplicate_of_the_first(store: Store) -> None:
    [first] = await store.accept([new_event(7, 8, key="k")])
    [again] = await store.accept([new_event(7, key="k")])

    assert (first.outcome, again.outcome) == ("new", "duplicate")
    assert (again.id, again.sequence, again.deliveries) == (first.id, 1, 2)
    assert len(await store.events(EventQuery(scope=EVERYONE), Page(10))) == 1


@pytest.mark.parametrize("other", [{"body": b'{"ClientId":2}'}, {"type_": "OrderCancelledEvent"}])
async def test_same_key_with_another_event_is_a_conflict(store: Store, other: dict[str, str]) -> None:
    [first] = await store.accept([new_event(key="k")])
    [again] = await store.accept([new_event(key="k", **other)])  # type: ignore[arg-type]

    assert (again.outcome, again.id) == ("conflict", first.id)


async def test_keys_of_clients_are_their_own(store: Store) -> None:
    answers = await store.accept([new_event(client=1, key="k"), new_event(client=2, key="k")])

    assert [answer.outcome for answer in answers] == ["new", "new"]


async def test_repeats_inside_a_batch_are_noticed(store: Store) -> None:
    answers = await store.accept(
        [new_event(key="k"), new_event(), new_event(key="k"), new_event(key="k", body=b'{"ClientId":9}')]
    )

    assert [answer.outcome for answer in answers] == ["new", "new", "duplicate", "conflict"]
    assert [answer.sequence for answer in answers] == [1, 2, 1, 1]


async def test_key_is_known_after_reopening(engine: Engine) -> None:
    store = await engine.open()
    await store.accept([new_event(key="k")])
    await store.close()
    store = await engine.open()

    assert [answer.outcome for answer in await store.accept([new_event(key="k")])] == ["duplicate"]


async def test_many_at_once_with_one_key_make_one_event(store: Store) -> None:
    answers = await asyncio.gather(*(store.accept([new_event(key="k")]) for _ in range(50)))

    assert sorted(answer.outcome for [answer] in answers) == ["duplicate"] * 49 + ["new"]
    assert len({answer.id for [answer] in answers}) == 1


async def test_batch_with_one_impossible_event_stores_nothing(store: Store) -> None:
    good = new_event(7)
    await store.accept([good])

    with pytest.raises(Exception):  # noqa: B017, PT011 - which one is the engine's affair
        await store.accept([new_event(7), good])  # an id that exists already

    assert len(await store.events(EventQuery(scope=EVERYONE), Page(10))) == 1
    assert [answer.sequence for answer in await store.accept([new_event()])] == [2]


async def test_failing_call_does_not_harm_those_that_share_its_commit(store: Store) -> None:
    good = new_event(7)
    await store.accept([good])
    answers = await asyncio.gather(
        store.accept([new_event()]), store.accept([good]), store.accept([new_event()]), return_exceptions=True
    )

    assert isinstance(answers[1], Exception)
    assert sorted(a[0].sequence for a in answers if isinstance(a, list)) == [2, 3]


@pytest.mark.parametrize("body", [b'{ "a" :\t1.50 ,"b":"\\u00e5 \xc3\xa5"}\n', b'{"x":"' + b"y" * 200_000 + b'"}'])
async def test_body_is_kept_byte_for_byte(store: Store, body: bytes) -> None:
    [answer] = await store.accept([new_event(body=body)])

    event = await store.event(answer.id, EVERYONE)
    assert event is not None
    assert event.body == body


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 255, 256, 257, 600])
async def test_batches_of_every_size_are_stored_whole(store: Store, count: int) -> None:
    await store.accept([new_event(7) for _ in range(count)])

    assert [event.sequence for event in await store.events_after(1, 0, 1_000)] == list(range(1, count + 1))
    [book] = await store.books(EVERYONE, recount=True)
    assert book.matched == book.pending == count


async def test_last_id_never_falls(engine: Engine) -> None:
    store = await engine.open()
    await store.accept([new_event(7, at_ms=1)])
    before = await store.last_id()
    await store.cancel([before], reason="test", now_ms=2)
    await store.expire(before_ms=10, limit=10)
    await store.close()
    store = await engine.open()

    assert before > 0
    assert await store.last_id() >= before


async def test_closed_store_refuses_and_may_be_closed_again(store: Store) -> None:
    await store.close()
    await store.close()

    with pytest.raises(StoreUnavailableError):
        await store.accept([new_event()])
    with pytest.raises(StoreUnavailableError):
        await store.events(EventQuery(scope=EVERYONE), Page(10))
