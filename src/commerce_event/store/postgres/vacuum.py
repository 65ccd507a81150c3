"""Sweeping the queue: the places of rows that left it are used again at once, not when the server's own turn comes.

The server looks once a minute, by default; at some thousands of deliveries a second that is a hundred megabytes of what
is no more. A sweep of so few rows takes some hundredths of a second and holds nobody up.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from commerce_event.store.port import StoreError
from commerce_event.store.postgres.sql import Connection

_EVERY: Final = 20_000  # settled deliveries

log = structlog.get_logger(__name__)


async def sweep(connection: Connection) -> None:
    """Outside a transaction. Another node's sweep under way is enough for both."""
    await connection.execute("VACUUM (SKIP_LOCKED) queue")


class Sweeper:
    """Starts a sweep whenever enough deliveries have been settled since the last."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._settled = 0
        self._task: asyncio.Task[None] | None = None

    def settled(self, count: int) -> None:
        self._settled += count
        if self._settled >= _EVERY and (self._task is None or self._task.done()):
            self._settled = 0
            self._task = asyncio.create_task(self._sweep())

    async def _sweep(self) -> None:
        try:
            await self._work()
        except StoreError as error:  # the next one comes soon, and the server's own as well
            log.debug("the queue was not swept", error=str(error))
