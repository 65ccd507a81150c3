"""What the store's queue costs by itself: claiming and settling batches, both durable, nothing sent.

Run as a process: `queue_cost STORE BATCHES`; prints one line of JSON, microseconds for each delivery.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from commerce_event.bench.seed import OTHER_ENDPOINTS
from commerce_event.core.model import Attempt
from commerce_event.server import tune_collector
from commerce_event.store.port import Claimed, Settlement, Want
from commerce_event.store.sqlite import SqliteStore

BATCH: Final = 128


async def main(path: Path, batches: int) -> dict[str, Any]:
    """Measure over the endpoint with the backlog, and over the others together."""
    store = SqliteStore(path)
    await store.open()
    try:
        first, *others = [row.id for row in await store.endpoints()]
        return {
            "one_us": await _cost_us(store, [Want(first, False, BATCH)], batches),
            "several_us": await _cost_us(
                store, [Want(endpoint, False, BATCH // OTHER_ENDPOINTS) for endpoint in others], batches
            ),
        }
    finally:
        await store.close()


async def _cost_us(store: SqliteStore, wants: Sequence[Want], batches: int) -> float:
    """Return the median batch's time for each of its deliveries: a flush that the disk holds up does not decide."""
    costs: list[float] = []
    for _ in range(batches):
        now_ms = time.time_ns() // 1_000_000
        start = time.perf_counter()
        claimed = await store.claim(wants, now_ms=now_ms, lease_until_ms=now_ms + 15_000)
        await store.settle([_delivered(each, now_ms) for each in claimed])
        costs.append((time.perf_counter() - start) / len(claimed) * 1e6)
    return statistics.median(costs)


def _delivered(claimed: Claimed, now_ms: int) -> Settlement:
    return Settlement(
        delivery_id=claimed.delivery_id,
        endpoint_id=claimed.endpoint_id,
        lease=claimed.lease,
        attempt=Attempt(number=claimed.number, started_ms=now_ms, duration_ms=2.0, status=200, error=None),
        state="delivered",
        failure_count=0,
        due_ms=None,
        reason=None,
    )


if __name__ == "__main__":
    tune_collector()
    print(json.dumps(asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))), flush=True)
