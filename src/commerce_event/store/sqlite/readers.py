"""The readers: a few threads, each with a connection of its own."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from commerce_event.store.port import StoreUnavailableError
from commerce_event.store.sqlite import files
from commerce_event.store.sqlite.writer import translate

T = TypeVar("T")


class Readers:
    """Runs work on its connections, which are opened when needed."""

    def __init__(self, path: Path, count: int, *, name: str, on_error: Callable[[apsw.Error], None]) -> None:
        self._path = path
        self._on_error = on_error
        self._own = threading.local()
        self._connections: list[apsw.Connection] = []
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def do(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run ``work`` and return its result. Raises the port's errors."""
        try:
            reading = asyncio.get_running_loop().run_in_executor(self._threads, self._read, work)
        except RuntimeError:  # the threads are ending
            raise StoreUnavailableError("the store is closed") from None
        return await reading

    def close(self) -> None:
        """Finish queued calls, then end the threads and close the connections. Blocks."""
        self._threads.shutdown()
        for connection in self._connections:
            connection.close(True)

    def _read(self, work: Callable[[apsw.Connection], T]) -> T:
        connection: apsw.Connection | None = getattr(self._own, "connection", None)
        try:
            if connection is None:
                connection = self._own.connection = files.open_reader(self._path)
                self._connections.append(connection)
            return work(connection)
        except apsw.Error as error:
            self._on_error(error)
            raise translate(error) from error
