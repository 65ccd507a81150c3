"""Vacuum the queue often, so that the space of rows that left it is reused at once.

The server's autovacuum looks once a minute by default; at some thousands of deliveries a second that is a hundred
megabytes of dead rows. A vacuum of so few rows takes some hundredths of a second and blocks nothing.
"""

import asyncio
from typing import Final

import structlog

from commerce_event.store.port import StoreError
from commerce_event.store.postgres.executor import Executor
from commerce_event.store.postgres.sql import execute

_EVERY: Final = 20_000  # settled deliveries

log = structlog.get_logger(__name__)


class QueueVacuum:
    """Starts a vacuum when enough deliveries have been settled since the last one."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._settled = 0
        self._task: asyncio.Task[None] | None = None

    def count_settled(self, count: int) -> None:
        self._settled += count
        if self._settled >= _EVERY and (self._task is None or self._task.done()):
            self._settled = 0
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            # Outside a transaction. When another node's vacuum is under way, this one is skipped.
            await self._executor.run(lambda connection: execute(connection, "vacuum_queue"))
        except StoreError as error:  # the next one comes soon, and so does autovacuum
            log.debug("the queue was not vacuumed", error=str(error))
