"""Run the product on a disk that fails on demand: ``launch_with_disk_faults.py FOLDER serve``.

While FOLDER has a file named ``sync-fails``, flushing fails with an input/output error, and ``file-sync-fails`` lets
only the database file itself fail, not its log; while it has one named ``no-space``, writing finds the disk full. All
come from below SQLite, as the system's own would. The log is copied into the file early, so that little is needed.
"""

import sys
from pathlib import Path

import apsw

from commerce_event.cli.main import main
from commerce_event.store.sqlite import checkpoints

_FOLDER = Path(sys.argv.pop(1))
_SYSTEM = apsw.vfs_names()[0]


def _error(kind: type[apsw.Error], code: int) -> apsw.Error:
    error = kind("as it was told")
    error.extendedresult = code  # type: ignore[attr-defined]
    return error


class _File(apsw.VFSFile):
    def __init__(self, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__(_SYSTEM, name, flags)
        fails = ["sync-fails", "file-sync-fails"] if flags[0] & apsw.SQLITE_OPEN_MAIN_DB else ["sync-fails"]
        self._fails = [_FOLDER / each for each in fails]

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        if any(each.exists() for each in self._fails):
            raise _error(apsw.IOError, apsw.SQLITE_IOERR_FSYNC)
        super().xSync(flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        if (_FOLDER / "no-space").exists():
            raise _error(apsw.FullError, apsw.SQLITE_FULL)
        super().xWrite(data, offset)


class _Disk(apsw.VFS):
    def __init__(self) -> None:
        super().__init__("bad", _SYSTEM, makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        if flags[0] & apsw.SQLITE_OPEN_READONLY:  # its last lock is refused, which only the system's own file forgives
            flags[0] ^= apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_READWRITE
        return _File(name, flags)


checkpoints._PAGES = 20  # type: ignore[misc]
disk = _Disk()
main()
