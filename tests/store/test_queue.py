"""The queue: leases, fences, retries, and what people do to deliveries."""

from typing import get_args

import msgspec
import pytest
from stores import START_MS, Engine, accept_events, attempts_of, claim, new_event, new_replay, result

from commerce_event.core.model import DeliveryKind, DeliveryState, Scope
from commerce_event.store.model import Claimed, ClaimRequest, DeliveryQuery, EndpointBacklog, EndpointRow, Page
from commerce_event.store.port import Store

EVERYONE = Scope.everyone()
LATER_MS = START_MS + 60_000


def row(endpoint_id: int) -> EndpointRow:
    return EndpointRow(
        id=endpoint_id, client_id=1, revision=0, created_ms=1, updated_ms=1, deleted_ms=None, config=b"{}", sealed=b"s"
    )


async def test_waiting_delivery_is_claimed_with_its_event_and_attempt_1(store: Store) -> None:
    [answer] = await accept_events(store, [new_event(7, body=b'{"n":1}')])
    [claimed] = await claim(store, 7)

    assert (claimed.number, claimed.failure_count, claimed.event_id, claimed.sequence) == (1, 0, answer.id, 1)
    assert claimed.body == b'{"n":1}'
    assert claimed.run_id == store.run_id
    assert await claim(store, 7) == []


async def test_claims_are_oldest_due_first_and_never_more_than_wanted(store: Store) -> None:
    late, early = new_event(7, at_ms=START_MS - 10), new_event(7, at_ms=START_MS - 20)
    await accept_events(store, [late, early])

    assert [each.event_id for each in await claim(store, 7, limit=1)] == [early.id]
    assert [each.event_id for each in await claim(store, 7, limit=5)] == [late.id]


async def test_what_is_due_in_the_future_is_not_claimed(store: Store) -> None:
    await accept_events(store, [new_event(7, at_ms=START_MS + 1)])

    assert await claim(store, 7, now_ms=START_MS) == []
    assert len(await claim(store, 7, now_ms=START_MS + 1)) == 1


async def test_first_tries_and_retries_are_claimed_apart(store: Store) -> None:
    await accept_events(store, [new_event(7), new_event(7)])
    [first] = await claim(store, 7, limit=1)
    await store.queue.settle([result(first, "pending", due_ms=START_MS)])

    assert [each.number for each in await claim(store, 7, retrying=True)] == [2]
    assert [each.number for each in await claim(store, 7, retrying=False)] == [1]


async def test_bulk_deliveries_are_claimed_apart_from_others(store: Store) -> None:
    await accept_events(store, [new_event(7, bulk=True), new_event(7), new_event(7, bulk=True)])

    [first] = await claim(store, 7)
    assert not first.bulk
    assert await store.queue.backlog() == [
        EndpointBacklog(7, DeliveryKind.RETRY, first.lease_until_ms),
        EndpointBacklog(7, DeliveryKind.BULK, START_MS),
    ]
    bulk = await claim(store, 7, bulk=True)
    assert [each.bulk for each in bulk] == [True, True]


async def test_bulk_deliveries_stay_bulk_when_retried_released_requeued_and_taken_over(store: Store) -> None:
    await accept_events(store, [new_event(7, bulk=True)])
    [claimed] = await claim(store, 7, bulk=True)
    await store.queue.settle([result(claimed, "pending", due_ms=START_MS, failure_count=1)])
    assert await claim(store, 7, retrying=True) == []

    [again] = await claim(store, 7, bulk=True)
    assert (again.number, again.failure_count) == (2, 1)
    await store.queue.release_claims([again], now_ms=START_MS)
    [again] = await claim(store, 7, bulk=True)
    assert again.number == 2
    await store.queue.settle([result(again, "dead", reason="gave up")])
    assert await store.queue.requeue([again.delivery_id], now_ms=START_MS) == 1

    [third] = await claim(store, 7, bulk=True, lease_ms=10)
    assert third.number == 3
    assert await claim(store, 7, retrying=True, now_ms=START_MS + 10) == []
    [fourth] = await claim(store, 7, bulk=True, now_ms=START_MS + 10)  # the lease has ended
    assert (fourth.number, fourth.bulk) == (4, True)


