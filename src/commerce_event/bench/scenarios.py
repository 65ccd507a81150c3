"""The scenarios of a run, one after the other; each gives rows of figures."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from commerce_event.bench.processes import BenchError, Running, Server, figures_of, printing_its_port, serving
from commerce_event.bench.seed import claim_and_settle_us, key_file, seed

_CONNECTIONS: Final = 128
_WAIT_S: Final = 300.0
_POLL_S: Final = 0.02


class Size(msgspec.Struct, frozen=True):
    """How much a run does."""

    requests: int
    events: int
    backlogs: tuple[int, int]
    drained: int
    store_level: int
    paced_s: float


FULL: Final = Size(60_000, 40_000, (10_000, 1_000_000), 10_000, 8_000, 8.0)
QUICK: Final = Size(4_000, 2_000, (2_000, 20_000), 2_000, 1_000, 1.0)


class Figure(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the report. ``wanted`` and ``met`` where there is a goal."""

    name: str
    value: float
    unit: str
    wanted: str | None = None
    met: bool | None = None


Say = Callable[[str], None]


def run(folder: Path, size: Size, say: Say) -> Iterator[Figure]:
    """Measure; ``say`` is told what is being done. Raises BenchError."""
    with printing_its_port("receiver") as receiver:
        yield from _accepting(folder, size, say)
        yield from _delivering(folder, size, receiver, say)
        yield from _end_to_end(folder, size, receiver, say)


def _accepting(folder: Path, size: Size, say: Say) -> Iterator[Figure]:
    say("ceiling: the HTTP server with nothing behind it")
    with printing_its_port("ceiling", "server") as nothing:
        ceiling = _load(nothing.port, "-" * 20, size.requests)["rate"]
    yield Figure("HTTP server alone", ceiling, "requests/s")
    say("durable accepts")
    with serving(folder / "accept.db") as server:
        before = server.cpu_s()
        got = _load(server.port, server.key, size.requests)
        cpu_us = (server.cpu_s() - before) / size.requests * 1e6
        yield Figure("durable accepts", got["rate"], "events/s", "10,000", got["rate"] >= 10_000)
        yield _ratio("  of the HTTP server alone", got["rate"] / ceiling, at_least=0.5)
        yield Figure("  server CPU", cpu_us, "µs/event")
        yield Figure("  load CPU", got["cpu_share"] * 100, "% of a core")


def _delivering(folder: Path, size: Size, receiver: Running, say: Say) -> Iterator[Figure]:
    say("ceiling: the HTTP client alone")
    alone = figures_of("ceiling", ["client", receiver.port, size.requests, _CONNECTIONS], _WAIT_S)
    _figures(receiver)
    yield Figure("HTTP client alone", alone["rate"], "POSTs/s")
    yield Figure("  client CPU", alone["cpu_us"], "µs/POST")
    costs: list[float] = []
    memory: list[int] = []
    for backlog in size.backlogs:
        path = folder / f"backlog-{backlog}.db"
        say(f"writing a backlog of {backlog:,}")
        urls = [f"http://127.0.0.1:{receiver.port}/{n}" for n in range(8)]
        asyncio.run(seed(path, key_file(path), urls, backlog + 2 * size.store_level))
        say(f"claim and settle with {backlog:,} waiting")
        costs.append(asyncio.run(claim_and_settle_us(path, size.store_level)))
        yield Figure(f"claim and settle, {backlog:,} waiting", costs[-1], "µs/delivery")
        say(f"deliveries with {backlog:,} waiting")
        rate, cpu_us, peak = _drain(path, min(size.drained, backlog), receiver)
        memory.append(peak)
        yield Figure(f"deliveries, {backlog:,} waiting", rate, "deliveries/s", "8,000", rate >= 8_000)
        yield _ratio("  of the HTTP client alone", rate / alone["rate"], at_least=0.5)
        yield Figure("  server CPU", cpu_us, "µs/delivery")
        yield Figure("  server peak memory", peak / 1024**2, "MiB")
    grown = costs[1] / costs[0]
    yield Figure("claim and settle, large / small backlog", grown, "×", "at most 1.3", grown <= 1.3)
    yield Figure(
        "peak memory, large / small backlog", memory[1] / memory[0], "×", "about 1", memory[1] / memory[0] < 1.3
    )


