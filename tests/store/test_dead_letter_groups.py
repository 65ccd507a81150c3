"""Dead letters, grouped by what they died of."""

from stores import START_MS, accept_events, claim, new_event, result

from commerce_event.core.model import Scope
from commerce_event.store.model import DeliveryQuery, Page
from commerce_event.store.port import Store

EVERYONE = Scope.everyone()


async def die(store: Store, endpoint: int, *errors: str, client: int = 1) -> None:
    for number, error in enumerate(errors):
        await accept_events(store, [new_event(endpoint, client=client, at_ms=START_MS + number)])
        (claimed,) = await claim(store, endpoint, now_ms=START_MS + number)
        settled = result(claimed, "dead", reason="attempts_exhausted", status=None, error=error)
        assert await store.queue.settle([settled]) == [True]


async def test_dead_letters_that_ended_alike_are_one_group_the_largest_first(store: Store) -> None:
    await die(store, 7, "timeout", "http_500", "http_500")
    await die(store, 8, "timeout", "timeout", "timeout")

    found = await store.history.dead_groups(EVERYONE, endpoint_id=None, limit=100)

    assert [(g.endpoint_id, g.reason, g.error, g.count) for g in found] == [
        (8, "attempts_exhausted", "timeout", 3),
        (7, "attempts_exhausted", "http_500", 2),
        (7, "attempts_exhausted", "timeout", 1),
    ]
    assert (found[0].oldest_ms, found[0].newest_ms) == (START_MS, START_MS + 2)


async def test_groups_stay_within_the_scope_and_the_endpoint(store: Store) -> None:
    await die(store, 7, "timeout")
    await die(store, 8, "timeout", client=2)

    assert [g.endpoint_id for g in await store.history.dead_groups(Scope.of(2), endpoint_id=None, limit=9)] == [8]
    assert [g.endpoint_id for g in await store.history.dead_groups(EVERYONE, endpoint_id=7, limit=9)] == [7]
    assert await store.history.dead_groups(Scope.of(2), endpoint_id=7, limit=9) == []


async def test_only_the_newest_are_looked_at(store: Store) -> None:
    await die(store, 7, "timeout", "http_500")

    assert [g.error for g in await store.history.dead_groups(EVERYONE, endpoint_id=None, limit=1)] == ["http_500"]


async def test_what_is_tried_again_is_in_no_group(store: Store) -> None:
    await accept_events(store, [new_event(7)])
    (claimed,) = await claim(store, 7)
    await store.queue.settle([result(claimed, "dead", reason="gone")])
    await store.queue.requeue([claimed.delivery_id], now_ms=START_MS)

    assert await store.history.dead_groups(EVERYONE, endpoint_id=None, limit=9) == []


async def test_dead_in_group_returns_a_group_in_steps_the_newest_first(store: Store) -> None:
    await die(store, 7, "timeout", "http_500", "timeout", "http_500", "timeout")
    await die(store, 8, "timeout")
    listed = await store.history.deliveries(DeliveryQuery(scope=EVERYONE, endpoint_id=7), Page(9))
    ids = [each.id for each in listed]

    steps, before = [], None
    while True:
        found, before = await store.history.dead_in_group(
            7, reason="attempts_exhausted", error="timeout", before=before, limit=2
        )
        steps.append(found)
        if before is None:
            break
    assert steps == [[ids[0]], [ids[2]], [ids[4]]]
    assert await store.history.dead_in_group(7, reason=None, error="timeout", before=None, limit=9) == ([], None)


async def test_dead_in_group_without_an_attempt_has_no_error(store: Store) -> None:
    await accept_events(store, [new_event(7)])
    await store.queue.finish_pending(7, state="dead", reason="endpoint_deleted", now_ms=START_MS, limit=9)

    found, before = await store.history.dead_in_group(7, reason="endpoint_deleted", error=None, before=None, limit=9)
    assert (len(found), before) == (1, None)


async def test_discard_cancels_dead_deliveries_alone(store: Store) -> None:
    await die(store, 7, "timeout", "timeout")
    await accept_events(store, [new_event(7)])
    dead = await store.history.deliveries(DeliveryQuery(scope=EVERYONE, state="dead"), Page(9))
    every = await store.history.deliveries(DeliveryQuery(scope=EVERYONE), Page(9))
    chosen = [each.id for each in every if each.id != dead[0].id]

    assert await store.queue.discard([*chosen, 1], reason="discarded: tested", now_ms=START_MS + 9) == 1
    assert await store.queue.discard(chosen, reason="again", now_ms=START_MS + 10) == 0

    [after] = await store.history.deliveries(DeliveryQuery(scope=EVERYONE, state="cancelled"), Page(9))
    assert (after.id, after.reason, after.finished_ms) == (dead[1].id, "discarded: tested", START_MS + 9)
    [counts] = await store.history.delivery_counts(EVERYONE, recount=True)
    assert (counts.dead, counts.cancelled, counts.pending, counts.difference) == (1, 1, 1, 0)
    assert await store.queue.requeue([after.id], now_ms=START_MS) == 1
