"""Copy an embedded store as of one moment, while a server may go on writing it."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import apsw
import msgspec

from commerce_event.store.port import StoreBrokenError, StoreError, StoreRefusedError
from commerce_event.store.sqlite import files

_PAGES: Final = 1_024  # about 4 MB between two looks at how far it is


class Backup(msgspec.Struct, frozen=True):
    """A backup file that was checked and flushed."""

    file: str
    bytes: int
    key_file: str | None  # opens the secrets; it is not part of the backup


def back_up(path: Path, to: Path, *, replace: bool, on_pages: Callable[[int, int], None]) -> Backup:
    """Copy a store into another file. Either the whole file appears or none does.

    ``on_pages`` is called with the number of pages copied and of all pages. Raises StoreError with the remedy.
    """
    files.check_engine()
    _check_places(path, to, replace=replace)
    part = to.with_name(to.name + ".part")
    try:
        with _refusals(path, to):
            _clear(part)
            os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            with closing(files.open_reader(path)) as source, closing(apsw.Connection(str(part))) as copy:
                _check_store(source, path)
                _copy(source, copy, on_pages)
                _check_copy(copy)
            _keep(part, to)
    except BaseException:
        _clear(part)
        raise
    key_file = path.with_name(path.name + ".key")
    return Backup(str(to), to.stat().st_size, str(key_file) if key_file.exists() else None)


def _clear(part: Path) -> None:
    """Remove what an earlier try left, with the files that SQLite may have put next to it."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        part.with_name(part.name + suffix).unlink(missing_ok=True)


def _check_places(path: Path, to: Path, *, replace: bool) -> None:
    if not path.is_file():
        raise StoreRefusedError(f"there is no store {path}; name one with --store sqlite:///FILE")
    if not to.parent.is_dir():
        raise StoreRefusedError(f"the folder {to.parent} does not exist; create it or give another --to")
    if to.exists() and path.samefile(to):
        raise StoreRefusedError(f"{to} is the store itself; give another --to")
    if to.is_dir():
        raise StoreRefusedError(f"{to} is a folder; name a file in it, for example {to / path.name}")
    if to.exists() and not replace:
        raise StoreRefusedError(f"{to} exists already; give another --to, or --replace it")


@contextmanager
def _refusals(path: Path, to: Path) -> Iterator[None]:
    try:
        yield
    except apsw.NotADBError:
        raise StoreRefusedError(f"{path} is not a commerce-event store; give another --store") from None
    except apsw.CorruptError as error:
        raise StoreBrokenError(f"{path} is damaged ({error}); keep it, and restore the last good backup") from None
    except apsw.FullError:
        raise StoreError(f"there is no space for {to}; free some space or give another --to") from None
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.IOError, apsw.BusyError, OSError) as error:
        raise StoreRefusedError(f"{path} cannot be copied to {to} ({error}); check the disks and rights") from None


def _check_store(source: apsw.Connection, path: Path) -> None:
    if source.pragma("application_id") != files.APPLICATION_ID:
        raise StoreRefusedError(f"{path} is not a commerce-event store; give another --store")


def _copy(source: apsw.Connection, copy: apsw.Connection, on_pages: Callable[[int, int], None]) -> None:
    """Copy one snapshot: an open transaction hides later commits, so that the copy never restarts."""
    copy.execute("PRAGMA synchronous = OFF")  # flushed once, when it is whole
    source.execute("BEGIN")
    source.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    with copy.backup("main", source, "main") as copying:
        while not copying.done:
            copying.step(_PAGES)
            on_pages(copying.page_count - copying.remaining, copying.page_count)
    source.execute("COMMIT")


def _check_copy(copy: apsw.Connection) -> None:
    """Make it a single file without a log, and read all of it."""
    copy.execute("PRAGMA journal_mode = DELETE")
    found = [str(row[0]) for row in copy.execute("PRAGMA quick_check(1)")]
    if found != ["ok"]:
        raise StoreBrokenError(f"the copy is damaged ({found[0]}), and so may be the store; keep the last good backup")


def _keep(part: Path, to: Path) -> None:
    _flush(part)
    part.replace(to)
    _flush(to.parent)


def _flush(place: Path) -> None:
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
