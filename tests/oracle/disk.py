"""A small disk for one run, which can be filled or lose its power."""

import errno
import fcntl
import os
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_STEP = 64 << 10
_SHUT_DOWN = 0x8004587D  # _IOR('X', 125, u32): ext4 and others stop at once ...
_WITHOUT_FLUSH = struct.pack("I", 2)  # ... and what was not flushed is gone, as without power
_LET_GO_S = 30.0


@cache
def can_mount() -> bool:
    """Tell whether a disk can be made here: it takes root, loop devices and the tools of ext4."""
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            SmallDisk(Path(folder) / "try", 8).close()
        except (OSError, subprocess.CalledProcessError):
            return False
    return True


class SmallDisk:
    """An ext4 file system with a limit, in a file."""

    def __init__(self, folder: Path, size_mb: int) -> None:
        folder.mkdir()
        self.folder = folder
        self._image = folder.with_suffix(".img")
        self._ballast = folder / "ballast"
        with self._image.open("wb") as image:
            image.truncate(size_mb << 20)
        _run("mkfs.ext4", "-q", "-F", self._image)
        self._mount()

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave no byte free meanwhile."""
        with self._ballast.open("wb", buffering=0) as ballast:
            self._fill(ballast.fileno())
            try:
                yield
            finally:
                self._ballast.unlink()

    def _fill(self, file: int) -> None:
        size = 0
        step = _STEP << 8
        while step >= 4096:
            try:
                os.posix_fallocate(file, size, step)
                size += step
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                step //= 2

    def flush(self) -> None:
        """Write down what is on it so far, and nothing of other disks."""
        _run("sync", "--file-system", self.folder)

    def cut_power(self) -> None:
        """Lose what was written and not flushed; from now on every use of the disk fails."""
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, _SHUT_DOWN, _WITHOUT_FLUSH)
        finally:
            os.close(folder)

    def come_back(self) -> None:
        """Mount what is left once the former file system is not in use. Raises CalledProcessError."""
        end = time.monotonic() + _LET_GO_S
        while subprocess.run(["umount", self.folder], check=False, capture_output=True).returncode:
            if time.monotonic() > end:
                _run("umount", self.folder)
            time.sleep(0.02)
        self._mount()
        self._ballast.unlink(missing_ok=True)  # that it was deleted may not have been flushed either

    def close(self) -> None:
        _run("umount", "--lazy", self.folder)
        self._image.unlink()

    def _mount(self) -> None:
        _run("mount", "-o", "loop", self._image, self.folder)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)
