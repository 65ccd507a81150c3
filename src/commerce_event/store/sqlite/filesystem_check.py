"""Check that a file is on a disk of this machine, not on a network file system."""

import re
from pathlib import Path
from typing import Final

_MOUNTS: Final = Path("/proc/self/mounts")
# Network file systems, where locks and flushes are not reliable.
_REMOTE: Final = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|9p|afs|ceph|glusterfs|lustre|gpfs|beegfs|fuse\.(sshfs|glusterfs|s3fs|rclone|ceph).*"
)
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


def remote_kind(path: Path) -> str | None:
    """Return the kind of network file system that a path is on; None when it is on none, or that cannot be known."""
    try:
        mounts = _MOUNTS.read_text()
    except OSError:
        return None
    kind = kind_of(path.resolve(), mounts)
    return kind if _REMOTE.fullmatch(kind) else None


def kind_of(path: Path, mounts: str) -> str:
    """Return the file system of a path: that of the deepest mount above it, the last one of several at one place."""
    found, depth = "", -1
    for line in mounts.splitlines():
        _, place, kind, *_ = line.split(" ")
        folder = Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), place))
        if path.is_relative_to(folder) and len(folder.parts) >= depth:
            found, depth = kind, len(folder.parts)
    return found
