"""The health of endpoints, kept in the commits that record their attempts."""

import asyncio
import random
from typing import Any

import msgspec
import pytest
from stores import START_MS, Engine, accept_events, claim, new_event, result

from commerce_event.core.health import FAILING_FROM
from commerce_event.core.model import Scope
from commerce_event.store.endpoint_health import SUCCESS_STEP_MS
from commerce_event.store.model import (
    INTERRUPTED,
    Claimed,
    DeliveryQuery,
    EndpointHealth,
    Page,
    Settlement,
)
from commerce_event.store.port import Store

EVERYONE = Scope.everyone()
SECOND_MS = 1_000


async def claimed(store: Store, count: int, *, endpoint: int = 7, client: int = 1) -> list[Claimed]:
    await accept_events(store, [new_event(endpoint, client=client) for _ in range(count)])
    return await claim(store, endpoint)


def failure(each: Claimed, second: int, **fields: Any) -> Settlement:
    given: dict[str, Any] = {"status": 500, "error": "http_500", "duration_ms": 10.0} | fields
    started_ms = START_MS + second * SECOND_MS
    return result(each, "pending", due_ms=started_ms, started_ms=started_ms, **given)


def success(each: Claimed, second: int) -> Settlement:
    return result(each, started_ms=START_MS + second * SECOND_MS, duration_ms=10.0)


async def health(store: Store, endpoint: int = 7) -> EndpointHealth | None:
    return next((each for each in await store.history.endpoint_health(EVERYONE) if each.endpoint_id == endpoint), None)


def at(second: int, more_ms: int = 0) -> int:
    return START_MS + second * SECOND_MS + more_ms


async def test_endpoint_health_of_a_new_endpoint_is_absent(store: Store) -> None:
    await claimed(store, 1)

    assert await store.history.endpoint_health(EVERYONE) == []


async def test_endpoint_health_counts_failures_in_a_row_and_the_first_of_them(store: Store) -> None:
    first, second = await claimed(store, 2)
    await store.queue.settle([failure(first, 1)])
    await store.queue.settle([failure(second, 2, status=None, error="timeout")])

    assert await health(store) == EndpointHealth(
        endpoint_id=7, client_id=1, failures=2, failing_since_ms=at(1), last_failure_ms=at(2, 10), last_error="timeout"
    )


@pytest.mark.parametrize("in_one_batch", [True, False])
@pytest.mark.parametrize(("failures", "is_kept"), [(2, False), (3, True)])
async def test_endpoint_health_success_ends_a_span_that_is_kept_when_long(
    store: Store, in_one_batch: bool, failures: int, is_kept: bool
) -> None:
    held = await claimed(store, failures + 1)
    batch = [*(failure(each, n) for n, each in enumerate(held[:-1])), success(held[-1], 9)]
    for some in [batch] if in_one_batch else [[each] for each in batch]:
        await store.queue.settle(some)

    found = await health(store)
    assert found is not None
    assert (found.failures, found.failing_since_ms, found.last_success_ms) == (0, None, at(9, 10))
    assert (found.last_failure_ms, found.last_status, found.last_error) == (at(failures - 1, 10), 500, "http_500")
    kept = (found.former_since_ms, found.former_until_ms)
    assert kept == ((at(0), at(9, 10)) if is_kept else (None, None))


async def test_endpoint_health_keeps_the_cause_of_the_newest_failure(store: Store) -> None:
    first, second, third = await claimed(store, 3)
    for each, words in ((failure(first, 1), "refused"), (failure(second, 2), "no answer"), (success(third, 3), None)):
        await store.queue.settle([msgspec.structs.replace(each, cause=words)])

    found = await health(store)
    assert found is not None
    assert (found.failures, found.last_cause) == (0, "no answer")


async def test_endpoint_health_is_read_within_the_scope(store: Store) -> None:
    for endpoint, client in ((8, 2), (7, 1)):
        [each] = await claimed(store, 1, endpoint=endpoint, client=client)
        await store.queue.settle([success(each, 1)])

    assert [(each.endpoint_id, each.client_id) for each in await store.history.endpoint_health(EVERYONE)] == [
        (7, 1),
        (8, 2),
    ]
    assert [each.endpoint_id for each in await store.history.endpoint_health(Scope.of(2))] == [8]


