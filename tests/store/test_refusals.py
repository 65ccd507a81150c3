"""Refused events: kept within limits, closed once, never across the tenants' wall."""

import asyncio
import itertools
from typing import Any

from stores import START_MS, Engine

from commerce_event.core import ids
from commerce_event.core.model import Refusal, Scope, client_owner
from commerce_event.core.problems import Fault
from commerce_event.core.refusal_limits import RefusalLimits
from commerce_event.store.model import Page, RefusalQuery
from commerce_event.store.port import Store

EVERYONE = Scope.everyone()
ALL = Page(10_000)
COUNTER = itertools.count()
LIMITS = RefusalLimits(owner_count=3, owner_bytes=1_000, total_count=5, total_bytes=10_000)


def refusal(client: int | None = 1, at_ms: int = START_MS, **fields: Any) -> Refusal:
    given: dict[str, Any] = {
        "id": ids.at_time(at_ms) + next(COUNTER), "at_ms": at_ms, "client_id": client, "type": "OrderConfirmedEvent", "key_id": 5,
        "owner": "key 5" if client is None else client_owner(client), "key_name": "shop", "status": 422,
        "detail": "This OrderConfirmedEvent breaks the contract in 1 place.", "faults": (Fault("/OrderId", "is required"),),
        "body": b'{"ClientId": 1}\x00\xff', "label": "Order 1",
    }  # fmt: skip
    given |= fields
    return Refusal(**{"size": len(given["body"]), **given})


async def found(store: Store, scope: Scope = EVERYONE, page: Page = ALL, **conditions: Any) -> list[int]:
    return [each.id for each in await store.refusals.refusals(RefusalQuery(scope=scope, **conditions), page)]


async def test_refusal_reads_back_as_it_was_added(store: Store) -> None:
    made = [
        refusal(),
        refusal(None, type=None, faults=(), status=404, key_id=0, key_name=""),
        refusal(2, faults=(Fault("/a\0~1", "Überzählig"),), type="Ünknown"),
    ]
    await store.refusals.add(made)
    assert [await store.refusals.refusal(each.id, EVERYONE) for each in made] == made
    listed = await store.refusals.refusals(RefusalQuery(scope=EVERYONE), ALL)
    assert [each.id for each in listed] == [each.id for each in made[::-1]]
    assert {each.body for each in listed} == {b""}
    assert listed[-1].faults == made[0].faults


async def test_refusals_of_another_client_or_of_none_are_not_found(store: Store) -> None:
    own, foreign, unknown = refusal(1), refusal(2), refusal(None)
    await store.refusals.add([own, foreign, unknown])
    assert await found(store, Scope.of(1)) == [own.id]
    assert await found(store, Scope.of(1, 2)) == [foreign.id, own.id]
    assert await found(store, Scope.of()) == []
    assert await store.refusals.refusal(foreign.id, Scope.of(1)) is None
    assert await store.refusals.refusal(unknown.id, Scope.of(1, 2)) is None
    assert await store.refusals.count_open(Scope.of(1), limit=10) == 1
    assert await store.refusals.count_open(EVERYONE, limit=10) == 3
    assert await store.refusals.count_open(EVERYONE, limit=2) == 2


async def test_refusals_are_listed_by_type_state_time_and_page(store: Store) -> None:
    made = [refusal(at_ms=START_MS + number, type=f"T{number % 2}") for number in range(6)]
    await store.refusals.add(made)
    await store.refusals.discard(made[0].id, None, now_ms=START_MS)
    ids_ = [each.id for each in made[::-1]]
    assert await found(store, type="T1") == ids_[::2]
    assert await found(store, state="discarded") == ids_[5:]
    assert await found(store, state="open") == ids_[:5]
    assert await found(store, since_ms=START_MS + 2, until_ms=START_MS + 3) == ids_[2:4]
    assert await found(store, page=Page(2)) == ids_[:2]
    assert await found(store, page=Page(2, before=ids_[1])) == ids_[2:4]


async def test_add_beyond_the_count_deletes_the_oldest_of_that_owner(store: Store) -> None:
    other = refusal(2)
    made = [refusal() for _ in range(6)]
    await store.refusals.add([other], limits=LIMITS)
    for each in made:
        await store.refusals.add([each], limits=LIMITS)
    assert await found(store) == [*(each.id for each in made[:2:-1]), other.id]


async def test_add_beyond_the_bytes_deletes_the_oldest_of_that_owner(store: Store) -> None:
    other = refusal(2, body=b"x" * 900)
    made = [refusal(body=b"x" * size) for size in (300, 300, 600)]
    await store.refusals.add([other, *made], limits=LIMITS)
    assert await found(store) == [made[2].id, made[1].id, other.id]


async def test_add_of_one_larger_than_the_limit_keeps_none_of_that_owner(store: Store) -> None:
    other = refusal(2)
    await store.refusals.add([other, refusal(), refusal(body=b"x" * 1_001)], limits=LIMITS)
    assert await found(store) == [other.id]


async def test_add_beyond_the_total_deletes_of_those_who_hold_most(store: Store) -> None:
    one = [refusal(1)]
    two = [refusal(2) for _ in range(3)]
    three = [refusal(3) for _ in range(3)]
    await store.refusals.add([*one, *two, *three], limits=LIMITS)
    assert await found(store) == [three[2].id, three[1].id, two[2].id, two[1].id, one[0].id]


