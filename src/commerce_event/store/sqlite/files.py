"""The store file: lock it, check the engine, verify durability, migrate the schema."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import apsw

from commerce_event.store import sql_files
from commerce_event.store.port import StoreBrokenError, StoreRefusedError
from commerce_event.store.sqlite import filesystem_check
from commerce_event.store.text_search import entry

APPLICATION_ID: Final = 0x43455654  # "CEVT", so that `file` and we know whose database it is
# Older engines can lose or damage committed pages when the log restarts: https://sqlite.org/wal.html#walresetbug
_SAFE_SINCE: Final = (3, 51, 3)
_PAGE_CACHE_KIB: Final = 12 * 1024
_BUSY_MS: Final = 5_000
_LOG_KEPT_BYTES: Final = 16 * 1024**2  # the log is cut to this once it restarts, after a long reader made it grow


class Identity:
    """Which file a path led to when the store was opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is = self._now()

    def _now(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def check(self) -> None:
        """Raises StoreBrokenError when the file was deleted or replaced: what is written through our handle is lost."""
        if self._now() != self._is:
            raise StoreBrokenError(f"{self._path} was deleted or replaced while in use; put it back and start again")


class FileLock:
    """Locks ``<database>.lock`` while this process serves the file, so that no second process can."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._handle: int | None = None

    def take(self) -> None:
        """Raises StoreRefusedError naming the holder."""
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(handle, 200).decode(errors="replace").strip() or "another process"
            os.close(handle)
            raise StoreRefusedError(
                f"{self._path.name.removesuffix('.lock')} is in use by {holder}; stop that one or give another --store"
            ) from None
        try:
            os.truncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
        except OSError as error:
            os.close(handle)
            raise StoreRefusedError(f"{self._path} cannot be written ({error.strerror}); free some space") from None
        self._handle = handle

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def check_engine() -> None:
    """Raises StoreRefusedError for a SQLite library with the known defect in its write-ahead log."""
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < _SAFE_SINCE:
        wanted = ".".join(map(str, _SAFE_SINCE))
        raise StoreRefusedError(f"SQLite {apsw.sqlite_lib_version()} can lose data; install apsw {wanted} or newer")


def check_place(path: Path) -> None:
    """Raises StoreRefusedError when the file cannot be created or written at this path."""
    if not path.parent.is_dir():
        raise StoreRefusedError(f"the folder {path.parent} does not exist; create it or give another --store")
    target = path if path.exists() else path.parent
    if path.is_dir():
        raise StoreRefusedError(f"{path} is a folder; name a file in it, for example {path / 'commerce-event.db'}")
    if path.exists() and not path.is_file():  # opening a FIFO would wait for ever
        raise StoreRefusedError(f"{path} is not a regular file; give another --store")
    for name in (".lock", "-wal", "-shm"):
        other = path.with_name(path.name + name)
        if other.exists() and not other.is_file():
            raise StoreRefusedError(f"{other} is not a regular file; remove it")
    if not os.access(target, os.W_OK) or not os.access(path.parent, os.W_OK):
        raise StoreRefusedError(f"{target} cannot be written; change its permissions or give another --store")
    kind = filesystem_check.remote_kind(path.parent)
    if kind is not None:
        raise StoreRefusedError(
            f"{path.parent} is a network file system ({kind}), where locks and flushes cannot be relied on; "
            "name a file on a disk of this machine, or use PostgreSQL"
        )


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Turn the engine's errors about an unusable file into StoreRefusedError with the remedy."""
    try:
        yield
    except apsw.NotADBError:
        raise StoreRefusedError(f"{path} is not a commerce-event store; give another --store") from None
    except apsw.CorruptError as error:
        raise StoreRefusedError(f"{path} is damaged ({error}); restore it from a backup") from None
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.IOError, apsw.FullError, apsw.BusyError, OSError) as error:
        raise StoreRefusedError(f"{path} cannot be opened for writing ({error}); check the disk and rights") from None


def open_writer(path: Path) -> apsw.Connection:
    """Open the writing connection with full durability and read the settings back."""
    # Orders are readable by their owner only; SQLite gives the files next to this one the same mode.
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    connection = apsw.Connection(str(path), statementcachesize=500)
    connection.set_busy_timeout(_BUSY_MS)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_KEPT_BYTES}")
    connection.execute(f"PRAGMA cache_size = -{_PAGE_CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")
    check_durability(connection)
    return connection


def copy_log(connection: apsw.Connection) -> None:
    """Copy what a former run left in the log into the file, and flush it, before anything else is written.

    After a flush that failed, pages of the log may be in memory only, and be lost with the power.
    """
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # without a look at it first, there is no log
    with suppress(apsw.BusyError):  # a backup reads the store just now
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


def damage(connection: apsw.Connection) -> str | None:
    """Read every page of a store; return the first error, None when there is none."""
    try:
        found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(1)")]
    except (apsw.CorruptError, apsw.NotADBError) as error:
        return str(error)
    return None if found == ["ok"] else found[0]


def check_durability(connection: apsw.Connection) -> str:
    """Return the durability in force; StoreRefusedError when an acknowledged event could be lost with the power."""
    mode, level = connection.pragma("journal_mode"), connection.pragma("synchronous")
    if mode != "wal" or level not in {2, 3}:
        raise StoreRefusedError(
            f"the store would not be durable (journal_mode={mode}, synchronous={level}); "
            "put it on a local disk that supports SQLite's write-ahead log"
        )
    return "WAL, synchronous=FULL"


def open_reader(path: Path) -> apsw.Connection:
    """Open a connection that can only read."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, statementcachesize=200)
    connection.set_busy_timeout(_BUSY_MS)
    connection.execute(f"PRAGMA cache_size = -{_PAGE_CACHE_KIB // 4}")
    connection.create_scalar_function("words", _words, 1, deterministic=True)
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def _words(*values: Any) -> str:
    return entry(values[0])


def migrations() -> list[tuple[int, str]]:
    """Return every migration as (schema version, SQL), in order."""
    return sql_files.migrations(__package__)


def migrate(connection: apsw.Connection, path: Path) -> int:
    """Migrate the schema to this version, each step in a transaction of its own; return the version.

    Raises StoreRefusedError for a foreign database, or one made by a newer version.
    """
    steps = migrations()
    newest = steps[-1][0]
    present = int(connection.pragma("user_version"))
    owner = connection.pragma("application_id")
    empty = connection.execute("SELECT count(*) FROM sqlite_schema").get == 0
    if owner != APPLICATION_ID and not empty:
        raise StoreRefusedError(f"{path} is a database of another program; give another --store")
    if present > newest:
        raise StoreRefusedError(
            f"{path} has schema {present}, this version knows {newest}; run the version that made it, or a newer one"
        )
    for version, sql in steps:
        if version > present:
            with connection:
                connection.execute(sql)
                connection.pragma("application_id", APPLICATION_ID)
                connection.pragma("user_version", version)
    return newest
