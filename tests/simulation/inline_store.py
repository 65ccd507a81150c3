"""The real SQLite store without its threads: the writer works in the event loop, and can be killed or have no room."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import apsw

from commerce_event.store.port import StoreUnavailableError
from commerce_event.store.sqlite import engine
from commerce_event.store.sqlite.writer import Writer, _Call

T = TypeVar("T")


class Disk:
    """What the store lies on. ``full``: nothing can be written."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.full = False

    def latency_s(self) -> float:
        """Return how long the next thing takes: mostly a millisecond, now and then much more."""
        return self._chance.uniform(0.0002, 0.003) if self._chance.random() < 0.97 else self._chance.uniform(0.05, 0.8)


class InlineWriter(Writer):
    """Groups, runs and rolls back like the real one, whose methods it uses; only the thread is gone."""

    disk: Disk

    def __init__(
        self, connection: apsw.Connection, *, on_rollback: Callable[[], None], after_commit: Callable[[], None]
    ) -> None:
        with patch("threading.Thread.start"):
            super().__init__(connection, on_rollback=on_rollback, after_commit=after_commit)
        self._working = False
        self._killed = False

    async def do(self, work: Callable[[apsw.Connection], T], *, insist: bool = False) -> T:
        loop = asyncio.get_running_loop()
        call = _Call(work, loop, insists=insist)
        if self._closed:
            raise StoreUnavailableError("the store is closed")
        self._calls.put(call)
        if not self._working:
            self._working = True
            loop.call_later(self.disk.latency_s(), self._commit_some, loop)
        result: T = await call.future
        return result

    def kill(self) -> None:
        """What waits is never written, and what was written is never answered."""
        self._killed = self._closed = True

    def close(self) -> None:
        self._closed = True

    def _commit_some(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._killed:
            return
        group, _ = self._next_group()
        answered = self._commit(group)
        self._after_commit()
        loop.call_later(self.disk.latency_s(), self._answer_some, loop, answered)

    def _answer_some(self, loop: asyncio.AbstractEventLoop, answered: list[_Call]) -> None:
        if self._killed:
            return
        for call in answered:
            call.answer()
        self._working = not self._calls.empty()
        if self._working:
            loop.call_later(self.disk.latency_s(), self._commit_some, loop)

    def _run_one(self, call: _Call, *, alone: bool) -> None:
        if self.disk.full:
            raise apsw.FullError("the simulated disk is full")
        super()._run_one(call, alone=alone)


class InlineCheckpointer:
    """The log stays as long as it gets: a simulated life is short."""

    def __init__(self, path: Path, writer: apsw.Connection) -> None:
        """Watch nothing."""

    def after_commit(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


@contextmanager
def inline_store(disk: Disk) -> Iterator[None]:
    """Within this, stores that are opened work without threads, on that disk."""
    writer: Any = type("WriterOnDisk", (InlineWriter,), {"disk": disk})
    with patch.object(engine, "Writer", writer), patch.object(engine, "Checkpointer", InlineCheckpointer):
        yield
