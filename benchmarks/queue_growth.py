"""Measure what grows: accept, claim and settle events on a store, round after round.

Run as a process: `queue_growth STORE DELIVERIES`; it prints shares of the work that is done, then one line of JSON:
what claiming and settling cost at first and at last, and for PostgreSQL the sizes of tables with their indexes before,
after, and after a VACUUM (dead rows that the server's own VACUUM has not reached yet are not growth).
"""

import asyncio
import json
import statistics
import sys
import time
from typing import Any, Final

import asyncpg

from benchmarks.queue_cost import delivered
from commerce_event.bench.seed import events
from commerce_event.core.clock import SystemClock
from commerce_event.core.ids import IdMaker
from commerce_event.core.model import DeliveryKind
from commerce_event.server import make_store, tune_collector
from commerce_event.settings import Settings
from commerce_event.store.model import ClaimRequest
from commerce_event.store.port import Store
from commerce_event.store.postgres.connections import SCHEMA

_ROUND: Final = 1_000
_BATCH: Final = 200
_REPORT_EVERY: Final = 20  # rounds
_ENDPOINT: Final = 1
_SIZES: Final = """
SELECT coalesce(parent.relname, own.relname) AS name, sum(pg_total_relation_size(own.oid))
FROM pg_class own
JOIN pg_namespace ON pg_namespace.oid = own.relnamespace AND nspname = $1
LEFT JOIN pg_inherits ON inhrelid = own.oid
LEFT JOIN pg_class parent ON parent.oid = inhparent
WHERE own.relkind = 'r'
GROUP BY 1 ORDER BY 1
"""


async def pass_through(store: Store, deliveries: int) -> list[float]:
    """Accept, claim and settle deliveries; return the cost of claiming and settling one in each round, in µs."""
    maker = IdMaker(node=1)
    costs_us = []
    rounds = range(0, deliveries, _ROUND)
    for number, first in enumerate(rounds):
        now_ms = time.time_ns() // 1_000_000
        for start in range(first, first + _ROUND, _BATCH):
            await store.journal.accept([events(maker, now_ms, start, [_ENDPOINT] * _BATCH)])
        begun = time.perf_counter()
        for _ in range(_ROUND // _BATCH):
            claimed = await store.queue.claim(
                [ClaimRequest(_ENDPOINT, DeliveryKind.FIRST, _BATCH)], now_ms=now_ms, lease_until_ms=now_ms + 15_000
            )
            await store.queue.settle([delivered(each, now_ms) for each in claimed])
        costs_us.append((time.perf_counter() - begun) / _ROUND * 1e6)
        if number % _REPORT_EVERY == 0:
            print(json.dumps({"share": number / len(rounds)}), flush=True)
    return costs_us


async def main(url: str, deliveries: int) -> dict[str, Any]:
    settings = Settings(store=url)
    store = make_store(settings, SystemClock())
    await store.open()
    try:
        before = await _sizes(settings)
        costs_us = await pass_through(store, deliveries)
        tenth = max(1, len(costs_us) // 10)
        return {
            "first_us": statistics.median(costs_us[:tenth]),
            "last_us": statistics.median(costs_us[-tenth:]),
            "sizes": {
                "before": before,
                "after": await _sizes(settings),
                "vacuumed": await _sizes(settings, vacuumed=True),
            },
        }
    finally:
        await store.close()


async def _sizes(settings: Settings, *, vacuumed: bool = False) -> dict[str, int]:
    """Return the bytes of each table with its indexes; the embedded store has one file for all."""
    if settings.store_path() is not None:
        return {}
    connection = await asyncpg.connect(settings.store)
    try:
        if vacuumed:
            await connection.execute("VACUUM")
        return {name: int(size) for name, size in await connection.fetch(_SIZES, SCHEMA)}
    finally:
        await connection.close()


if __name__ == "__main__":
    tune_collector()
    print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2])))), flush=True)
