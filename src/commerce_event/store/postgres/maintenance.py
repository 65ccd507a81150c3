"""Keep the store small and correct: recount, retention, text index, set clocks."""

import asyncio
from collections.abc import Sequence
from typing import Final

from commerce_event.core.clock import Clock
from commerce_event.store import text_search
from commerce_event.store.model import CountCheck
from commerce_event.store.postgres import clock as shared_clock
from commerce_event.store.postgres.cluster import Cluster
from commerce_event.store.postgres.executor import Executor
from commerce_event.store.postgres.retention import Retention
from commerce_event.store.postgres.sql import Connection, columns, execute, fetch, fetch_column, fetch_value

_INDEXED_BYTES: Final = 1_000_000  # of payloads in one step


class PostgresMaintenance:
    """What runs in the background."""

    def __init__(self, executor: Executor, cluster: Cluster, clock: Clock) -> None:
        self._executor = executor
        self._cluster = cluster
        self._retention = Retention(clock, executor)

    async def verify_counts(self, *, after_id: int, limit: int) -> CountCheck:
        rows = await self._executor.read(lambda connection: fetch(connection, "verify_counts", after_id, limit))
        return CountCheck.of(rows, limit)

    async def oldest_ms(self) -> int | None:
        found: int | None = await self._executor.read(lambda connection: fetch_value(connection, "oldest_ms"))
        return found

    async def expire(self, *, before_ms: int, limit: int) -> int:
        """Drop one whole week of events if one has expired, regardless of ``limit``; else delete single events."""
        return await self._retention.expire(before_ms, limit)

    async def shift_due(self, by_ms: int) -> None:
        run_lock = self._cluster.run_lock
        if await self._executor.write(lambda connection: shared_clock.shift_due(connection, by_ms, run_lock)):
            self._cluster.lease_shifts.add(by_ms)

    async def index_text(self, limit: int) -> int:
        """Index the next events: at most ``limit``, and about as much text as takes a fraction of a second.

        With room left, index texts of older versions anew.
        """

        async def work(connection: Connection) -> int:
            taken = await fetch_column(connection, "take_unindexed", limit, _INDEXED_BYTES)
            former = await fetch_column(connection, "take_former_texts", limit - len(taken), _INDEXED_BYTES)
            events = await fetch(connection, "events_to_index", [*taken, *former])
            entries = await asyncio.to_thread(
                lambda: [(row.id, *text_search.index_entry(row.client_id, row.body)) for row in events]
            )
            anew = set(former)
            await _write(connection, "insert_texts", [each for each in entries if each[0] not in anew])
            await _write(connection, "update_texts", [each for each in entries if each[0] in anew])
            return len(taken) + len(former)

        return await self._executor.write(work)


async def _write(connection: Connection, statement: str, entries: Sequence[tuple[int, str, str]]) -> None:
    if entries:
        await execute(connection, statement, *columns(entries, 3))
