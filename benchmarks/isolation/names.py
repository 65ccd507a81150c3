"""A name server of our own, in namespaces of our own: nothing of the machine's is touched, and nothing leaves it.

A process started with ``NAMESPACES`` in front has its own network (loopback alone) and may hide files under /etc.
"""

import fcntl
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Final

NAMESPACES: Final = ("unshare", "--user", "--map-root-user", "--net", "--mount")
KNOWN_NAME: Final = "known.good.test"  # of endpoints of B; answered at once
FRESH_NAME: Final = "fresh.good.test"
SILENT_ZONE: Final = "silent.test"  # questions about names in it are never answered
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_FILES: Final = {
    "resolv.conf": "nameserver 127.0.0.1\n",
    "hosts": "127.0.0.1 localhost\n",
    "nsswitch.conf": "hosts: files dns\n",
}
_HEADER: Final = struct.Struct("!6H")
_TYPE_A: Final = 1
_MOUNT: Final = "/bin/mount"


def available() -> bool:
    """Tell whether namespaces can be made here."""
    if shutil.which("unshare") is None or not Path(_MOUNT).exists():
        return False
    return subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode == 0


def serve_names() -> None:
    """Begin to answer names, in a process that has namespaces of its own."""
    _raise_loopback()
    folder = Path(tempfile.mkdtemp(prefix="isolation-names-"))
    for name, text in _FILES.items():
        target = Path("/etc") / name
        if target.exists():
            (folder / name).write_text(text)
            subprocess.run([_MOUNT, "--bind", str(folder / name), str(target)], check=True)
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("127.0.0.1", 53))
    threading.Thread(target=_answer, args=(listener,), daemon=True).start()


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        flags = bytearray(fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16sH22x", b"lo", 0)))
        (value,) = struct.unpack_from("H", flags, 16)
        struct.pack_into("H", flags, 16, value | _IFF_UP)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, bytes(flags))


def _answer(listener: socket.socket) -> None:
    while True:
        question, caller = listener.recvfrom(2_048)
        end, labels = _HEADER.size, []
        while length := question[end]:
            labels.append(question[end + 1 : end + 1 + length].decode("latin-1").lower())
            end += length + 1
        (kind,) = struct.unpack_from("!H", question, end + 1)
        if ".".join(labels).endswith(SILENT_ZONE):
            continue
        asked = question[_HEADER.size : end + 5]
        found = kind == _TYPE_A and ".".join(labels) in {KNOWN_NAME, FRESH_NAME}
        header = question[:2] + struct.pack("!5H", 0x8180, 1, int(found), 0, 0)
        record = b"\xc0\x0c" + struct.pack("!2HIH", _TYPE_A, 1, 1, 4) + socket.inet_aton("127.0.0.1")
        listener.sendto(header + asked + (record if found else b""), caller)
