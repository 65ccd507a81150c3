"""Copy the write-ahead log into the database file without delaying writes.

A thread copies most pages while writing goes on; the writer then copies the few that were added meanwhile, between two
transactions, so that the log restarts from its beginning and does not grow without limit.
"""

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw

_PAGES: Final = 2_000  # about 8 MB of log before copying is worth a flush
_BUSY_MS: Final = 1_000


class Checkpointer:
    """Watches the size of the log after every commit."""

    def __init__(self, path: Path, writer: apsw.Connection, on_error: Callable[[apsw.Error], None]) -> None:
        """``on_error`` is called, on any thread, with errors that prevented copying."""
        self._path = path
        self._writer = writer
        self._on_error = on_error
        self._pages = 0
        self._orders: queue.SimpleQueue[bool] = queue.SimpleQueue()  # True: copy; False: end
        self._copying = False  # from the order until the writer has copied the rest; the writer's alone
        self._copied = threading.Event()
        writer.set_wal_hook(self._on_commit)
        self._thread = threading.Thread(target=self._run, name="store-checkpoint", daemon=True)
        self._thread.start()

    def _on_commit(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._pages = pages
        return apsw.SQLITE_OK

    def after_commit(self) -> None:
        """Called by the writer between transactions."""
        if self._copied.is_set():
            self._copied.clear()
            self._copy(self._writer)
            self._pages = 0
            self._copying = False
        elif self._pages >= _PAGES and not self._copying:
            self._copying = True
            self._orders.put(True)

    def close(self) -> None:
        """End the thread. Idempotent."""
        self._orders.put(False)
        self._thread.join()

    def _run(self) -> None:
        connection = apsw.Connection(str(self._path))
        connection.set_busy_timeout(_BUSY_MS)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")
        try:
            while self._orders.get():
                self._copy(connection)
                self._copied.set()
        finally:
            connection.close(True)

    def _copy(self, connection: apsw.Connection) -> None:
        """Copy what can be copied now. If something prevents it, the log is kept and copied again later."""
        try:
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except (apsw.BusyError, apsw.LockedError):
            return
        except apsw.Error as error:
            self._on_error(error)
