"""A small disk of its own, which can be filled up."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STEP = 64 << 10


def can_mount() -> bool:
    """Only root can make a file system; the fault is left out for others."""
    return (
        os.geteuid() == 0 and subprocess.run(["mount", "--version"], check=False, capture_output=True).returncode == 0
    )


class SmallDisk:
    """A file system in memory with a limit."""

    def __init__(self, folder: Path, size_mb: int) -> None:
        folder.mkdir()
        self.folder = folder
        self._ballast = folder / "ballast"
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=755", "tmpfs", folder], check=True)

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

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", self.folder], check=True)
