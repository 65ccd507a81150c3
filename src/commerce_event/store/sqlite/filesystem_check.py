"""Where the file may lie: on a disk of this machine, not across a network."""

import re
from pathlib import Path
from typing import Final

_MOUNTS: Final = Path("/proc/self/mounts")
# File systems that answer over a network: locks and flushes there are promises of somebody else.
_REMOTE: Final = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|9p|afs|ceph|glusterfs|lustre|gpfs|beegfs|fuse\.(sshfs|glusterfs|s3fs|rclone|ceph).*"
)
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


def remote_kind(path: Path) -> str | None:
    """Return the kind of network file system that a path lies on, None when it lies on none or nobody can tell."""
    try:
        mounts = _MOUNTS.read_text()
    except OSError:
        return None
    kind = kind_of(path.resolve(), mounts)
    return kind if _REMOTE.fullmatch(kind) else None


def kind_of(path: Path, mounts: str) -> str:
    """Return the file system of a path by the mount that lies deepest above it, the last of several in one place."""
    found, depth = "", -1
    for line in mounts.splitlines():
        _, place, kind, *_ = line.split(" ")
        folder = Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), place))
        if path.is_relative_to(folder) and len(folder.parts) >= depth:
            found, depth = kind, len(folder.parts)
    return found