async def test_flood_of_one_owner_keeps_closed_ones_and_those_of_others(store: Store) -> None:
    closed, other, unknown = refusal(), refusal(2), refusal(None)
    await store.refusals.add([closed, other, unknown], limits=LIMITS)
    assert await store.refusals.accept(closed.id, 77, now_ms=START_MS, limits=LIMITS)
    flood = [refusal() for _ in range(50)]
    await store.refusals.add(flood, limits=LIMITS)
    assert await found(store) == [*(each.id for each in flood[:-4:-1]), unknown.id, other.id, closed.id]


async def test_closing_beyond_the_count_deletes_the_oldest_closed_ones(store: Store) -> None:
    made = [refusal() for _ in range(5)]
    for each in made:
        await store.refusals.add([each], limits=LIMITS)
        assert await store.refusals.discard(each.id, None, now_ms=START_MS, limits=LIMITS)
    assert await found(store) == [each.id for each in made[:1:-1]]


async def test_accept_records_the_event_once(store: Store) -> None:
    made = refusal()
    await store.refusals.add([made])
    assert await store.refusals.begin_acceptance(made.id, 1) == 1
    assert await store.refusals.accept(made.id, 77, now_ms=START_MS + 5)
    assert not await store.refusals.accept(made.id, 78, now_ms=START_MS + 6)
    assert not await store.refusals.discard(made.id, "too late", now_ms=START_MS + 6)
    assert await store.refusals.begin_acceptance(made.id, 1) is None
    read = await store.refusals.refusal(made.id, EVERYONE)
    assert read is not None
    assert (read.state, read.event_id, read.closed_ms, read.reason) == ("accepted", 77, START_MS + 5, None)
    assert await store.refusals.count_open(EVERYONE, limit=10) == 0


async def test_discard_records_the_reason_and_ends_it(store: Store) -> None:
    made = refusal()
    await store.refusals.add([made])
    assert await store.refusals.discard(made.id, "a test", now_ms=START_MS + 5)
    assert not await store.refusals.discard(made.id, "again", now_ms=START_MS + 6)
    assert await store.refusals.begin_acceptance(made.id, 1) is None
    read = await store.refusals.refusal(made.id, EVERYONE)
    assert read is not None
    assert (read.state, read.event_id, read.closed_ms, read.reason) == ("discarded", None, START_MS + 5, "a test")


async def test_begin_acceptance_holds_the_first_client_until_it_is_cancelled(store: Store) -> None:
    made = refusal()
    await store.refusals.add([made])
    assert await store.refusals.begin_acceptance(made.id, 1) == 1
    assert await store.refusals.begin_acceptance(made.id, 2) == 1
    assert not await store.refusals.discard(made.id, None, now_ms=START_MS)
    await store.refusals.cancel_acceptance(made.id)
    assert await store.refusals.begin_acceptance(made.id, 2) == 2


async def test_cancel_acceptance_of_one_of_two_holds_the_client(store: Store) -> None:
    made = refusal()
    await store.refusals.add([made])
    for client in (1, 1, 2):
        assert await store.refusals.begin_acceptance(made.id, client) == 1
    await store.refusals.cancel_acceptance(made.id)
    assert await store.refusals.begin_acceptance(made.id, 2) == 1
    await store.refusals.cancel_acceptance(made.id)
    assert await store.refusals.begin_acceptance(made.id, 2) == 2


async def test_begin_acceptance_by_many_at_once_has_one_client(store: Store) -> None:
    made = refusal()
    await store.refusals.add([made])
    answers = await asyncio.gather(*(store.refusals.begin_acceptance(made.id, client) for client in range(1, 9)))
    assert len(set(answers)) == 1


async def test_add_of_one_that_is_stored_changes_nothing(store: Store) -> None:
    made = refusal()
    await store.refusals.add([made])
    await store.refusals.discard(made.id, None, now_ms=START_MS)
    await store.refusals.add([made])
    assert await found(store, state="discarded") == [made.id]


async def test_unknown_refusal_is_neither_found_nor_changed(store: Store) -> None:
    assert await store.refusals.refusal(1, EVERYONE) is None
    assert await store.refusals.begin_acceptance(1, 1) is None
    assert not await store.refusals.accept(1, 2, now_ms=START_MS)
    assert not await store.refusals.discard(1, None, now_ms=START_MS)
    assert await store.refusals.oldest_ms() is None


async def test_expire_deletes_older_refusals_in_steps(store: Store) -> None:
    made = [refusal(at_ms=START_MS + number) for number in range(5)]
    await store.refusals.add(made)
    await store.refusals.discard(made[1].id, None, now_ms=START_MS)
    assert await store.refusals.oldest_ms() == START_MS
    steps = [await store.refusals.expire(before_ms=START_MS + 3, limit=2) for _ in range(3)]
    assert steps == [2, 1, 0]
    assert await found(store) == [made[4].id, made[3].id]


async def test_last_id_counts_refusals_also_after_they_expired(store: Store) -> None:
    made = refusal(at_ms=START_MS + 1_000)
    await store.refusals.add([made])
    assert await store.last_id() == made.id
    await store.refusals.expire(before_ms=START_MS + 2_000, limit=9)
    assert await store.last_id() == made.id
    assert made.id > ids.at_time(START_MS)


async def test_refusals_outlive_a_restart(engine: Engine) -> None:
    store = await engine.open()
    made = refusal()
    await store.refusals.add([made])
    await store.close()
    store = await engine.open()
    assert await store.refusals.refusal(made.id, EVERYONE) == made