async def test_order_of_a_key_holds_across_bulk_and_other_deliveries(store: Store) -> None:
    ids = [
        new.deliveries[0].id
        for new in (new_event(7, order_key="a", bulk=True), new_event(7, order_key="a"), new_event(7, order_key="a"))
        for _ in await accept_events(store, [new])
    ]

    assert await claim(store, 7) == []
    [first] = await claim(store, 7, bulk=True)
    await store.queue.settle([result(first)])
    [second] = await claim(store, 7, now_ms=LATER_MS)
    await store.queue.settle([result(second)])
    [third] = await claim(store, 7, now_ms=LATER_MS)
    assert [first.delivery_id, second.delivery_id, third.delivery_id] == ids


async def test_oldest_due_time_of_an_endpoint_counts_bulk_deliveries(store: Store) -> None:
    await accept_events(store, [new_event(7, bulk=True)])
    await accept_events(store, [new_event(7, at_ms=START_MS + 5)])

    [counts] = await store.history.delivery_counts(Scope.everyone())
    assert counts.oldest_due_ms == START_MS


async def test_several_endpoints_are_claimed_in_one_call(store: Store) -> None:
    await accept_events(store, [new_event(7, 8, 9)])
    claimed = await store.queue.claim(
        [ClaimRequest(7, DeliveryKind.FIRST, 5), ClaimRequest(9, DeliveryKind.FIRST, 5)],
        now_ms=START_MS,
        lease_until_ms=START_MS + 15_000,
    )

    assert sorted(each.endpoint_id for each in claimed) == [7, 9]


async def test_delivery_leased_at_birth_is_not_claimable_until_the_lease_runs_out(store: Store) -> None:
    await accept_events(store, [new_event(7, lease_until_ms=START_MS + 100)])

    assert await claim(store, 7, retrying=True, now_ms=START_MS + 99) == []
    [again] = await claim(store, 7, retrying=True, now_ms=START_MS + 100)
    assert (again.number, again.failure_count) == (2, 0)


async def test_attempt_whose_lease_ran_out_is_recorded_as_interrupted(store: Store) -> None:
    await accept_events(store, [new_event(7)])
    [lost] = await claim(store, 7)
    [again] = await claim(store, 7, retrying=True, now_ms=LATER_MS)
    await store.queue.settle([result(again)])

    attempts = await attempts_of(store, lost.delivery_id)
    assert [(each.number, each.error, each.status) for each in attempts] == [(1, "interrupted", None), (2, None, 200)]


async def test_late_result_is_fenced_off_and_leaves_no_trace(store: Store) -> None:
    await accept_events(store, [new_event(7), new_event(7)])
    lost, kept = await claim(store, 7)
    [again] = await claim(store, 7, retrying=True, now_ms=LATER_MS, limit=1)
    late, fine = (lost, kept) if again.delivery_id == lost.delivery_id else (kept, lost)

    assert await store.queue.settle([result(late), result(fine)]) == [False, True]
    assert await store.queue.settle([result(again)]) == [True]
    assert await store.queue.settle([result(again)]) == [False]


async def test_leases_of_a_former_run_are_claimable_at_once_and_their_results_fenced_off(engine: Engine) -> None:
    store = await engine.open()
    await accept_events(store, [new_event(7)])
    [lost] = await claim(store, 7)
    await store.close()
    store = await engine.open()

    assert store.run_id != lost.run_id
    [again] = await claim(store, 7, retrying=True)
    assert (again.delivery_id, again.number) == (lost.delivery_id, 2)
    assert await store.queue.settle([result(lost)]) == [False]


async def test_failed_attempt_is_due_again_at_its_time(store: Store) -> None:
    await accept_events(store, [new_event(7)])
    [first] = await claim(store, 7)
    await store.queue.settle([result(first, "pending", due_ms=START_MS + 5_000, status=500, error="http_500")])

    assert await store.queue.backlog() == [EndpointBacklog(7, DeliveryKind.RETRY, START_MS + 5_000)]
    assert await claim(store, 7, retrying=True, now_ms=START_MS + 4_999) == []
    [again] = await claim(store, 7, retrying=True, now_ms=START_MS + 5_000)
    assert (again.number, again.failure_count) == (2, 1)


