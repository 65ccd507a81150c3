"""Measure the queue of a store alone: claim and settle batches, both durable, and send nothing.

Run as a process: `queue_cost BATCHES STORE …`; it prints one line of JSON, microseconds for each delivery by store. The
stores take turns, batch by batch, because the machine's pace changes within seconds.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from commerce_event.bench.seed import OTHER_ENDPOINTS
from commerce_event.core.clock import SystemClock
from commerce_event.core.model import Attempt, DeliveryKind
from commerce_event.server import make_store, tune_collector
from commerce_event.settings import Settings
from commerce_event.store.model import Claimed, ClaimRequest, Settlement
from commerce_event.store.port import Store

BATCH: Final = 128


async def main(batches: int, urls: Sequence[str]) -> list[dict[str, Any]]:
    """Measure the endpoint with the backlog, and the other endpoints together."""
    stores = [make_store(Settings(store=url), SystemClock()) for url in urls]
    try:
        for store in stores:
            await store.open()
        queues = [_Queue(store, [row.id for row in await store.registry.endpoints()]) for store in stores]
        for _ in range(batches):
            for queue in queues:
                await queue.turn()
        return [queue.figures() for queue in queues]
    finally:
        for store in stores:
            await store.close()


class _Queue:
    """The cost of batches in one store, as a median: one slow flush of the disk does not decide."""

    def __init__(self, store: Store, endpoints: Sequence[int]) -> None:
        first, *others = endpoints
        self._store = store
        self._requests = {
            "one_us": [ClaimRequest(first, DeliveryKind.FIRST, BATCH)],
            "several_us": [ClaimRequest(endpoint, DeliveryKind.FIRST, BATCH // OTHER_ENDPOINTS) for endpoint in others],
        }
        self._costs_us: dict[str, list[float]] = {name: [] for name in self._requests}

    async def turn(self) -> None:
        for name, requests in self._requests.items():
            self._costs_us[name].append(await self._cost_us(requests))

    def figures(self) -> dict[str, float]:
        return {name: statistics.median(costs) for name, costs in self._costs_us.items()}

    async def _cost_us(self, requests: Sequence[ClaimRequest]) -> float:
        now_ms = time.time_ns() // 1_000_000
        start = time.perf_counter()
        claimed = await self._store.queue.claim(requests, now_ms=now_ms, lease_until_ms=now_ms + 15_000)
        await self._store.queue.settle([delivered(each, now_ms) for each in claimed])
        return (time.perf_counter() - start) / len(claimed) * 1e6


def delivered(claimed: Claimed, now_ms: int) -> Settlement:
    return Settlement(
        delivery_id=claimed.delivery_id,
        endpoint_id=claimed.endpoint_id,
        run_id=claimed.run_id,
        attempt=Attempt(number=claimed.number, started_ms=now_ms, duration_ms=2.0, status=200, error=None),
        state="delivered",
        failure_count=0,
        due_ms=None,
        reason=None,
    )


if __name__ == "__main__":
    tune_collector()
    figures = asyncio.run(main(int(sys.argv[1]), sys.argv[2:]))
    print(json.dumps({"stores": figures}), flush=True)
