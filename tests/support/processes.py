"""A real server process and real receivers."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from ports import free_port

from commerce_event.core.clock import SystemClock
from commerce_event.http.uvicorn_server import http_server, listen
from commerce_event.simulate.receiver import Receiver

ADMIN_KEY = "an-admin-key-for-the-tests"
DEADLINE_S = 120.0


class ServerProcess:
    """`commerce-event serve` on a store that outlives it."""

    def __init__(self, folder: Path, *, launcher: Sequence[str] = ("-m", "commerce_event"), **environment: str) -> None:
        """``launcher``: what Python is to run as the command."""
        self._folder = folder
        self._launcher = launcher
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def set(self, **environment: str) -> None:
        """Start with these variables from now on."""
        self._environment.update(environment)

    async def start(self) -> None:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("COMMERCE_EVENT_")},
            "COMMERCE_EVENT_STORE": f"sqlite:///{self._folder / 'events.db'}",
            "COMMERCE_EVENT_PORT": str(self.port),
            "COMMERCE_EVENT_ADMIN_KEY": ADMIN_KEY,
            "COMMERCE_EVENT_ALLOW_NETWORKS": "127.0.0.0/8",
            "COMMERCE_EVENT_LOG_FORMAT": "json",
            **self._environment,
        }
        self._process = _spawn([*self._launcher, "serve"], environment, self._folder / "server.log")
        await self._until_ready()

    async def _until_ready(self) -> None:
        async with httpx.AsyncClient(base_url=self.url) as client, asyncio.timeout(DEADLINE_S):
            while True:
                assert self._process is not None
                assert self._process.poll() is None, f"ended with {self._process.returncode}: {self.log()}"
                try:
                    if (await client.get("/readyz")).status_code == 200:
                        return
                except httpx.TransportError:
                    await asyncio.sleep(0.02)  # until it listens

    def log(self) -> str:
        return (self._folder / "server.log").read_text()

    def kill(self) -> None:
        """As a crash would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    async def stop(self) -> int:
        """Ask it to stop; return the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return await self.end()

    async def end(self) -> int:
        """Wait until it ends; return the exit code."""
        assert self._process is not None
        process, self._process = self._process, None
        return await asyncio.to_thread(process.wait, DEADLINE_S)

    def client(self) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        limits = httpx.Limits(max_connections=200)
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=DEADLINE_S, limits=limits)


def _spawn(command: Sequence[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen([sys.executable, *command], env=environment, stdout=output, stderr=output)


class LocalReceiver(Receiver):
    """A receiver at a real address of this machine."""

    url = ""


@asynccontextmanager
async def running_receiver(*, fail_every: int = 0) -> AsyncIterator[LocalReceiver]:
    receiver = LocalReceiver(SystemClock(), fail_every=fail_every)
    listener = listen("127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    http = http_server(receiver)
    serving = asyncio.create_task(http.serve(sockets=[listener]))
    try:
        yield receiver
    finally:
        http.should_exit = True
        await serving
