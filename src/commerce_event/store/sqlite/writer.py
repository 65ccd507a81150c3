"""The one writer: a thread that runs all queued calls in a single transaction.

Calls that arrive while a commit is under way share the next one, so durability costs one flush for many callers.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final, TypeVar

import apsw

from commerce_event.store.port import StoreBrokenError, StoreError, StoreUnavailableError

T = TypeVar("T")
Work = Callable[[apsw.Connection], Any]

_GROUP_MAX: Final = 64  # calls, each of which may carry a batch
_FATAL: Final = frozenset({apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC})


class _Call:
    __slots__ = ("error", "future", "insists", "loop", "result", "work")

    def __init__(self, work: Work, loop: asyncio.AbstractEventLoop, *, insists: bool) -> None:
        self.work = work
        self.insists = insists
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None

    def answer(self) -> None:
        if self.future.done():  # the caller was cancelled; the work is committed
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class Writer:
    """Runs work on its connection, grouped into transactions, and returns results on the caller's event loop."""

    def __init__(
        self,
        connection: apsw.Connection,
        *,
        on_rollback: Callable[[], None],
        check: Callable[[], None],
        after_commit: Callable[[], None],
    ) -> None:
        """``check`` is called after a commit, before the callers get their results; they get what it raises instead."""
        self._connection = connection
        self._on_rollback = on_rollback
        self._check = check
        self._after_commit = after_commit
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._owed: list[
            _Call
        ] = []  # insisting calls that could not be written yet: nothing else is written before them
        self.failure: Future[StoreBrokenError] = Future()  # set once, when the file can no longer be trusted
        self.was_refused = False  # the last transaction raised StoreUnavailableError
        self._closed = False
        self._gate = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def do(self, work: Callable[[apsw.Connection], T], *, insist: bool = False) -> T:
        """Run ``work`` inside a transaction and return its result once that is durable.

        Raises StoreUnavailableError when nothing was changed, StoreBrokenError when the process should stop. With
        ``insist``, it waits until the work can be done, and no later work becomes durable before it.
        """
        call = _Call(work, asyncio.get_running_loop(), insists=insist)
        with self._gate:  # a call queued behind the end mark would never be answered
            if self._closed:
                raise StoreUnavailableError("the store is closed")
            self._calls.put(call)
        result: T = await call.future
        return result

    def close(self) -> None:
        """Finish queued calls, then end the thread. Blocks; idempotent."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._calls.put(None)
        self._thread.join()

    def fail(self, error: StoreBrokenError) -> None:
        """Refuse all further calls: the file can no longer be trusted. The first reason is kept."""
        with self._gate:
            if not self.failure.done():
                self.failure.set_result(error)

    def _run(self) -> None:
        running = True
        while running:
            group, running = self._next_group()
            if group:
                _answer(self._commit(group))
                self._maintain_log()
        _answer(self._owed)

    def _maintain_log(self) -> None:
        try:
            self._after_commit()
        except Exception as error:  # the thread must go on: it answers all callers
            self.fail(StoreBrokenError(f"the store's log cannot be maintained ({error}); check the disk"))

    def _next_group(self) -> tuple[list[_Call], bool]:
        """Wait for one call, then take all others that are queued; insisting calls of earlier groups come first."""
        group = self._owed
        call = self._calls.get()
        while call is not None:
            group.append(call)
            if len(group) >= _GROUP_MAX:
                return group, True
            try:
                call = self._calls.get_nowait()
            except queue.Empty:
                return group, True
        return group, False

    def _commit(self, group: list[_Call]) -> list[_Call]:
        """Run a group; return the calls that have a result now."""
        self._owed = []
        try:
            if self.failure.done():
                raise self.failure.result()
            self._connection.execute("BEGIN IMMEDIATE")
            for call in group:
                self._run_one(call, alone=len(group) == 1)
            self._connection.execute("COMMIT")
            self._check()
            self.was_refused = False
        except BaseException as error:
            self._roll_back()
            translated = self._translated(error)
            self.was_refused = isinstance(translated, StoreUnavailableError)
            for call in group:
                call.error = translated
            if isinstance(translated, StoreUnavailableError):
                self._owed = [call for call in group if call.insists]
        return [call for call in group if call not in self._owed] if self._owed else group

    def _run_one(self, call: _Call, *, alone: bool) -> None:
        """Run one call so that its own failure does not undo the others' work."""
        call.error = None
        if alone:
            call.result = call.work(self._connection)
            return
        self._connection.execute("SAVEPOINT call")
        try:
            call.result = call.work(self._connection)
        except Exception as error:
            if isinstance(translate(error), StoreError):
                raise  # the disk or the file: it concerns the whole group
            self._connection.execute("ROLLBACK TO call")
            self._on_rollback()
            call.error = error
        self._connection.execute("RELEASE call")

    def _roll_back(self) -> None:
        self._on_rollback()
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except apsw.Error as error:
            self.fail(StoreBrokenError(f"a transaction cannot be undone ({error}); check the disk and start again"))

    def _translated(self, error: BaseException) -> BaseException:
        translated = translate(error)
        if isinstance(translated, StoreBrokenError):
            self.fail(translated)
        return translated


def translate(error: BaseException) -> BaseException:
    """Return the port's error for an engine's error; others pass unchanged."""
    if isinstance(error, StoreError) or not isinstance(error, apsw.Error):
        return error
    code = getattr(error, "extendedresult", 0)
    if isinstance(error, apsw.CorruptError | apsw.NotADBError) or code in _FATAL:
        return StoreBrokenError(f"the store file can no longer be trusted ({error}); stop, check the disk, restore")
    if isinstance(error, apsw.FullError):
        return StoreUnavailableError("the disk is full; free some space and it goes on by itself")
    if isinstance(error, apsw.IOError | apsw.BusyError | apsw.LockedError | apsw.ReadOnlyError | apsw.CantOpenError):
        return StoreUnavailableError(f"the store file cannot be written now ({error})")
    return error


def _answer(group: list[_Call]) -> None:
    """Wake each event loop once for all of its calls."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Call]] = {}
    for call in group:
        by_loop.setdefault(call.loop, []).append(call)
    for loop, calls in by_loop.items():
        with suppress(RuntimeError):  # that loop was closed: no caller waits in it
            loop.call_soon_threadsafe(_answer_all, calls)


def _answer_all(calls: list[_Call]) -> None:
    for call in calls:
        call.answer()
