"""Move a store: copy what is missing, compare both sides, mark the target complete."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import Final, Literal

import msgspec

from commerce_event.store.migrate_store.checksum import Checksum
from commerce_event.store.migrate_store.source import Source
from commerce_event.store.migrate_store.tables import TABLES, Row, Table
from commerce_event.store.migrate_store.target import Progress, Target
from commerce_event.store.port import StoreError

BATCH_ROWS: Final = 5_000


class MoveDiffersError(StoreError):
    """The target differs from the source; the message names the tables."""


class MovedTable(msgspec.Struct, frozen=True):
    """A table that was moved, with the checksum that both sides have."""

    table: str
    rows: int
    checksum: str
    equal: bool = True


class Step(msgspec.Struct, frozen=True):
    """The progress. Each table is read twice: to copy it, then to compare it."""

    what: Literal["copying", "checking"]
    table: str
    done: int  # rows of this table
    rows: int
    all_done: int  # rows of all tables, both times
    all_rows: int


class Move:
    """Moves everything of a source into a target."""

    def __init__(
        self,
        source: Source,
        target: Target,
        *,
        on_step: Callable[[Step], None],
        batch_rows: int = BATCH_ROWS,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._source = source
        self._target = target
        self._on_step = on_step
        self._batch_rows = batch_rows
        self._now_ms = now_ms
        self._counts: dict[str, int] = {}
        self._all_done = 0

    async def run(self) -> list[MovedTable]:
        """Move what is missing; return the tables of the target. Raises StoreError."""
        await self._target.begin(self._source.fingerprint(), self._source.path.name, self._now_ms())
        if self._target.finished_ms is None:
            await self._target.create_partitions(self._source.weeks())
            self._counts = {table.name: self._source.count(table) for table in TABLES}
            for table in TABLES:
                await self._copy(table, self._target.progress[table.name])
            moved = [await self._compare(table) for table in TABLES]
            _check_equal(moved)
            for table in TABLES:
                await self._target.vacuum(table)
            await self._target.finish({table.table: table.checksum for table in moved}, self._now_ms())
            return moved
        return [
            MovedTable(name, progress.rows, progress.checksum or "") for name, progress in self._target.progress.items()
        ]

    async def _copy(self, table: Table, progress: Progress) -> None:
        self._step("copying", table, progress.rows, progress.rows)
        if progress.done:
            return
        copied = progress.rows
        batches = self._source.batches(table, progress.after, self._batch_rows)
        batch = await asyncio.to_thread(_next, batches)
        while batch:
            reading = asyncio.create_task(asyncio.to_thread(_next, batches))  # while the target writes
            try:
                await self._target.add(table, batch)
            finally:
                following = await reading
            copied += len(batch)
            self._step("copying", table, copied, len(batch))
            batch = following
        await self._target.table_done(table)

    async def _compare(self, table: Table) -> MovedTable:
        here, there = Checksum(), Checksum()
        async with aclosing(self._target.checked_rows(table)) as batches:
            async for rows in batches:
                more = there.add(rows)
                self._step("checking", table, there.rows, more)
        await asyncio.to_thread(here.add, self._source.checked_rows(table))
        return MovedTable(table.name, there.rows, here.text, (here.text, here.rows) == (there.text, there.rows))

    def _step(self, what: Literal["copying", "checking"], table: Table, done: int, more: int) -> None:
        self._all_done += more
        all_rows = 2 * sum(self._counts.values())
        self._on_step(Step(what, table.name, done, self._counts[table.name], self._all_done, all_rows))


def _next(batches: Iterator[list[Row]]) -> list[Row]:
    return next(batches, [])


def _check_equal(moved: list[MovedTable]) -> None:
    wrong = ", ".join(table.table for table in moved if not table.equal)
    if wrong:
        raise MoveDiffersError(
            f"what is in the target is not what the source holds ({wrong}); the source is as it was: empty the target "
            "(DROP SCHEMA commerce_event CASCADE), move again, and report this"
        )
