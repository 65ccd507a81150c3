"""How the roles of the store reach the file."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import apsw

from commerce_event.core.model import Scope
from commerce_event.store.fair_slots import search_slots
from commerce_event.store.port import StoreBrokenError, StoreUnavailableError
from commerce_event.store.sqlite.readers import Readers
from commerce_event.store.sqlite.writer import Writer

T = TypeVar("T")


class Access:
    """One writer, a few readers, a reader for the queue alone, and readers for searches.

    None of them exists while the store is closed.
    Every method raises StoreUnavailableError while the store is closed.
    """

    def __init__(self) -> None:
        self.run_id = 0
        self.writer: Writer | None = None
        self.readers: Readers | None = None
        self.queue_reader: Readers | None = None  # so that no read delays a delivery
        self.search_readers: Readers | None = None  # so that no search delays another read
        self._search_slots = search_slots()

    async def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run ``work`` on a connection that can only read; return its result."""
        return await _opened(self.readers).do(work)

    async def read_snapshot(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run ``work`` of several statements that must agree; return its result."""
        return await self.read(_in_transaction(work))

    async def search(self, scope: Scope, work: Callable[[apsw.Connection], T]) -> T:
        """Run ``work`` that searches texts, in one snapshot, when it is the scope's turn."""
        async with self._search_slots.slot(scope.client_ids):
            return await _opened(self.search_readers).do(_in_transaction(work))

    async def read_for_queue(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run short ``work`` that delivering waits for."""
        return await _opened(self.queue_reader).do(work)

    async def write(self, work: Callable[[apsw.Connection], T], *, insist: bool = False) -> T:
        """Run ``work`` in a transaction; return its result once it is durable. ``insist``: see Writer.do."""
        return await _opened(self.writer).do(work, insist=insist)

    @property
    def was_refused(self) -> bool:
        """Whether the last transaction was refused, and may succeed later."""
        return _opened(self.writer).was_refused

    async def failed(self) -> StoreBrokenError:
        """Return the reason once the file can no longer be trusted; until then wait."""
        failure = asyncio.wrap_future(_opened(self.writer).failure)
        return await asyncio.shield(failure)  # so that a cancelled caller does not cancel it


def _in_transaction(work: Callable[[apsw.Connection], T]) -> Callable[[apsw.Connection], T]:
    def run(connection: apsw.Connection) -> T:
        with connection:
            answer = work(connection)
        return answer  # noqa: RET504 - for mypy, a context manager may swallow the error

    return run


def _opened(part: T | None) -> T:
    if part is None:
        raise StoreUnavailableError("the store is closed")
    return part