def _drain(path: Path, wanted: int, receiver: Running) -> tuple[float, float, int]:
    """Return deliveries a second, server CPU (µs) each, and the server's peak memory (bytes)."""
    with serving(path) as server:
        _figures(receiver)
        before = server.cpu_s()
        count, seconds = _count_until(receiver, wanted)
        cpu_us = (server.cpu_s() - before) / max(1, count) * 1e6
        return count / seconds, cpu_us, server.peak_memory_bytes()


def _end_to_end(folder: Path, size: Size, receiver: Running, say: Say) -> Iterator[Figure]:
    for fan_out in (1, 10):
        events = size.events // fan_out
        with serving(folder / f"fan-out-{fan_out}.db") as server:
            for number in range(fan_out):
                server.add_endpoint(f"http://127.0.0.1:{receiver.port}/{number}")
            say(f"end to end, fan-out {fan_out}")
            _figures(receiver)
            before, start = server.cpu_s(), time.perf_counter()
            _load(server.port, server.key, events)
            arrived = _all_arrived(receiver, server, events * fan_out)
            seconds = time.perf_counter() - start
            rate = events / seconds
            goal = ("5,000", rate >= 5_000) if fan_out == 1 else (None, None)
            yield Figure(f"end to end, fan-out {fan_out}", rate, "events/s", *goal)
            yield Figure("  deliveries", arrived / seconds, "deliveries/s")
            yield Figure("  server CPU", (server.cpu_s() - before) / arrived * 1e6, "µs/delivery")
            say(f"latency at half of that, fan-out {fan_out}")
            paced = max(10, int(rate / 2 * size.paced_s))
            _load(server.port, server.key, paced, rate=rate / 2)
            latency = _arrived(receiver, server, paced * fan_out)
            yield Figure("  p50 at half load", latency["p50_ms"], "ms")
            yield Figure("  p99 at half load", latency["p99_ms"], "ms", "under 50", latency["p99_ms"] < 50)
            yield Figure("  peak memory", server.peak_memory_bytes() / 1024**2, "MiB")


def _load(port: int, key: str, count: int, *, rate: float = 0.0) -> dict[str, Any]:
    figures = figures_of("load", [port, key, count, _CONNECTIONS, rate], _WAIT_S)
    if figures["refused"]:
        raise BenchError(f"{figures['refused']} of {count} events were refused")
    return figures


def _ratio(name: str, ratio: float, *, at_least: float) -> Figure:
    return Figure(name, ratio, "ratio", f"at least {at_least}", ratio >= at_least)


def _all_arrived(receiver: Running, server: Server, wanted: int) -> int:
    return int(_arrived(receiver, server, wanted)["count"])


def _arrived(receiver: Running, server: Server, wanted: int) -> dict[str, Any]:
    """Wait until that many have arrived, and return the figures. Raises BenchError when some are missing."""
    deadline = time.monotonic() + _WAIT_S
    while (count := _peek(receiver)) < wanted:
        if time.monotonic() > deadline:
            raise BenchError(f"only {count} of {wanted} deliveries arrived; {server.pending()} are pending")
        time.sleep(_POLL_S)
    return _figures(receiver)


def _count_until(receiver: Running, wanted: int) -> tuple[int, float]:
    deadline = time.monotonic() + _WAIT_S
    while _peek(receiver) < wanted:
        if time.monotonic() > deadline:
            raise BenchError(f"fewer than {wanted} deliveries arrived in time")
        time.sleep(_POLL_S)
    figures = _figures(receiver)
    return figures["count"], figures["seconds"] or _POLL_S


def _peek(receiver: Running) -> int:
    return int(receiver.api.get("/count").json()["count"])


def _figures(receiver: Running) -> dict[str, Any]:
    figures: dict[str, Any] = receiver.api.get("/figures").json()
    return figures
