"""The processes of a run, and what the system says of them."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from commerce_event.server import listen

READY_S: Final = 60.0
_POLL_S: Final = 0.02
_MODULE: Final = "commerce_event.bench"


class BenchError(Exception):
    """A part of the benchmark did not come up or did not finish."""


class Running:
    """A process under measurement."""

    def __init__(self, process: subprocess.Popen[str], port: int, headers: dict[str, str] | None = None) -> None:
        self._process = process
        self.port = port
        self.api = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60)

    def cpu_s(self) -> float:
        """Return the processor time used so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_memory_bytes(self) -> int:
        return self._status("VmHWM")

    def memory_bytes(self) -> int:
        return self._status("VmRSS")

    def stop(self) -> None:
        self.api.close()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _status(self, name: str) -> int:
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


class Server(Running):
    """`commerce-event serve` on a store."""

    def __init__(self, process: subprocess.Popen[str], port: int, key: str) -> None:
        super().__init__(process, port, {"Authorization": f"Bearer {key}"})
        self.key = key

    def pending(self) -> int:
        books = self.api.get("/v1/books").raise_for_status().json()
        return sum(book["pending"] for book in books["items"])

    def add_endpoint(self, url: str) -> str:
        body = {"client_id": 1, "url": url, "event_types": ["*"], "max_in_flight": 64}
        endpoint: str = self.api.post("/v1/endpoints", json=body).raise_for_status().json()["id"]
        return endpoint


@contextmanager
def printing_its_port(name: str, *arguments: str) -> Iterator[Running]:
    """Run a module of the benchmark that prints its port."""
    command = [sys.executable, "-m", f"{_MODULE}.{name}", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output = process.stdout
    line = output.readline() if output is not None else ""
    if not line.strip().isdigit():
        process.kill()
        raise BenchError(f"the benchmark's {name} did not start")
    running = Running(process, int(line))
    try:
        yield running
    finally:
        running.stop()
        process.communicate()


def figures_of(name: str, arguments: Sequence[object], timeout_s: float) -> dict[str, Any]:
    """Run a module of the benchmark to its end and return the JSON that it prints."""
    command = [sys.executable, "-m", f"{_MODULE}.{name}", *map(str, arguments)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=timeout_s, check=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        raise BenchError(f"the benchmark's {name} failed: {error}") from None
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


@contextmanager
def serving(store: Path) -> Iterator[Server]:
    """Run the product's server on a store file."""
    key = secrets.token_urlsafe(24)
    with listen("127.0.0.1", 0) as probe:
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COMMERCE_EVENT_")}
    environment |= {
        "COMMERCE_EVENT_STORE": f"sqlite:///{store}",
        "COMMERCE_EVENT_PORT": str(port),
        "COMMERCE_EVENT_ADMIN_KEY": key,
        "COMMERCE_EVENT_ALLOW_NETWORKS": "127.0.0.0/8",
    }
    command = [sys.executable, "-m", "commerce_event", "serve"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, text=True)
    server = Server(process, port, key)
    try:
        _wait_ready(server, process)
        yield server
    finally:
        server.stop()


def _wait_ready(server: Server, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if server.api.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(_POLL_S)
    raise BenchError("the server did not become ready")
