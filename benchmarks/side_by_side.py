"""Run variants of the server next to each other and compare the processor time that one event costs (Linux only).

All servers run at the same time, each on a store of its own. They get the same load in turns, in another order in every
round. The median of the ratios within a round is robust against other work on the machine. Processor time is user and
system time of the server's process, all threads. Short turns and many rounds are better than the reverse.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Final, cast

import httptools
import msgspec
import uvloop

from commerce_event.core.model import Endpoint, Secret
from commerce_event.core.signatures import new_secret
from commerce_event.server import Node, tune_collector
from commerce_event.settings import Settings

KEY: Final = "key-of-the-benchmark-0123456789"
_WARM_UP_S: Final = 1.0


class Load(msgspec.Struct, frozen=True):
    """What is published, the same again and again."""

    path: str
    body: bytes
    events: int = 1  # in one request
    expected: bytes = b'"duplicate":false'  # in each answer
    connections: int = 32


class Turn(msgspec.Struct, frozen=True):
    """What one server did in one turn."""

    events: int
    seconds: float
    cpu_s: float

    @property
    def cpu_us(self) -> float:
        return self.cpu_s / self.events * 1e6

    @property
    def rate(self) -> float:
        return self.events / self.seconds


def compare(module: str, variants: Sequence[str], loads: Mapping[str, Load], rounds: int, seconds: float) -> None:
    """Measure the variants under each load, and print one table for each; the first variant is the reference.

    ``python -m module serve VARIANT STORE`` must print its port and the id of the process that serves.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = {
            name: stack.enter_context(_serving(module, name, f"sqlite:///{folder}/{number}.db"))
            for number, name in enumerate(variants)
        }
        for title, load in loads.items():
            turns: dict[str, list[Turn]] = {name: [] for name in variants}
            for name in variants:
                _turn(servers[name], load, _WARM_UP_S)
            for number in range(rounds):
                for name in turned(variants, number):
                    turns[name].append(_turn(servers[name], load, seconds))
            _print(f"{title}, {load.connections} connections", turns)


def turned(names: Sequence[str], number: int) -> list[str]:
    """Return the names in the order of a round: another one begins in each, and every second round goes backwards."""
    first = number // 2 % len(names)
    order = [*names[first:], *names[:first]]
    return order if number % 2 else order[::-1]


def _print(title: str, turns: Mapping[str, Sequence[Turn]]) -> None:
    reference = next(iter(turns.values()))
    print(f"\n{title}: {len(reference)} rounds of {reference[0].seconds:.1f} s")
    print(f"{'':34}{'CPU/event':>12}{'ratio (middle half)':>28}{'events/s':>12}{'ratio':>8}")
    for name, each in turns.items():
        ratios = [turn.cpu_us / other.cpu_us for turn, other in zip(each, reference, strict=True)]
        quarter, _, three_quarters = statistics.quantiles(ratios, n=4)
        rates = [turn.rate / other.rate for turn, other in zip(each, reference, strict=True)]
        cpu_us, rate = statistics.median(turn.cpu_us for turn in each), statistics.median(turn.rate for turn in each)
        spread = f"{statistics.median(ratios):.2f} ({quarter:.2f} to {three_quarters:.2f})"
        print(f"{name:34}{cpu_us:>9.1f} us{spread:>28}{rate:>12,.0f}{statistics.median(rates):>8.2f}", flush=True)


@contextmanager
def _serving(module: str, variant: str, store: str) -> Iterator[tuple[int, int]]:
    command = [sys.executable, "-m", module, "serve", variant, store]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            port, pid = cast("IO[str]", process.stdout).readline().split()
            yield int(port), int(pid)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


async def start_node(store: str) -> Node:
    """Start a node that keeps one endpoint for all events, and delivers nothing."""
    node = Node(Settings(store=store, admin_key=KEY, hold_deliveries=True))
    await node.start()
    await node.registry.save(
        Endpoint(
            id=1,
            client_id=1,
            url="https://receiver.example/",
            event_types=("*",),
            enabled=True,
            max_in_flight=8,
            secrets=(Secret(new_secret("hmac")),),
        )
    )
    tune_collector()
    return node


def announce(port: int) -> None:
    """Tell ``compare`` that this process serves."""
    print(port, os.getpid(), flush=True)


def _turn(server: tuple[int, int], load: Load, seconds: float) -> Turn:
    port, pid = server
    before = _cpu_s(pid)
    requests, took_s = uvloop.run(_publish(port, load, seconds))
    return Turn(requests * load.events, took_s, _cpu_s(pid) - before)


def _cpu_s(pid: int) -> float:
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")  # in ns; /proc/PID/stat counts in 10 ms
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


async def _publish(port: int, load: Load, seconds: float) -> tuple[int, float]:
    loop = asyncio.get_running_loop()
    head = (
        f"POST {load.path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {KEY}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(load.body)}\r\n"
    ).encode()
    request = head + b"\r\n" + load.body
    start = loop.time()
    count = 0

    async def work() -> None:
        nonlocal count
        _, connection = await loop.create_connection(_Connection, "127.0.0.1", port)
        while loop.time() < start + seconds:
            answer = await connection.post(request)
            if load.expected not in answer:
                raise RuntimeError(f"an unexpected answer: {answer[:300]!r}")
            count += 1
        connection.transport.close()

    await asyncio.gather(*(work() for _ in range(load.connections)))
    return count, loop.time() - start


class _Connection(asyncio.Protocol):
    transport: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the server closed the connection"))

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._answer.set_result(self._body)

    def post(self, request: bytes) -> "asyncio.Future[bytes]":
        self._answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._body = b""
        self.transport.write(request)
        return self._answer
