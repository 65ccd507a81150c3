"""`commerce-event serve` as processes that can be killed, paused, and given another clock."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
from subscriptions import DELAYS_S

KEY = "the-key-of-the-oracle-itself"
_SCHEDULE = ",".join(f"{delay_s}s" for delay_s in DELAYS_S)
_READY_S = 60.0
_LAUNCH = Path(__file__).with_name("launch_with_clock.py")


class Server:
    """One node, as it is or with a bug."""

    def __init__(self, folder: Path, store: str, secret_key: str | None, bug: str = "none") -> None:
        folder.mkdir()
        self._bug = bug
        self._store_log = Path(f"{store.removeprefix('sqlite:///')}-wal") if store.startswith("sqlite") else None
        self._log = folder / "log"
        self._offset = folder / "offset_s"
        port = _free_port()
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("COMMERCE_EVENT_")},
            "COMMERCE_EVENT_STORE": store,
            "COMMERCE_EVENT_ADMIN_KEY": KEY,
            "COMMERCE_EVENT_ALLOW_NETWORKS": "127.0.0.1/32",
            "COMMERCE_EVENT_RETRY_SCHEDULE": _SCHEDULE,
            "COMMERCE_EVENT_PORT": str(port),
            **({} if secret_key is None else {"COMMERCE_EVENT_SECRET_KEY": secret_key}),
        }
        self.name = folder.name
        self.url = f"http://127.0.0.1:{port}"
        self.started_at = self.ready_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self.set_clock(0)

    def start(self) -> None:
        """Start, and wait until it is ready. Raises SystemExit when it ends instead."""
        self.started_at = time.monotonic()
        with self._log.open("ab") as log:
            command = [sys.executable, str(_LAUNCH), str(self._offset), self._bug, "serve"]
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        self.wait_until_ready()
        self.ready_at = time.monotonic()

    def wait_until_ready(self) -> None:
        end = time.monotonic() + _READY_S
        while time.monotonic() < end:
            if not self.runs():
                raise SystemExit(f"the server ended by itself:\n{self.log_end()}")
            try:
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.02)
        raise SystemExit(f"the server did not become ready:\n{self.log_end()}")

    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        return 0 if self._process is None else self._process.pid

    def log_text(self) -> str:
        return self._log.read_text()

    def log_end(self) -> str:
        return self.log_text()[-3000:]

    def log_mb(self) -> float:
        """Return the size of the store's write-ahead log, 0 where it is not a file of ours."""
        if self._store_log is None or not self._store_log.exists():
            return 0.0
        return self._store_log.stat().st_size / 2**20

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def pause(self, seconds: float) -> None:
        """Stand still, as a virtual machine does that is moved."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)

    def set_clock(self, offset_s: int) -> None:
        """Let its wall clock be so far from the machine's."""
        self._offset.with_suffix(".new").write_text(str(offset_s))
        self._offset.with_suffix(".new").replace(self._offset)

    def api(self, timeout_s: float = 30.0) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=timeout_s)


def _free_port() -> int:
    """Return a port below those that systems hand out by themselves."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