async def test_waiting_shows_each_endpoint_and_kind_with_its_earliest_time(store: Store) -> None:
    await accept_events(store, [new_event(7, 8, at_ms=START_MS - 5), new_event(8, at_ms=START_MS - 9)])
    [retried] = await claim(store, 7)
    await store.queue.settle([result(retried, "pending", due_ms=START_MS + 9)])

    assert sorted(await store.queue.backlog(), key=lambda each: each.endpoint_id) == [
        EndpointBacklog(7, DeliveryKind.RETRY, START_MS + 9),
        EndpointBacklog(8, DeliveryKind.FIRST, START_MS - 9),
    ]


async def test_finished_deliveries_leave_the_queue(store: Store) -> None:
    await accept_events(store, [new_event(7), new_event(7), new_event(7)])
    one, two, three = await claim(store, 7)
    await store.queue.settle([result(one), result(two, "dead", reason="attempts_exhausted")])
    await store.queue.cancel([three.delivery_id], reason="test", now_ms=START_MS)

    assert await store.queue.backlog() == []
    found = await store.history.deliveries(DeliveryQuery(scope=EVERYONE), Page(10))
    assert [(each.state, each.reason) for each in found] == [
        ("cancelled", "test"),
        ("dead", "attempts_exhausted"),
        ("delivered", None),
    ]


async def test_answer_is_kept_byte_for_byte(store: Store) -> None:
    await accept_events(store, [new_event(7)])
    [claimed] = await claim(store, 7)
    headers = (("x-å", "1"), ("x-å", "2"))
    await store.queue.settle([result(claimed, response_headers=headers, response_body=b"\x00\xff\r\n")])

    [attempt] = await attempts_of(store, claimed.delivery_id)
    assert (attempt.response_headers, attempt.response_body) == (headers, b"\x00\xff\r\n")
    assert await store.history.recent_attempts(7, 5) == [attempt]


async def test_claim_that_was_not_sent_can_be_given_back(store: Store) -> None:
    await accept_events(store, [new_event(7)])
    claimed = await claim(store, 7)
    await store.queue.release_claims(claimed, now_ms=START_MS)

    [again] = await claim(store, 7)
    assert again.number == 1
    await store.queue.settle([result(again)])
    assert [each.number for each in await attempts_of(store, again.delivery_id)] == [1]


async def test_giving_back_what_is_no_longer_ours_changes_nothing(store: Store) -> None:
    await accept_events(store, [new_event(7)])
    claimed = await claim(store, 7)
    await store.queue.settle([result(claimed[0])])
    await store.queue.release_claims(claimed, now_ms=START_MS)

    assert await store.queue.backlog() == []


async def test_pending_deliveries_are_ended_in_steps_and_those_under_way_are_left(store: Store) -> None:
    await accept_events(store, [new_event(7) for _ in range(5)])
    await claim(store, 7, limit=1)
    ended = [
        await store.queue.finish_pending(7, state="dead", reason="gone", now_ms=START_MS, limit=3),
        await store.queue.finish_pending(7, state="dead", reason="gone", now_ms=START_MS, limit=3),
        await store.queue.finish_pending(7, state="dead", reason="gone", now_ms=START_MS, limit=3),
    ]

    assert ended == [3, 1, 0]
    [book] = await store.history.delivery_counts(EVERYONE, recount=True)
    assert (book.dead, book.pending, book.difference) == (4, 1, 0)


async def test_nothing_is_ended_for_an_endpoint_that_was_changed_since(store: Store) -> None:
    off = await store.registry.put_endpoint(row(7))
    await accept_events(store, [new_event(7), new_event(7)])

    assert await store.queue.finish_pending(7, state="dead", reason="gone", now_ms=START_MS, limit=1, revision=off) == 1
    on = await store.registry.put_endpoint(row(7))
    assert await store.queue.finish_pending(7, state="dead", reason="gone", now_ms=START_MS, limit=9, revision=off) == 0
    assert await store.queue.finish_pending(7, state="dead", reason="gone", now_ms=START_MS, limit=9, revision=on) == 1


async def test_requeued_delivery_has_a_fresh_budget(store: Store) -> None:
    await accept_events(store, [new_event(7), new_event(7)])
    dead, cancelled = await claim(store, 7)
    await store.queue.settle([result(dead, "dead", failure_count=17, reason="attempts_exhausted")])
    await store.queue.cancel([cancelled.delivery_id], reason="test", now_ms=START_MS)
    both = [dead.delivery_id, cancelled.delivery_id]

    assert await store.queue.requeue(both, now_ms=LATER_MS) == 2
    again = await claim(store, 7, retrying=True, now_ms=LATER_MS)
    assert [(each.number, each.failure_count) for each in again] == [(2, 0), (2, 0)]


