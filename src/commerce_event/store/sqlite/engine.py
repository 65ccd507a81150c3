"""SqliteStore: the store port on one SQLite file."""

import asyncio
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import apsw
import structlog

from commerce_event.core.clock import Clock, SystemClock
from commerce_event.daemon_threads import DaemonThreads
from commerce_event.store.fair_slots import SEARCHES_MAX
from commerce_event.store.model import Notice, StoreInfo
from commerce_event.store.port import StoreBrokenError
from commerce_event.store.sqlite import clock as stored_clock
from commerce_event.store.sqlite import files, maintenance, queue
from commerce_event.store.sqlite.access import Access
from commerce_event.store.sqlite.activity import SqliteActivity
from commerce_event.store.sqlite.audit_log import SqliteAuditLog
from commerce_event.store.sqlite.change_settings import SqliteChangeSettings
from commerce_event.store.sqlite.changes import SqliteChanges
from commerce_event.store.sqlite.checkpoints import Checkpointer
from commerce_event.store.sqlite.contract import SqliteContract
from commerce_event.store.sqlite.history import SqliteHistory
from commerce_event.store.sqlite.journal import SqliteJournal
from commerce_event.store.sqlite.maintenance import SqliteMaintenance
from commerce_event.store.sqlite.queue import SqliteQueue
from commerce_event.store.sqlite.readers import Readers
from commerce_event.store.sqlite.refusals import SqliteRefusals
from commerce_event.store.sqlite.registry import SqliteRegistry
from commerce_event.store.sqlite.sql import fetch_value
from commerce_event.store.sqlite.writer import Writer, translate

_READERS: Final = 4  # twice as many as the reads of one caller that run at once
_FINISH_S: Final = 1.0  # for the reads under way when the store is closed

log = structlog.get_logger(__name__)


class SqliteStore:
    """The embedded engine. One thread writes; reads have a few connections of their own."""

    def __init__(self, path: Path, *, clock: Clock | None = None) -> None:
        self.on_notice: Callable[[Notice], None] | None = None  # never called: there is no other node
        self._path = path.resolve()  # a link to a file leads to the same lock
        self._clock = clock or SystemClock()
        self._lock = files.FileLock(self._path)
        self._connection: apsw.Connection | None = None  # the writer's
        self._access = Access()
        self._schema = 0
        self._unclean_starts = 0
        self.journal = SqliteJournal(self._access)
        self.queue = SqliteQueue(self._access)
        self.registry = SqliteRegistry(self._access)
        self.contract = SqliteContract(self._access)
        self.history = SqliteHistory(self._access)
        self.activity = SqliteActivity(self._access)
        self.audit_log = SqliteAuditLog(self._access)
        self.refusals = SqliteRefusals(self._access)
        self.changes = SqliteChanges(self._access, self.journal)
        self.change_settings = SqliteChangeSettings(self._access)
        self.maintenance = SqliteMaintenance(self._access, self._clock)

    async def open(self) -> None:
        await asyncio.to_thread(self._open)

    def _open(self) -> None:
        files.check_engine()
        files.check_place(self._path)
        with files.refusals(self._path):
            self._lock.take()
        try:
            with files.refusals(self._path):
                connection = self._connection = files.open_writer(self._path)
                self._schema = files.migrate(connection, self._path)
                files.copy_log(connection)
                identity = files.Identity(self._path)
                with connection:
                    self._access.run_id = int(fetch_value(connection, "increment_meta", "run"))
                    if isinstance(self._clock, SystemClock):
                        stored_clock.continue_clock(connection, self._clock)
                    released = queue.release_former_claims(connection, self._clock.now_ms())
                    self._unclean_starts = maintenance.begin_run(connection)
        except BaseException:
            self._close_file()
            raise
        if released:
            log.warning("the former run did not end properly", deliveries_due_again=released)
        self.journal.forget_sequences()
        self._checkpointer = Checkpointer(self._path, connection, self._on_error)
        self._access.writer = Writer(
            connection,
            on_rollback=self.journal.forget_sequences,
            check=identity.check,
            after_commit=self._checkpointer.after_commit,
        )
        self._access.readers = Readers(self._path, _READERS, name="store-reader", on_error=self._on_error)
        self._access.search_readers = Readers(self._path, SEARCHES_MAX, name="store-search", on_error=self._on_error)
        self._access.queue_reader = Readers(self._path, 1, name="store-queue-reader", on_error=self._on_error)

    async def close(self) -> None:
        thread = DaemonThreads(1, name="store-close")  # a disk that hangs must not keep the process from ending
        await asyncio.get_running_loop().run_in_executor(thread, self._close)
        thread.shutdown()

    def _close(self) -> None:
        access = self._access
        if access.writer is not None and self._connection is not None:
            access.writer.close()
            self._checkpointer.close()
            if not access.writer.failure.done():
                with suppress(apsw.Error):  # for example a full disk: the next start counts an unclean one
                    maintenance.end_run(self._connection)
            access.writer = None
        if access.search_readers is not None:
            access.search_readers.close()
        for readers in (access.readers, access.queue_reader):
            if readers is not None:
                readers.close(_FINISH_S)
        access.readers = access.queue_reader = access.search_readers = None
        self._close_file()

    def _close_file(self) -> None:
        if self._connection is not None:  # the last connection: only it can copy the log into the file
            self._connection.close(True)
            self._connection = None
        self._lock.release()

    async def failed(self) -> StoreBrokenError:
        return await self._access.failed()

    @property
    def run_id(self) -> int:
        return self._access.run_id

    @property
    def nodes(self) -> int:
        return 1

    async def info(self) -> StoreInfo:
        return await self._access.read(lambda _: self._info())

    def _info(self) -> StoreInfo:
        names = (self._path, self._path.with_name(self._path.name + "-wal"))
        return StoreInfo(
            engine="sqlite",
            version=apsw.sqlite_lib_version(),
            location=str(self._path),
            schema_version=self._schema,
            durability="WAL, synchronous=FULL",
            size_bytes=sum(name.stat().st_size for name in names if name.exists()),
            free_bytes=shutil.disk_usage(self._path.parent).free,
            unclean_starts=self._unclean_starts,
        )

    async def last_id(self) -> int:
        return await self._access.read(maintenance.last_id)

    def _on_error(self, error: apsw.Error) -> None:
        """End the store when a reader or the checkpointer meets a damaged file."""
        translated = translate(error)
        if isinstance(translated, StoreBrokenError) and self._access.writer is not None:
            self._access.writer.fail(translated)
