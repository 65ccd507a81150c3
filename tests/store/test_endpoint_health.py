"""The health of endpoints, kept in the commits that record their attempts."""

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from stores import START_MS, Engine, accept_events, claim, new_event, result

from commerce_event.core.model import Scope
from commerce_event.store.endpoint_health import SUCCESS_STEP_MS
from commerce_event.store.model import (
    INTERRUPTED,
    Claimed,
    EndpointHealth,
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


def recount(history: Sequence[Settlement]) -> EndpointHealth:
    """Count one attempt after the other, as the documentation says it."""
    found = EndpointHealth(endpoint_id=history[0].endpoint_id, client_id=1)
    for each in history:
        attempt = each.attempt
        if each.state != "delivered":
            found = msgspec.structs.replace(
                found,
                failures=found.failures + 1,
                failing_since_ms=found.failing_since_ms if found.failures else attempt.started_ms,
                last_failure_ms=attempt.ended_ms,
                last_status=attempt.status,
                last_error=attempt.error,
            )
            continue
        if found.failures >= 3:
            found = msgspec.structs.replace(
                found, former_since_ms=found.failing_since_ms, former_until_ms=attempt.ended_ms
            )
        found = msgspec.structs.replace(found, failures=0, failing_since_ms=None, last_success_ms=attempt.ended_ms)
    return found


@pytest.mark.parametrize("seed", range(12))
async def test_endpoint_health_equals_a_recount_of_random_histories(store: Store, seed: int) -> None:
    rng = random.Random(seed)
    endpoints = (7, 8, 9)
    waiting = {endpoint: await claimed(store, 60, endpoint=endpoint) for endpoint in endpoints}
    success_share = rng.choice((0.1, 0.3, 0.5, 0.9))
    histories: dict[int, list[Settlement]] = {endpoint: [] for endpoint in endpoints}
    second = 0
    while any(waiting.values()):
        batch: list[Settlement] = []
        for _ in range(rng.randint(1, 12)):
            if held := waiting[rng.choice(endpoints)]:
                second += 1
                each = held.pop()
                made = success(each, second) if rng.random() < success_share else failure(each, second, status=second)
                batch.append(made)
                histories[each.endpoint_id].append(made)
        await store.queue.settle(batch)
        expected = [recount(history) for history in histories.values() if history]
        assert await store.history.endpoint_health(EVERYONE) == expected
