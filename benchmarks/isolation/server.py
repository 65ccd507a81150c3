"""The server under trial: `commerce-event serve` as a process of its own on a temporary SQLite store."""

import json
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final, Self, cast

READY_S: Final = 20.0
STOP_S: Final = 11.0  # after SIGTERM the process is killed


class ServerError(Exception):
    """The server did not become ready; the message is the end of its log."""


class Server:
    """A server. Use it as a context manager: the process does not outlive it."""

    def __init__(self, environment: Mapping[str, str], open_files: int | None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="isolation-")
        self._log = Path(self._folder.name) / "log"
        self.admin_key = secrets.token_urlsafe(24)
        variables = {name: value for name, value in os.environ.items() if not name.startswith("COMMERCE_EVENT_")}
        variables |= {
            "COMMERCE_EVENT_ADMIN_KEY": self.admin_key,
            "COMMERCE_EVENT_ALLOW_NETWORKS": "127.0.0.0/8",
            **environment,
        }
        limit = [] if open_files is None else ["prlimit", f"--nofile={open_files}:{open_files}"]
        store = f"sqlite:///{self._folder.name}/store.db"
        command = [*limit, sys.executable, "-m", "commerce_event", "serve", "--host", "127.0.0.1", "--port", "0"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--store", store, "--json"], stdout=subprocess.PIPE, stderr=log, env=variables
            )
        self.port = 0
        self.log_end = ""
        self.peak_memory_mb = 0

    def __enter__(self) -> Self:
        output = cast("IO[bytes]", self._process.stdout)
        if select.select([output], [], [], READY_S)[0] and (line := output.readline()):
            self.port = int(json.loads(line)["url"].rpartition(":")[2])
            return self
        self.__exit__()
        raise ServerError(f"the server did not become ready: {self.log_end}")

    def __exit__(self, *_: object) -> None:
        self.log_end = self._log.read_text(errors="replace")[-500:].strip()
        self.kill()
        self._process.wait()
        cast("IO[bytes]", self._process.stdout).close()
        self._folder.cleanup()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def update_memory(self) -> int:
        """Read how much memory the process has held at most, in MB."""
        try:
            lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        except OSError:  # it has ended
            return self.peak_memory_mb
        for line in lines:
            if line.startswith("VmHWM"):
                self.peak_memory_mb = max(self.peak_memory_mb, int(line.split()[1]) // 1024)
        return self.peak_memory_mb

    def terminate(self) -> None:
        if self.is_running:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        if self.is_running:
            self._process.kill()

    def exit_code(self) -> int | None:
        return self._process.poll()
