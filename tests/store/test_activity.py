"""Counts for plots: added up by minute and hour, kept for a while, never across the tenants' wall."""

from stores import START_MS

from commerce_event.core.model import Scope
from commerce_event.store.model import ACTIVITY_STEPS_S, LATENCY_BOUNDS_MS, Activity
from commerce_event.store.port import Store

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
EVERYONE = Scope.everyone()
NOTHING = (0,) * (len(LATENCY_BOUNDS_MS) + 1)


def counts(*, client: int = 1, endpoint: int = 7, at_ms: int = START_MS, **numbers: int) -> Activity:
    given = {"accepted": 0, "delivered": 0, "failed": 0, "dead": 0} | numbers
    return Activity(start_ms=at_ms, client_id=client, endpoint_id=endpoint, latency=(1, *NOTHING[1:]), **given)


async def test_counts_of_a_minute_are_added_to_its_minute_and_its_hour(store: Store) -> None:
    await store.activity.add([counts(delivered=2), counts(at_ms=START_MS + MINUTE_MS, failed=1)], now_ms=START_MS)
    await store.activity.add([counts(delivered=3, dead=1)], now_ms=START_MS)

    minutes = await store.activity.by_step(EVERYONE, step_s=60, since_ms=START_MS)
    hours = await store.activity.by_step(EVERYONE, step_s=3_600, since_ms=START_MS - HOUR_MS)

    assert [(each.start_ms, each.delivered, each.failed, each.dead) for each in minutes] == [
        (START_MS, 5, 0, 1),
        (START_MS + MINUTE_MS, 0, 1, 0),
    ]
    assert [(each.start_ms, each.delivered, each.failed, each.dead) for each in hours] == [
        (START_MS - START_MS % HOUR_MS, 5, 1, 1)
    ]
    assert [each.latency[0] for each in hours] == [3]


async def test_counts_are_summed_over_the_scope_and_over_nobody_else(store: Store) -> None:
    rows = [counts(client=1, delivered=1), counts(client=2, endpoint=8, delivered=10), counts(client=3, delivered=100)]
    await store.activity.add(rows, now_ms=START_MS)

    async def delivered(scope: Scope, endpoint: int | None = None) -> int:
        found = await store.activity.by_step(scope, step_s=60, since_ms=0, endpoint_id=endpoint)
        return sum(each.delivered for each in found)

    assert await delivered(EVERYONE) == 111
    assert await delivered(Scope.of(1, 2)) == 11
    assert await delivered(Scope.of(4)) == 0
    assert await delivered(EVERYONE, endpoint=8) == 10
    assert await delivered(Scope.of(1), endpoint=8) == 0


async def test_counts_before_the_asked_time_are_left_out(store: Store) -> None:
    await store.activity.add([counts(delivered=1)], now_ms=START_MS)

    assert await store.activity.by_step(EVERYONE, step_s=60, since_ms=START_MS + 1) == []


async def test_old_counts_are_forgotten(store: Store) -> None:
    await store.activity.add([counts(delivered=1)], now_ms=START_MS)
    later_ms = START_MS + ACTIVITY_STEPS_S[60] * 1000 + MINUTE_MS
    await store.activity.add([counts(delivered=2, at_ms=later_ms)], now_ms=later_ms)

    minutes = await store.activity.by_step(EVERYONE, step_s=60, since_ms=0)
    hours = await store.activity.by_step(EVERYONE, step_s=3_600, since_ms=0)

    assert [each.delivered for each in minutes] == [2]
    assert [each.delivered for each in hours] == [1, 2]


async def test_counts_of_each_endpoint_are_summed_apart(store: Store) -> None:
    rows = [
        counts(delivered=1), counts(at_ms=START_MS + MINUTE_MS, failed=2), counts(endpoint=8, delivered=4),
        counts(client=2, endpoint=9, delivered=8), counts(endpoint=0, accepted=16),
    ]  # fmt: skip
    await store.activity.add(rows, now_ms=START_MS)

    async def found(scope: Scope, since_ms: int = 0) -> dict[int, tuple[int, int]]:
        each = await store.activity.by_endpoint(scope, step_s=60, since_ms=since_ms)
        return {row.endpoint_id: (row.delivered, row.failed) for row in each}

    assert await found(EVERYONE) == {7: (1, 2), 8: (4, 0), 9: (8, 0)}
    assert await found(Scope.of(1)) == {7: (1, 2), 8: (4, 0)}
    assert await found(EVERYONE, START_MS + 1) == {7: (0, 2)}
