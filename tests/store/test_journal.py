"""Accepting: durable, gap-free, once for each key, all or nothing."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import START_MS, Engine, accept_events, claim, new_event

from commerce_event.core.model import Event, Key, Replay, Scope
from commerce_event.core.problems import Fault
from commerce_event.store.insert_rows import is_same_event
from commerce_event.store.model import DeliveryQuery, EndpointRow, EventQuery, NewDelivery, NewEvent, Page
from commerce_event.store.port import ConfigChangedError, Store, StoreUnavailableError

EVERYONE = Scope.everyone()


async def test_sequence_of_each_client_has_no_gap_and_follows_the_order_of_accepting(store: Store) -> None:
    first = await accept_events(store, [new_event(client=1), new_event(client=2), new_event(client=1)])
    second = await accept_events(store, [new_event(client=2), new_event(client=1)])

    assert [answer.sequence for answer in first + second] == [1, 1, 2, 2, 3]
    assert [event.sequence for event in await store.history.events_after(1, 0, 10)] == [1, 2, 3]
    assert [event.sequence for event in await store.history.events_after(1, 2, 10)] == [3]


async def test_last_sequences_are_those_of_the_clients_asked_for(store: Store) -> None:
    await accept_events(store, [new_event(client=1), new_event(client=2), new_event(client=1)])
    await accept_events(store, [new_event(client=1, key="k"), new_event(client=3)])
    await accept_events(store, [new_event(client=1, key="k")])  # a duplicate takes no number

    assert await store.history.last_sequences([2, 1, -7]) == {1: 3, 2: 1}
    assert await store.history.last_sequences([]) == {}


async def test_events_matched_with_endpoints_that_changed_since_are_not_stored(store: Store) -> None:
    before = await store.registry.config_version()
    now = await store.registry.put_key(Key(id=7, role="read", client_ids=None, name="", digest=b"d" * 32, created_ms=1))

    with pytest.raises(ConfigChangedError):
        await accept_events(store, [new_event()], config_version=before)
    [accepted] = await accept_events(store, [new_event()], config_version=now)

    assert accepted.sequence == 1
    assert len(await store.history.events(EventQuery(scope=EVERYONE), Page(10))) == 1


async def test_sequence_goes_on_after_reopening(engine: Engine) -> None:
    store = await engine.open()
    await accept_events(store, [new_event()])
    await store.close()
    store = await engine.open()

    assert [answer.sequence for answer in await accept_events(store, [new_event()])] == [2]


async def test_sequence_goes_on_after_everything_expired(engine: Engine) -> None:
    store = await engine.open()
    await accept_events(store, [new_event(at_ms=1), new_event(at_ms=2)])
    assert await store.maintenance.expire(before_ms=10, limit=10) == 2
    await store.close()
    store = await engine.open()

    assert [answer.sequence for answer in await accept_events(store, [new_event()])] == [3]


async def test_same_key_and_event_is_a_duplicate_of_the_first(store: Store) -> None:
    [first] = await accept_events(store, [new_event(7, 8, key="k")])
    [again] = await accept_events(store, [new_event(7, key="k")])

    assert (first.outcome, again.outcome) == ("new", "duplicate")
    assert (again.id, again.sequence, again.deliveries) == (first.id, 1, 2)
    assert len(await store.history.events(EventQuery(scope=EVERYONE), Page(10))) == 1


@pytest.mark.parametrize("other", [{"body": b'{"ClientId":2}'}, {"type_": "OrderCancelledEvent"}])
async def test_same_key_with_another_event_is_a_conflict(store: Store, other: dict[str, str]) -> None:
    [first] = await accept_events(store, [new_event(key="k")])
    [again] = await accept_events(store, [new_event(key="k", **other)])  # type: ignore[arg-type]

    assert (again.outcome, again.id) == ("conflict", first.id)


async def test_keys_of_clients_are_their_own(store: Store) -> None:
    answers = await accept_events(store, [new_event(client=1, key="k"), new_event(client=2, key="k")])

    assert [answer.outcome for answer in answers] == ["new", "new"]


async def test_repeats_inside_a_batch_are_noticed(store: Store) -> None:
    answers = await accept_events(
        store, [new_event(key="k"), new_event(), new_event(key="k"), new_event(key="k", body=b'{"ClientId":9}')]
    )

    assert [answer.outcome for answer in answers] == ["new", "new", "duplicate", "conflict"]
    assert [answer.sequence for answer in answers] == [1, 2, 1, 1]


async def test_key_is_known_after_reopening(engine: Engine) -> None:
    store = await engine.open()
    await accept_events(store, [new_event(key="k")])
    await store.close()
    store = await engine.open()

    assert [answer.outcome for answer in await accept_events(store, [new_event(key="k")])] == ["duplicate"]


async def test_many_at_once_with_one_key_make_one_event(store: Store) -> None:
    answers = await asyncio.gather(*(accept_events(store, [new_event(key="k")]) for _ in range(50)))

    assert sorted(answer.outcome for [answer] in answers) == ["duplicate"] * 49 + ["new"]
    assert len({answer.id for [answer] in answers}) == 1


async def test_batch_with_one_impossible_event_stores_nothing(store: Store) -> None:
    good = new_event(7)
    await accept_events(store, [good])

    with pytest.raises(Exception):  # noqa: B017, PT011 - which one is the engine's affair
        await accept_events(store, [new_event(7), good])  # an id that exists already

    assert len(await store.history.events(EventQuery(scope=EVERYONE), Page(10))) == 1
    assert [answer.sequence for answer in await accept_events(store, [new_event()])] == [2]


async def test_failing_call_does_not_harm_those_that_share_its_commit(store: Store) -> None:
    good = new_event(7)
    await accept_events(store, [good])
    answers = await asyncio.gather(
        accept_events(store, [new_event()]),
        accept_events(store, [good]),
        accept_events(store, [new_event()]),
        return_exceptions=True,
    )

    assert isinstance(answers[1], Exception)
    assert sorted(a[0].sequence for a in answers if isinstance(a, list)) == [2, 3]


@pytest.mark.parametrize("body", [b'{ "a" :\t1.50 ,"b":"\\u00e5 \xc3\xa5"}\n', b'{"x":"' + b"y" * 200_000 + b'"}'])
async def test_body_is_kept_byte_for_byte(store: Store, body: bytes) -> None:
    [answer] = await accept_events(store, [new_event(body=body)])

    event = await store.history.event(answer.id, EVERYONE)
    assert event is not None
    assert event.body == body


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 255, 256, 257, 600])
async def test_batches_of_every_size_are_stored_whole(store: Store, count: int) -> None:
    await accept_events(store, [new_event(7) for _ in range(count)])

    assert [event.sequence for event in await store.history.events_after(1, 0, 1_000)] == list(range(1, count + 1))
    [book] = await store.history.delivery_counts(EVERYONE, recount=True)
    assert book.matched == book.pending == count


async def test_last_id_never_falls(engine: Engine) -> None:
    store = await engine.open()
    await accept_events(store, [new_event(7, at_ms=1)])
    before = await store.last_id()
    await store.queue.cancel([before], reason="test", now_ms=2)
    await store.maintenance.expire(before_ms=10, limit=10)
    await store.close()
    store = await engine.open()

    assert before > 0
    assert await store.last_id() >= before


async def test_closed_store_refuses_and_may_be_closed_again(store: Store) -> None:
    await store.close()
    await store.close()

    with pytest.raises(StoreUnavailableError):
        await accept_events(store, [new_event()])
    with pytest.raises(StoreUnavailableError):
        await store.history.events(EventQuery(scope=EVERYONE), Page(10))


async def test_refused_repeats_use_up_no_sequence_and_leave_no_delivery(store: Store) -> None:
    first = new_event(7, key="k")
    await accept_events(store, [first])
    repeats = [
        new_event(7, 8, key="k", lease_until_ms=START_MS + 100),
        new_event(7, 8, key="k", body=b'{"ClientId":9}'),
    ]
    await accept_events(store, repeats)
    [after] = await accept_events(store, [new_event()])

    assert after.sequence == 2
    assert [each.event_id for each in await store.history.deliveries(DeliveryQuery(scope=EVERYONE), Page(10))] == [
        first.id
    ]
    assert [await store.history.event(each.id, EVERYONE) for each in repeats] == [None, None]
    stored = await store.history.event(first.id, EVERYONE)
    assert stored is not None
    assert (stored.body, stored.idempotency_key) == (first.body, "k")


async def test_events_without_a_key_are_never_repeats(store: Store) -> None:
    answers = await accept_events(store, [new_event(), new_event()]) + await accept_events(store, [new_event()])

    assert [answer.outcome for answer in answers] == ["new"] * 3


async def test_keys_are_told_apart_to_the_letter(store: Store) -> None:
    keys = ["k", "K", "k ", "", "ｋ", "k\u0301", "SO-10023", "so-10023"]
    answers = await accept_events(store, [new_event(key=key) for key in keys])

    assert [answer.outcome for answer in answers] == ["new"] * len(keys)


async def test_key_of_an_expired_event_is_free_again(store: Store) -> None:
    await accept_events(store, [new_event(key="k", at_ms=1)])
    await store.maintenance.expire(before_ms=10, limit=10)

    assert [(answer.outcome, answer.sequence) for answer in await accept_events(store, [new_event(key="k")])] == [
        ("new", 2)
    ]


async def test_batch_that_failed_left_neither_a_key_nor_a_delivery(store: Store) -> None:
    known = new_event()
    await accept_events(store, [known])
    with pytest.raises(Exception):  # noqa: B017, PT011 - which one is the engine's affair
        await accept_events(store, [new_event(7, key="k"), known])

    assert await store.history.delivery_counts(EVERYONE) == []
    assert await store.queue.backlog() == []
    assert [answer.outcome for answer in await accept_events(store, [new_event(7, key="k")])] == ["new"]


async def test_event_is_read_back_as_it_was_accepted(engine: Engine) -> None:
    store = await engine.open()
    event = NewEvent(
        id=2**62, client_id=2**31 - 1, type="JobCompletedEvent", application_id=12, accepted_ms=START_MS,
        config_version=5, idempotency_key="schlüssel-鍵", traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01",
        body=b"{}", deliveries=(NewDelivery(2**62 + 1, 7), NewDelivery(2**62 + 2, 8)),
        warnings=(Fault("/StatusId", "is required"), Fault("/a~1ü", "is written A in the contract")),
    )  # fmt: skip
    await accept_events(store, [event])
    await store.close()
    store = await engine.open()

    assert await store.history.event(event.id, EVERYONE) == Event(
        id=event.id, client_id=event.client_id, sequence=1, type=event.type, application_id=12, accepted_ms=START_MS,
        config_version=5, match_count=2, idempotency_key=event.idempotency_key, traceparent=event.traceparent,
        body=b"{}", warnings=event.warnings,
    )  # fmt: skip
    assert await store.last_id() == 2**62 + 2


@pytest.mark.parametrize(
    "body",
    [b"", b"\x00", b"\xef\xbb\xbf{}", b'{"a":"\xff\xfe"}', b' {"a" : 1}\r\n\t', '{"a":"\u2028😀"}'.encode(), b"null"],
)
async def test_strange_bodies_are_kept_byte_for_byte(store: Store, body: bytes) -> None:
    [first] = await accept_events(store, [new_event(7, key="k", body=body)])
    answers = await accept_events(store, [new_event(key="k", body=body), new_event(key="k", body=body + b"x")])

    assert [answer.outcome for answer in answers] == ["duplicate", "conflict"]
    [after] = await store.history.events_after(1, 0, 10)
    [claimed] = await claim(store, 7)
    assert after.body == claimed.body == body
    assert (after.id, claimed.event_id) == (first.id, first.id)


async def test_nothing_accepted_is_nothing_done(store: Store) -> None:
    assert await accept_events(store, []) == []
    assert await store.last_id() == 0


async def test_last_id_counts_every_kind_of_id(engine: Engine) -> None:
    store = await engine.open()
    row = EndpointRow(
        id=50, client_id=1, revision=0, created_ms=1, updated_ms=1, deleted_ms=None, config=b"{}", sealed=b""
    )  # fmt: skip
    await store.registry.put_endpoint(row)
    assert await store.last_id() == 50
    [answer] = await accept_events(store, [new_event(7)])
    [delivery] = await store.history.deliveries(DeliveryQuery(scope=EVERYONE), Page(1))

    assert answer.id < delivery.id == await store.last_id()


async def test_last_id_counts_keys_and_replays_too(store: Store) -> None:
    await store.registry.put_key(Key(id=60, role="admin", client_ids=None, name="", digest=b"\x01", created_ms=1))
    assert await store.last_id() == 60
    await store.queue.put_replay(
        Replay(
            id=70, client_id=1, endpoint_id=7, since_ms=0, until_ms=1, types=(), only="all", state="running",
            cursor=0, looked_at=0, queued=0, created_ms=1, finished_ms=None,
        )
    )  # fmt: skip
    assert await store.last_id() == 70


BODY = b'{"ClientId":1,"Amount":100,"Extra":{"a":[1,true,null,"\xc3\xb6"],"b":1.5}}'


@pytest.mark.parametrize(
    "again",
    [
        b' {"ClientId": 1, "Amount": 100, "Extra": {"a": [1, true, null, "\xc3\xb6"], "b": 1.5}}\n',
        b'{"Extra":{"b":1.5,"a":[1,true,null,"\xc3\xb6"]},"Amount":100,"ClientId":1}',
        b'{"ClientId":1,"\\u0041mount":100,"Extra":{"a":[1,true,null,"\\u00f6"],"b":1.50}}',
        b'{"ClientId":1,"Amount":1.0e2,"Extra":{"a":[1,true,null,"\xc3\xb6"],"b":15e-1}}',
    ],
    ids=["spaces", "order", "escapes", "numbers"],
)
async def test_same_key_with_the_same_values_written_differently_is_a_duplicate(store: Store, again: bytes) -> None:
    first = new_event(key="k", type_="OrderPaymentReceivedEvent", body=BODY)
    second = new_event(key="k", type_="OrderPaymentReceivedEvent", body=again)

    await accept_events(store, [first])
    [answer] = await accept_events(store, [second])

    assert (answer.outcome, answer.id) == ("duplicate", first.id)
    stored = await store.history.event(first.id, EVERYONE)
    assert stored is not None
    assert stored.body == BODY


@pytest.mark.parametrize(
    "again",
    [
        BODY.replace(b"true", b"1"),
        BODY.replace(b"null", b'"null"'),
        BODY.replace(b'"b":1.5', b'"b":1.5,"c":null'),
        BODY.replace(b"[1,true", b"[true,1"),
        BODY.replace(b"100", b"99999999999999999999"),
        BODY.replace(b"\xc3\xb6", b"o\xcc\x88"),
        BODY[:-1],
    ],
)
def test_is_same_event_other_values_are_another_event(again: bytes) -> None:
    assert not is_same_event("OrderPaymentReceivedEvent", BODY, again)


def test_is_same_event_long_whole_numbers_are_told_apart() -> None:
    assert not is_same_event("X", b'{"a":99999999999999999999}', b'{"a":99999999999999999998}')


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), json_values, max_size=5))
def test_is_same_event_every_way_to_write_a_value_is_the_same(value: dict[str, object]) -> None:
    one = json.dumps(value, ensure_ascii=False, indent=2).encode()
    other = json.dumps(dict(reversed(value.items())), separators=(",", ":")).encode()

    assert is_same_event("X", one, other)
