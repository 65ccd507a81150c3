"""A file on a network file system is known by the mount that it lies on."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from commerce_event.store.port import StoreRefusedError
from commerce_event.store.sqlite import files, filesystem_check

MOUNTS = """\
/dev/vda1 / ext4 rw,relatime 0 0
tmpfs /tmp tmpfs rw 0 0
filer:/export /srv nfs4 rw,vers=4.2 0 0
/dev/vdb1 /srv/local xfs rw 0 0
//filer/share /mnt/with\\040space cifs rw 0 0
user@host:/ /home/me/remote fuse.sshfs rw 0 0
/dev/vdc1 /twice ext4 rw 0 0
filer:/twice /twice nfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/events.db", "ext4"),
        ("/tmp/events.db", "tmpfs"),
        ("/srv/events.db", "nfs4"),
        ("/srv/local/events.db", "xfs"),
        ("/srv/locally/events.db", "nfs4"),
        ("/mnt/with space/events.db", "cifs"),
        ("/home/me/remote/a/b/events.db", "fuse.sshfs"),
        ("/twice/events.db", "nfs"),
    ],
)
def test_deepest_and_last_mount_tells_the_kind(path: str, kind: str) -> None:
    assert filesystem_check.kind_of(Path(path), MOUNTS) == kind


@pytest.mark.parametrize(
    ("kind", "refused"), [("ext4", False), ("fuse.sshfs", True), ("nfs", True), ("fuseblk", False)]
)
def test_store_is_refused_on_what_lies_across_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, refused: bool
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"x / {kind} rw 0 0\n")
    monkeypatch.setattr(filesystem_check, "_MOUNTS", mounts)

    if not refused:
        files.check_place(tmp_path / "events.db")
        return
    with pytest.raises(StoreRefusedError, match=f"network file system \\({kind}\\)"):
        files.check_place(tmp_path / "events.db")


def test_machine_that_tells_nothing_of_its_mounts_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem_check, "_MOUNTS", tmp_path / "none")

    assert filesystem_check.remote_kind(tmp_path) is None


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_store_that_is_no_regular_file_is_refused_without_opening_it(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "events.db")

    with pytest.raises(StoreRefusedError, match=r"events.db is (not a regular file|a folder); (give|name) "):
        files.check_place(tmp_path / "events.db")


@pytest.mark.parametrize("name", ["events.db.lock", "events.db-wal", "events.db-shm"])
def test_file_of_a_store_that_is_no_regular_file_is_refused_without_opening_it(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)

    with pytest.raises(StoreRefusedError, match=f"{name} is not a regular file; remove it"):
        files.check_place(tmp_path / "events.db")
