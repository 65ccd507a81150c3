"""Run the product's command on a disk that fails when it is told to: ``launch_on_bad_disk.py FOLDER serve``.

While FOLDER has a file named ``sync-fails``, flushing fails with an input/output error; while it has one named
``no-space``, writing finds the disk full. Both come from below SQLite, as the system's own would.
"""

import sys
from pathlib import Path

import apsw

from commerce_event.cli.main import main

_FOLDER = Path(sys.argv.pop(1))
_SYSTEM = apsw.vfs_names()[0]


def _error(kind: type[apsw.Error], code: int) -> apsw.Error:
    error = kind("as it was told")
    error.extendedresult = code  # type: ignore[attr-defined]
    return error


class _File(apsw.VFSFile):
    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        if (_FOLDER / "sync-fails").exists():
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
        return _File(_SYSTEM, name, flags)


disk = _Disk()
main()