async def test_requeue_makes_a_pending_delivery_due_now(store: Store) -> None:
    await accept_events(store, [new_event(7)])
    [first] = await claim(store, 7)
    await store.queue.settle([result(first, "pending", due_ms=LATER_MS)])
    await store.queue.requeue([first.delivery_id], now_ms=START_MS)

    assert len(await claim(store, 7, retrying=True, now_ms=START_MS)) == 1


async def test_requeue_skips_delivered_and_claimed_deliveries(store: Store) -> None:
    await accept_events(store, [new_event(7), new_event(7)])
    arrived, under_way = await claim(store, 7)
    await store.queue.settle([result(arrived)])

    assert await store.queue.requeue([arrived.delivery_id, under_way.delivery_id], now_ms=START_MS) == 0


async def test_cancelling_fences_off_the_attempt_under_way_and_keeps_it_on_record(store: Store) -> None:
    await accept_events(store, [new_event(7)])
    [claimed] = await claim(store, 7)

    assert await store.queue.cancel([claimed.delivery_id], reason="test", now_ms=START_MS) == 1
    assert await store.queue.settle([result(claimed)]) == [False]
    assert [each.error for each in await attempts_of(store, claimed.delivery_id)] == ["interrupted"]
    assert await store.queue.cancel([claimed.delivery_id], reason="again", now_ms=START_MS) == 0


async def test_due_times_move_with_the_clock(store: Store) -> None:
    await accept_events(store, [new_event(7)])
    [first] = await claim(store, 7)
    await store.queue.settle([result(first, "pending", due_ms=START_MS + 5_000)])
    await store.maintenance.shift_due(3_600_000)

    assert await store.queue.backlog() == [EndpointBacklog(7, DeliveryKind.RETRY, START_MS + 3_605_000)]


async def test_delivery_leased_at_birth_can_be_settled_without_claiming_it(store: Store) -> None:
    event = new_event(7, lease_until_ms=START_MS + 100)
    [answer] = await accept_events(store, [event])
    delivery_id = event.deliveries[0].id
    under_way = await store.history.delivery(delivery_id, EVERYONE)
    assert under_way is not None
    assert (under_way.state, under_way.attempt_count, under_way.leased) == ("pending", 1, True)

    held = Claimed(
        delivery_id=delivery_id, endpoint_id=7, number=1, failure_count=0, run_id=store.run_id,
        lease_until_ms=START_MS + 100, replay_id=None, event_id=answer.id, client_id=1, sequence=1, type=event.type,
        traceparent=None, body=event.body,
    )  # fmt: skip
    assert await store.queue.settle([result(held)]) == [True]
    assert [each.number for each in await attempts_of(store, delivery_id)] == [1]
    done = await store.history.delivery(delivery_id, EVERYONE)
    assert done is not None
    assert (done.state, done.attempt_count, done.due_ms, done.leased) == ("delivered", 1, None, False)


async def test_lease_at_birth_of_a_former_run_is_claimable_at_once(engine: Engine) -> None:
    store = await engine.open()
    event = new_event(7, lease_until_ms=START_MS + 100_000)
    await accept_events(store, [event])
    await store.close()
    store = await engine.open()

    [again] = await claim(store, 7, retrying=True)
    assert (again.delivery_id, again.number, again.failure_count) == (event.deliveries[0].id, 2, 0)
    await store.queue.settle([result(again)])
    assert [each.error for each in await attempts_of(store, again.delivery_id)] == ["interrupted", None]


async def test_late_result_counts_until_another_run_claims_the_delivery(store: Store) -> None:
    await accept_events(store, [new_event(7)])
    [claimed] = await claim(store, 7, lease_ms=10)

    assert await store.queue.settle([result(claimed, started_ms=LATER_MS)]) == [True]
    assert await claim(store, 7, retrying=True, now_ms=LATER_MS) == []