async def test_endpoint_health_leaves_out_own_faults_and_interrupted_and_fenced_attempts(store: Store) -> None:
    own, interrupted, fenced, good = await claimed(store, 4)
    await store.queue.cancel([fenced.delivery_id], reason="by hand", now_ms=START_MS)
    await store.queue.settle([success(good, 1)])
    before = await health(store)
    recorded = await store.queue.settle(
        [
            failure(own, 2, is_internal=True, status=None, error="internal"),
            failure(interrupted, 3, status=None, error=INTERRUPTED),
            failure(fenced, 4),
        ]
    )

    assert recorded == [True, True, False]
    assert await health(store) == before


async def test_endpoint_health_of_a_healthy_endpoint_is_written_once_a_second(store: Store) -> None:
    written = []
    for each, ended_ms in zip(await claimed(store, 4), (0, SUCCESS_STEP_MS - 1, SUCCESS_STEP_MS, 0), strict=True):
        await store.queue.settle([result(each, started_ms=START_MS + ended_ms, duration_ms=0.0)])
        found = await health(store)
        written.append(found and found.last_success_ms)

    # the last one is a whole second earlier: a clock that was set back
    assert written == [START_MS, START_MS, START_MS + SUCCESS_STEP_MS, START_MS]


async def test_endpoint_health_after_reopening_is_the_same(engine: Engine) -> None:
    store = await engine.open()
    held = await claimed(store, 5)
    await store.queue.settle([failure(each, n) for n, each in enumerate(held[:3])])
    await store.queue.settle([success(held[3], 4)])
    await store.queue.settle([failure(held[4], 5)])
    before = await health(store)
    await store.close()
    store = await engine.open()

    assert await health(store) == before
    assert before is not None
    assert (before.failures, before.former_since_ms) == (1, at(0))


async def recount(store: Store, endpoint: int) -> EndpointHealth:
    """Count the stored attempts one after the other, as the documentation says it. They began at different times."""
    found = EndpointHealth(endpoint_id=endpoint, client_id=1)
    listed = await store.history.deliveries(DeliveryQuery(scope=EVERYONE, endpoint_id=endpoint), Page(1_000))
    read = await store.history.deliveries_with_attempts([each.id for each in listed], EVERYONE)
    for attempt in sorted((each for _, attempts in read for each in attempts), key=lambda each: each.started_ms):
        ended: dict[str, Any]
        if attempt.error is not None:
            since_ms = found.failing_since_ms if found.failures else attempt.started_ms
            ended = {"failures": found.failures + 1, "failing_since_ms": since_ms}
            ended |= {"last_failure_ms": attempt.ended_ms, "last_status": attempt.status, "last_error": attempt.error}
        else:
            ended = {"failures": 0, "failing_since_ms": None, "last_success_ms": attempt.ended_ms}
            if found.failures >= FAILING_FROM:
                ended |= {"former_since_ms": found.failing_since_ms, "former_until_ms": attempt.ended_ms}
        found = msgspec.structs.replace(found, **ended)
    return found


@pytest.mark.parametrize("seed", range(5))
async def test_endpoint_health_equals_a_recount_of_the_attempts_of_random_histories(engine: Engine, seed: int) -> None:
    rng = random.Random(seed)
    store = await engine.open()
    endpoints = (7, 8, 9)
    success_share = rng.choice((0.1, 0.3, 0.5, 0.9))
    waiting = {endpoint: await claimed(store, 40, endpoint=endpoint) for endpoint in endpoints}
    seen: set[int] = set()
    second = 0
    while any(waiting.values()):
        batch: list[Settlement] = []
        for _ in range(rng.randint(1, 12)):
            if held := waiting[rng.choice(endpoints)]:
                second += 1
                is_success = rng.random() < success_share
                batch.append(success(held[-1], second) if is_success else failure(held[-1], second, status=second))
                seen.add(held.pop().endpoint_id)
        await store.queue.settle(batch)
        if second % 5 == 0 or not any(waiting.values()):
            expected = [await recount(store, endpoint) for endpoint in sorted(seen)]
            assert await store.history.endpoint_health(EVERYONE) == expected
    await store.close()
    store = await engine.open()
    assert await store.history.endpoint_health(EVERYONE) == expected


async def test_endpoint_health_counts_every_failure_of_calls_at_the_same_time(store: Store) -> None:
    held = {endpoint: await claimed(store, 30, endpoint=endpoint) for endpoint in (7, 8, 9)}
    batches = [
        [failure(held[endpoint].pop(), number) for endpoint in random.Random(number).sample((7, 8, 9), 3)]
        for number in range(30)
    ]

    answers = await asyncio.gather(*(store.queue.settle(batch) for batch in batches))

    assert answers == [[True] * 3] * 30
    found = await store.history.endpoint_health(EVERYONE)
    assert [(each.endpoint_id, each.failures) for each in found] == [(7, 30), (8, 30), (9, 30)]
