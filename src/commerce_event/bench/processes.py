"""Start and watch the processes of a run. Each has a time limit, and none outlives the run."""

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import httpx

from commerce_event.bench.seed import MAX_IN_FLIGHT

_READY_S: Final = 60.0
_STOP_S: Final = 15.0
_POLL_S: Final = 0.02
_SERVING: Final = re.compile(r"Serving http://127\.0\.0\.1:(\d+)")

OnShare = Callable[[float], None]


class BenchError(Exception):
    """A part of the benchmark did not start, did not finish, or lost something; the message is for people."""


class Running:
    """A process under measurement that answers HTTP."""

    def __init__(self, process: subprocess.Popen[str], port: int, headers: dict[str, str] | None = None) -> None:
        self._pid = process.pid
        self.port = port
        self.key = "-"
        self.api = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.api.close()

    def cpu_s(self) -> float:
        """Return the processor time used so far."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_memory_bytes(self) -> int:
        lines = Path(f"/proc/{self._pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


class Server(Running):
    """`commerce-event serve` on a store."""

    def __init__(self, process: subprocess.Popen[str], port: int, key: str) -> None:
        super().__init__(process, port, {"Authorization": f"Bearer {key}"})
        self.key = key

    def pending(self) -> int:
        books = self.api.get("/v1/books").raise_for_status().json()
        return sum(book["pending"] for book in books["items"])

    def in_flight(self) -> int:
        return int(self.api.get("/v1/node").raise_for_status().json()["in_flight"])

    def add_endpoints(self, port: int, count: int) -> None:
        for number in range(count):
            self.add_endpoint(port, f"/{number}", "*")

    def add_endpoint(self, port: int, path: str, event_type: str) -> str:
        """Add an endpoint; return its id."""
        url = f"http://127.0.0.1:{port}{path}"
        body = {"client_id": 1, "url": url, "event_types": [event_type], "max_in_flight": MAX_IN_FLIGHT}
        return str(self.api.post("/v1/endpoints", json=body).raise_for_status().json()["id"])

    def publish(self, event_type: str, data: dict[str, Any], count: int) -> None:
        """Publish the same data ``count`` times in one call."""
        events = [{"type": event_type, "data": {**data, "ClientId": 1}}] * count
        self.api.post("/v1/events", json=events).raise_for_status()

    def enable_endpoint(self, endpoint: str) -> None:
        self.change_endpoint(endpoint, enabled=True)

    def change_endpoint(self, endpoint: str, **fields: object) -> None:
        self.api.patch(f"/v1/endpoints/{endpoint}", json=fields).raise_for_status()


class CpuWatch:
    """The processor time that processes use from now on."""

    def __init__(self, **processes: Running) -> None:
        self._processes = processes
        self._before = {name: process.cpu_s() for name, process in processes.items()}

    def used_s(self) -> dict[str, float]:
        return {name: process.cpu_s() - self._before[name] for name, process in self._processes.items()}


@contextmanager
def start_module(module: str, *arguments: str) -> Iterator[Running]:
    """Run a module that serves HTTP and prints its port first. Raises BenchError."""
    command = [sys.executable, "-m", module, *arguments]
    with _process(command, stdout=subprocess.PIPE) as process:
        with _limit(process, _READY_S):
            line = _lines_of(process).readline()
        if not line.strip().isdigit():
            raise BenchError(f"{module} did not start within {_READY_S:.0f} s")
        with Running(process, int(line)) as running:
            yield running


def run_module(module: str, *arguments: object, timeout_s: float, on_share: OnShare | None = None) -> dict[str, Any]:
    """Run a module to its end and return the last JSON object that it prints.

    ``on_share`` is called with each share of the work, 0 to 1, that the module prints on its way. Raises BenchError.
    """
    last: dict[str, Any] = {}
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with _process(command, stdout=subprocess.PIPE) as process:
        with _limit(process, timeout_s):
            for line in _lines_of(process):
                last = json.loads(line)
                if on_share is not None and "share" in last:
                    on_share(last["share"])
            code = process.wait()
        if code != 0 or not last:
            raise BenchError(f"{module} failed or took longer than {timeout_s:.0f} s")
    return last


@contextmanager
def serving(store: str, secret_key: str, log: Path) -> Iterator[Server]:
    """Run the product's server on a store. Raises BenchError when it does not start, or does not stop."""
    key = secrets.token_urlsafe(24)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COMMERCE_EVENT_")}
    environment |= {
        "COMMERCE_EVENT_STORE": store,
        "COMMERCE_EVENT_SECRET_KEY": secret_key,
        "COMMERCE_EVENT_PORT": "0",
        "COMMERCE_EVENT_ADMIN_KEY": key,
        "COMMERCE_EVENT_ALLOW_NETWORKS": "127.0.0.0/8",
    }
    command = [sys.executable, "-m", "commerce_event", "serve", "--host", "127.0.0.1"]
    with log.open("w") as output, _process(command, env=environment, stderr=output) as process:
        with Server(process, _port_once_ready(process, log), key) as server:
            yield server
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            raise BenchError(f"The server did not stop within {_STOP_S:.0f} s of SIGTERM") from None


def _port_once_ready(process: subprocess.Popen[str], log: Path) -> int:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline and process.poll() is None:
        serving_at = _SERVING.search(log.read_text())
        if serving_at is not None and _is_ready(int(serving_at[1])):
            return int(serving_at[1])
        time.sleep(_POLL_S)
    lines = log.read_text().strip().splitlines() or ["it wrote no log line"]
    raise BenchError(f"The server did not become ready: {lines[-1]}")


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def _process(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a process in a session of its own, which Ctrl-C does not reach; kill it when the block ends."""
    process = subprocess.Popen(command, text=True, start_new_session=True, **options)
    try:
        yield process
    finally:
        process.kill()  # nothing happens when it has ended
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def _limit(process: subprocess.Popen[str], seconds: float) -> Iterator[None]:
    """Kill the process when the block takes longer than ``seconds``; reading from the process then ends too."""
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _lines_of(process: subprocess.Popen[str]) -> Any:
    return process.stdout