async def test_fenced_off_result_changes_neither_state_nor_attempts_nor_counts(store: Store) -> None:
    await accept_events(store, [new_event(7)])
    [lost] = await claim(store, 7)
    [again] = await claim(store, 7, retrying=True, now_ms=LATER_MS)
    before = (await store.history.delivery(lost.delivery_id, EVERYONE), await attempts_of(store, lost.delivery_id))
    books = await store.history.delivery_counts(EVERYONE)

    for state in get_args(DeliveryState):
        late = result(lost, state, due_ms=START_MS if state == "pending" else None)
        assert await store.queue.settle([late]) == [False]
    assert (
        await store.history.delivery(lost.delivery_id, EVERYONE),
        await attempts_of(store, lost.delivery_id),
    ) == before
    assert await store.history.delivery_counts(EVERYONE) == books
    assert await store.queue.settle([result(again)]) == [True]


async def test_result_for_a_delivery_that_does_not_exist_is_fenced_off(store: Store) -> None:
    await accept_events(store, [new_event(7), new_event(7)])
    one, two = await claim(store, 7)
    stranger = msgspec.structs.replace(result(one), delivery_id=999_999_999)

    assert await store.queue.settle([stranger, result(two)]) == [False, True]
    assert await attempts_of(store, 999_999_999) == []


async def test_lease_of_a_former_run_is_taken_back_when_opening(engine: Engine) -> None:
    store = await engine.open()
    await accept_events(store, [new_event(7)])
    [lost] = await claim(store, 7)
    await store.close()
    store = await engine.open()

    taken_back = await store.history.delivery(lost.delivery_id, EVERYONE)
    assert taken_back is not None
    assert not taken_back.leased  # nobody is sending it
    assert await store.queue.settle([result(lost)]) == [False]
    assert await store.queue.requeue([lost.delivery_id], now_ms=START_MS) == 1


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_a_lost_attempt_held_is_ended_with_its_endpoint(engine: Engine, restarted: bool) -> None:
    store = await engine.open()
    await accept_events(store, [new_event(7)])
    [lost] = await claim(store, 7)
    if restarted:
        await store.close()
        store = await engine.open()

    ended = await store.queue.finish_pending(7, state="cancelled", reason="endpoint_deleted", now_ms=LATER_MS, limit=10)
    assert ended == 1
    assert await store.queue.backlog() == []
    assert [each.error for each in await attempts_of(store, lost.delivery_id)] == ["interrupted"]
    assert await store.queue.settle([result(lost)]) == [False]


async def test_requeue_and_the_progress_of_its_replay_are_one_commit(store: Store) -> None:
    await accept_events(store, [new_event(7), new_event(7)])
    one, two = await claim(store, 7)
    await store.queue.settle([result(one, "dead", reason="gone"), result(two)])

    step = new_replay(50, queued=3, cursor=two.delivery_id, looked_at=2)
    await store.queue.requeue([one.delivery_id, two.delivery_id], now_ms=START_MS, replay=step)

    assert await store.history.replay(50) == new_replay(50, queued=4, cursor=two.delivery_id, looked_at=2)


async def test_deliveries_can_be_paged_from_the_oldest(store: Store) -> None:
    await accept_events(store, [new_event(7) for _ in range(5)])
    query = DeliveryQuery(scope=Scope.everyone(), endpoint_id=7)
    newest_first = [each.id for each in await store.history.deliveries(query, Page(9))]

    first = [each.id for each in await store.history.deliveries(query, Page(3, after=0))]
    rest = [each.id for each in await store.history.deliveries(query, Page(3, after=first[-1]))]

    assert first + rest == newest_first[::-1]


async def test_requeued_delivery_belongs_to_the_replay_that_requeued_it(store: Store) -> None:
    await accept_events(store, [new_event(7), new_event(7)])
    one, two = await claim(store, 7)
    await store.queue.settle([result(one, "dead", reason="attempts_exhausted"), result(two)])
    assert await store.queue.requeue([one.delivery_id, two.delivery_id], now_ms=START_MS, replay=new_replay(50)) == 1

    assert await store.history.replay_states(50) == {"pending": 1}
    [again] = await claim(store, 7, retrying=True)
    assert again.replay_id == 50
    await store.queue.settle([result(again)])
    assert await store.history.replay_states(50) == {"delivered": 1}
    assert [
        each.id for each in await store.history.deliveries(DeliveryQuery(scope=EVERYONE, replay_id=50), Page(9))
    ] == [one.delivery_id]


