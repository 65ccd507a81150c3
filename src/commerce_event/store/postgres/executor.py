"""Run calls on the connection pools: count them, retry what the server rolled back, translate errors."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from commerce_event.store.port import StoreBrokenError, StoreUnavailableError
from commerce_event.store.postgres.connections import Address, Pool, close
from commerce_event.store.postgres.errors import AGAIN, translate
from commerce_event.store.postgres.sql import Connection

T = TypeVar("T")
Work = Callable[[Connection], Awaitable[T]]

_TRIES: Final = 5
_PAUSE_S: Final = 0.02
_ACQUIRE_S: Final = 10.0
_FINISH_S: Final = 2.0  # for calls under way when the store is closed


class Executor:
    """Two pools: one for accepting and delivering, one for reads, so that a slow search delays no delivery.

    Every method raises the port's errors, StoreUnavailableError while the store is closed.
    """

    def __init__(self) -> None:
        self._pools: list[Pool] = []
        self._closed = True
        self._under_way = 0
        self._idle = asyncio.Event()
        self._failure: asyncio.Future[StoreBrokenError] | None = None

    @property
    def closed(self) -> bool:
        return self._closed

    async def open(self, address: Address) -> None:
        for make in (address.work_pool, address.read_pool):
            self._pools.append(await make())
        self._failure = asyncio.get_running_loop().create_future()
        self._closed = False

    async def finish(self) -> None:
        """Refuse new calls, and wait a moment for calls under way."""
        self._closed = True
        try:
            async with asyncio.timeout(_FINISH_S):
                while self._under_way:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            for pool in self._pools:
                pool.terminate()

    async def close(self) -> None:
        pools, self._pools = self._pools, []
        for pool in pools:
            await close(pool)

    async def failed(self) -> StoreBrokenError:
        """Return the reason once the database can no longer be trusted; until then wait."""
        if self._closed or self._failure is None:
            raise StoreUnavailableError("the store is closed")
        return await asyncio.shield(self._failure)

    async def write(self, work: Work[T]) -> T:
        """Run ``work`` in a transaction, and again when the server rolled it back because of other transactions."""

        async def in_transaction(connection: Connection) -> T:
            async with connection.transaction():
                return await work(connection)

        return await self.run(in_transaction)

    async def run(self, work: Work[T]) -> T:
        """Run ``work`` that is one statement, or has transactions of its own."""
        with self._call():
            for left in reversed(range(_TRIES)):
                try:
                    return await self._run(self._pools[0], work)
                except AGAIN:
                    if not left:
                        raise
                    await asyncio.sleep(_PAUSE_S * random.random())  # noqa: S311 - so that two do not collide again
            raise AssertionError("unreachable")

    async def read(self, work: Work[T]) -> T:
        """Run ``work`` that only reads."""
        with self._call():
            return await self._run(self._pools[1], work)

    async def read_snapshot(self, work: Work[T]) -> T:
        """Run ``work`` of several reading statements that must agree."""

        async def in_transaction(connection: Connection) -> T:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await work(connection)

        return await self.read(in_transaction)

    async def _run(self, pool: Pool, work: Work[T]) -> T:
        async with pool.acquire(timeout=_ACQUIRE_S) as connection:
            return await work(connection)

    @contextmanager
    def _call(self) -> Iterator[None]:
        """Count a call that closing waits for, and translate its errors."""
        if self._closed:
            raise StoreUnavailableError("the store is closed")
        self._under_way += 1
        try:
            yield
        except Exception as error:
            translated = translate(error)
            if isinstance(translated, StoreBrokenError) and self._failure is not None and not self._failure.done():
                self._failure.set_result(translated)
            if translated is error:
                raise
            raise translated from error
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()
