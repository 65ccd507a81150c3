"""The real SQLite store without threads: its writer runs in the event loop and can be killed or full."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args
from unittest.mock import patch

import apsw
import msgspec

from commerce_event.store.port import StoreUnavailableError
from commerce_event.store.sqlite import engine
from commerce_event.store.sqlite.writer import Writer, _Call

T = TypeVar("T")


Fault = Literal["before", "torn", "after", "full"]
FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)


class FaultPoint(msgspec.Struct, frozen=True):
    """What goes wrong at the n-th commit.

    The power goes before it, in the midst of its bytes, or after it and before anybody is told; or the disk is full.
    """

    commit: int
    fault: Fault


class Disk:
    """What the store lies on. ``full``: nothing can be written. ``point`` says what goes wrong once, and when."""

    def __init__(self, rng: random.Random, point: FaultPoint | None = None) -> None:
        self._rng = rng
        self._point = point
        self.full = False
        self.commits = 0
        self.torn_at: int | None = None  # the log's last commit is whole only up to that byte
        self.on_fault: Callable[[Fault], None] = _ignore_fault

    def fails(self, fault: Fault, log: Path, written_from: int = 0) -> bool:
        """Tell whether this goes wrong now."""
        if self._point != FaultPoint(self.commits, fault):
            return False
        if fault == "torn":
            self.torn_at = self._rng.randint(written_from, max(written_from, _size(log) - 1))
        self._point = None
        self.on_fault(fault)
        return True

    def latency_s(self) -> float:
        """Return how long the next thing takes: mostly a millisecond, now and then much more."""
        return self._rng.uniform(0.0002, 0.003) if self._rng.random() < 0.97 else self._rng.uniform(0.05, 0.8)


def _ignore_fault(_: Fault) -> None:
    """Nothing happens where nothing goes wrong."""


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class InlineWriter(Writer):
    """Groups, runs and rolls back like the real one, whose methods it uses; only the thread is gone."""

    disk: Disk

    def __init__(self, connection: apsw.Connection, **given: Callable[[], None]) -> None:
        with patch("threading.Thread.start"):
            super().__init__(connection, **given)
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
        self.disk.commits += 1
        log = Path(f"{self._connection.filename}-wal")
        before = _size(log)
        if self.disk.fails("before", log):
            return
        self.disk.fails("full", log)
        group, _ = self._next_group()
        answered = self._commit(group)
        self._after_commit()
        if self.disk.fails("torn", log, before) or self.disk.fails("after", log):
            return
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

    def __init__(self, path: Path, writer: apsw.Connection, on_error: Callable[[apsw.Error], None]) -> None:
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
