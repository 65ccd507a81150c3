"""The readers: a few threads, each with a connection of its own."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import apsw

from commerce_event.daemon_threads import DaemonThreads
from commerce_event.store.port import StoreUnavailableError
from commerce_event.store.sqlite import files
from commerce_event.store.sqlite.writer import translate

_INTERRUPT_AGAIN_S: Final = 0.05

T = TypeVar("T")


class _Call:
    """A call to a reader, which its caller can interrupt while it runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: apsw.Connection | None = None  # while the call runs
        self._is_interrupted = False

    def begin(self, connection: apsw.Connection) -> None:
        """Raises StoreUnavailableError when the call was interrupted before it began."""
        with self._lock:
            if self._is_interrupted:
                raise StoreUnavailableError("the read was cancelled")
            self._connection = connection

    def end(self) -> None:
        with self._lock:
            self._connection = None

    def interrupt(self) -> None:
        """Interrupt the statements of this call, never one of a later call on the same connection."""
        with self._lock:
            self._is_interrupted = True
            if self._connection is not None:
                self._connection.interrupt()  # without effect between two statements, hence again
                asyncio.get_running_loop().call_later(_INTERRUPT_AGAIN_S, self.interrupt)


class Readers:
    """Runs work on its connections, which are opened when needed."""

    def __init__(self, path: Path, count: int, *, name: str, on_error: Callable[[apsw.Error], None]) -> None:
        self._path = path
        self._on_error = on_error
        self._own = threading.local()
        self._connections: list[apsw.Connection] = []
        self._threads = DaemonThreads(count, name=name)

    async def do(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run ``work`` and return its result; interrupt it when the caller is cancelled. Raises the port's errors."""
        call = _Call()
        try:
            reading = asyncio.get_running_loop().run_in_executor(self._threads, self._read, work, call)
        except RuntimeError:  # the threads are ending
            raise StoreUnavailableError("the store is closed") from None
        try:
            return await reading
        except asyncio.CancelledError:
            call.interrupt()
            raise

    def close(self, finish_s: float = 0.0) -> None:
        """Finish queued calls for so long, then interrupt them; end the threads and close the connections. Blocks."""
        self._threads.shutdown(wait=False, cancel_futures=not finish_s)
        while not self._threads.join(finish_s):
            for connection in list(self._connections):
                connection.interrupt()  # without effect between two statements, hence again
            finish_s = _INTERRUPT_AGAIN_S
        for connection in self._connections:
            connection.close(True)

    def _read(self, work: Callable[[apsw.Connection], T], call: "_Call | None" = None) -> T:
        call = call or _Call()
        connection: apsw.Connection | None = getattr(self._own, "connection", None)
        try:
            if connection is None:
                connection = self._own.connection = files.open_reader(self._path)
                self._connections.append(connection)
            call.begin(connection)
            try:
                return work(connection)
            finally:
                call.end()
        except apsw.InterruptError:
            raise StoreUnavailableError("the read was cancelled") from None
        except apsw.Error as error:
            self._on_error(error)
            raise translate(error) from error