async def test_requeue_of_a_waiting_retry_resets_its_budget(store: Store) -> None:
    await accept_events(store, [new_event(7)])
    [first] = await claim(store, 7)
    await store.queue.settle([result(first, "pending", due_ms=LATER_MS, failure_count=16)])
    assert await store.queue.requeue([first.delivery_id], now_ms=START_MS) == 1

    [again] = await claim(store, 7, retrying=True)
    assert (again.number, again.failure_count) == (2, 0)


async def test_unknown_deliveries_are_passed_over(store: Store) -> None:
    event = new_event(7)
    await accept_events(store, [event])
    known = event.deliveries[0].id

    assert await store.queue.cancel([1, known, 2], reason="by hand", now_ms=START_MS) == 1
    assert await store.queue.requeue([1, known, 2], now_ms=START_MS) == 1
    assert await store.queue.cancel([known, known], reason="by hand", now_ms=START_MS) == 1
    assert await store.queue.requeue([known, known], now_ms=START_MS) == 1
    [book] = await store.history.delivery_counts(EVERYONE, recount=True)
    assert (book.matched, book.pending, book.difference) == (1, 1, 0)


async def test_answer_has_every_detail_of_the_attempt(store: Store) -> None:
    await accept_events(store, [new_event(7)])
    [claimed] = await claim(store, 7)
    body = bytes(range(256)) * 4
    headers = (("Set-Cookie", "a=1"), ("set-cookie", "b=2"), ("x-odd", "\xe5\x80\t"), ("empty", ""))
    settlement = result(
        claimed, "pending", due_ms=LATER_MS, started_ms=START_MS + 7, duration_ms=12.75, status=503, error="http_503",
        response_headers=headers, response_body=body,
    )  # fmt: skip
    await store.queue.settle([settlement])

    assert await attempts_of(store, claimed.delivery_id) == [settlement.attempt]


async def test_recent_attempts_are_the_last_ones_of_the_newest_finished(store: Store) -> None:
    await accept_events(store, [new_event(7) for _ in range(3)] + [new_event(8)])
    held = await claim(store, 7) + await claim(store, 8)
    for number, each in enumerate(held):
        await store.queue.settle([result(each, started_ms=START_MS + number, status=200 + number)])

    assert [each.status for each in await store.history.recent_attempts(7, 2)] == [202, 201]
    assert [each.status for each in await store.history.recent_attempts(8, 9)] == [203]
    assert await store.history.recent_attempts(9, 9) == []


async def test_leases_move_with_the_clock(store: Store) -> None:
    await accept_events(store, [new_event(7)])
    await claim(store, 7, lease_ms=1_000)
    await store.maintenance.shift_due(-500)

    assert await claim(store, 7, retrying=True, now_ms=START_MS + 499) == []
    assert len(await claim(store, 7, retrying=True, now_ms=START_MS + 500)) == 1


async def test_counts_have_the_time_of_the_oldest_due_delivery(store: Store) -> None:
    await accept_events(store, [new_event(7, at_ms=START_MS - 9), new_event(7, at_ms=START_MS - 5)])
    assert [book.oldest_due_ms for book in await store.history.delivery_counts(EVERYONE)] == [START_MS - 9]
    await store.queue.settle([result(each) for each in await claim(store, 7)])

    assert [book.oldest_due_ms for book in await store.history.delivery_counts(EVERYONE)] == [None]


async def test_delivery_whose_event_is_lost_is_visibly_dead_and_holds_no_other_up(engine: Engine) -> None:
    store = await engine.open()
    lost, tried, behind = (new_event(7, order_key=key) for key in ("a", None, "a"))
    await accept_events(store, [lost, tried, behind])
    [first] = [each for each in await claim(store, 7) if each.event_id == tried.id]
    await store.queue.settle([result(first, "pending", due_ms=START_MS)])
    await store.close()
    for event in (lost, tried):
        await engine.lose(event.id)
    store = await engine.open()

    for retrying in (False, True):
        assert await claim(store, 7, retrying=retrying, now_ms=LATER_MS) == []
    for event in (lost, tried):
        found = await store.history.delivery(event.deliveries[0].id, EVERYONE)
        assert found is not None
        assert (found.state, found.reason, found.attempt_count) == ("dead", "damaged", 1)
    assert [each.event_id for each in await claim(store, 7, now_ms=LATER_MS)] == [behind.id]
    [book] = await store.history.delivery_counts(EVERYONE, recount=True)
    assert (book.dead, book.pending, book.difference) == (2, 1, 0)
