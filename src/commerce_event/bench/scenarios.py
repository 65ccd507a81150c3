"""Scenarios on one store: durable accepts, deliveries and latency, each with the baseline of this machine."""

import statistics
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import msgspec

from commerce_event.bench import bulk_backlog
from commerce_event.bench.bulk_backlog import BulkBacklog
from commerce_event.bench.harness import (
    CONNECTIONS,
    WAIT_S,
    Harness,
    LoadResult,
    ShowProgress,
    Steps,
    cores_used,
    per_second,
)
from commerce_event.bench.processes import CpuWatch, run_module, start_module
from commerce_event.bench.report import MIB, OF_HTTP_CLIENT, Arrivals, Figure, at_least, at_most
from commerce_event.bench.stores import StoreFactory

TURNS: Final = 5  # of two loads that are compared: the machine's pace changes within seconds
ACCEPT_STEPS: Final = 2 * TURNS
SEND_STEPS: Final = 2
LATENCY_STEPS: Final = 2


class Size(msgspec.Struct, frozen=True):
    """How much a run does."""

    seconds: float  # under load, for each figure
    backlog: int  # deliveries that wait when sending begins
    bulk_backlog: int  # bulk deliveries that wait while order events are published


FULL: Final = Size(5.0, 10_000, 100_000)
QUICK: Final = Size(0.5, 3_000, 50_000)


class SendResult(msgspec.Struct, frozen=True):
    """The result of sending a backlog."""

    rate: float  # deliveries/s
    cpu_us: float  # of the server, for each delivery
    cores: dict[str, float]
    peak_bytes: int


def measure(folder: Path, postgres: str | None, size: Size, show: ShowProgress, arrivals: Arrivals) -> list[Figure]:
    """Measure a SQLite store in the folder, or the PostgreSQL server when its URL is given. Raises BenchError.

    The goals hold for SQLite; a run on PostgreSQL has none.
    """
    stores = StoreFactory(folder, postgres)
    steps = Steps(show, ACCEPT_STEPS + 1 + SEND_STEPS + LATENCY_STEPS + bulk_backlog.STEPS)
    with start_module("commerce_event.bench.receiver") as receiver:
        harness = Harness(size.seconds, receiver, arrivals)
        scenarios = Scenarios(harness, stores, steps)
        figures = [*scenarios.accept(), *scenarios.send(size.backlog), *scenarios.end_to_end(fan_out=1)]
        figures += BulkBacklog(harness, stores, steps, size.bulk_backlog).measure()
    return figures if postgres is None else [msgspec.structs.replace(each, goal=None, met=None) for each in figures]


class Scenarios:
    """The scenarios on stores of one kind. Every method yields figures, and raises BenchError."""

    def __init__(self, harness: Harness, stores: StoreFactory, steps: Steps) -> None:
        self._harness = harness
        self._stores = stores
        self._steps = steps

    def accept(self) -> Iterator[Figure]:
        """Compare durable accepts with the same HTTP server that does nothing, in turns."""
        alone: list[LoadResult] = []
        durable: list[LoadResult] = []
        with ExitStack() as stack:
            http_server = stack.enter_context(start_module("commerce_event.bench.baseline", "server"))
            [server] = stack.enter_context(self._stores.servers(stack.enter_context(self._stores.store())))
            baseline_cpu, server_cpu = CpuWatch(server=http_server), CpuWatch(server=server)
            for turn in range(TURNS):
                self._steps.next(f"baseline: the HTTP server alone, {turn + 1} of {TURNS}")
                alone.append(self._harness.load([http_server], seconds=self._harness.seconds / TURNS))
                self._steps.next(f"durable accepts, {turn + 1} of {TURNS}")
                durable.append(self._harness.load([server], seconds=self._harness.seconds / TURNS))
            count = sum(each.count for each in durable)
            rate = statistics.median(each.rate for each in durable)
            ratio = statistics.median(got.rate / each.rate for got, each in zip(durable, alone, strict=True))
            baseline = statistics.median(each.rate for each in alone)
            yield Figure("HTTP server alone", baseline, "requests/s", cores=cores_used(baseline_cpu, alone))
            name = "durable accepts"
            yield Figure(name, rate, "events/s", cores=cores_used(server_cpu, durable), **at_least(10_000, rate))
            yield Figure("of the HTTP server alone", ratio, "ratio", name, **at_least(0.5, ratio))
            yield Figure("server CPU", server_cpu.used_s()["server"] / count * 1e6, "µs/event", name)
            yield Figure("server peak memory", server.peak_memory_bytes() / MIB, "MiB", name)

    def send(self, backlog: int) -> Iterator[Figure]:
        """Write a backlog, then compare sending it with the same HTTP client alone."""
        with self._stores.store() as store:
            self._steps.next(f"writing a backlog of {backlog:,}")
            [endpoint] = self._harness.seed(self._stores, store, (backlog, 0), self._steps.share)
            yield from self.send_seeded(store, endpoint, backlog, backlog, memory_after=backlog)

    def send_seeded(
        self, store: str, endpoint: str, backlog: int, sent: int, *, memory_after: int
    ) -> Generator[Figure, None, SendResult]:
        """Send ``sent`` deliveries of a backlog; read the peak memory after ``memory_after`` of them."""
        baseline = yield from self._http_client_alone(f"HTTP client alone, before {backlog:,}")
        name = f"deliveries, {backlog:,} waiting"
        self._steps.next(name)
        with self._stores.servers(store) as [server]:
            self._harness.take_figures()
            cpu = CpuWatch(server=server, receiver=self._harness.receiver)
            server.enable_endpoint(endpoint)
            self._harness.wait_for(memory_after, server)
            peak_bytes = server.peak_memory_bytes()
            self._harness.wait_for(sent, server)
            seen, used_s = self._harness.take_figures(), cpu.used_s()
        seconds = seen["last_s"] - seen["first_s"]
        cpu_us = used_s["server"] / seen["count"] * 1e6
        result = SendResult(seen["count"] / seconds, cpu_us, per_second(used_s, seconds), peak_bytes)
        ratio = result.rate / baseline
        yield Figure(name, result.rate, "deliveries/s", cores=result.cores, **at_least(8_000, result.rate))
        yield Figure(OF_HTTP_CLIENT, ratio, "ratio", name, **at_least(0.5, ratio))
        yield Figure("server CPU", result.cpu_us, "µs/delivery", name)
        yield Figure("server peak memory", result.peak_bytes / MIB, "MiB", name)
        return result

    def _http_client_alone(self, name: str) -> Generator[Figure, None, float]:
        self._steps.next("baseline: the HTTP client alone")
        receiver = self._harness.receiver
        cpu = CpuWatch(receiver=receiver)
        arguments = ("client", receiver.port, self._harness.seconds, CONNECTIONS)
        found = run_module("commerce_event.bench.baseline", *arguments, timeout_s=self._harness.seconds + WAIT_S)
        self._harness.take_figures()
        rate: float = found["count"] / found["seconds"]
        used_s = {"client": found["cpu_s"], **cpu.used_s()}
        yield Figure(name, rate, "POSTs/s", cores=per_second(used_s, found["seconds"]))
        yield Figure("client CPU", found["cpu_s"] / found["count"] * 1e6, "µs/POST", name)
        return rate

    def end_to_end(self, fan_out: int) -> Iterator[Figure]:
        """Publish events that go to ``fan_out`` endpoints: throughput, then latency at half of that rate."""
        name = f"end to end, fan-out {fan_out}"
        with self._stores.store() as store, self._stores.servers(store) as [server]:
            server.add_endpoints(self._harness.receiver.port, fan_out)
            self._steps.next(name)
            self._harness.take_figures()
            cpu = CpuWatch(server=server, receiver=self._harness.receiver)
            load = self._harness.load([server], seconds=self._harness.seconds / fan_out)
            seen = self._harness.wait_for_all(load.count * fan_out, server)
            seconds = seen["last_s"] - load.started_s
            rate, used_s = load.count / seconds, cpu.used_s()
            goal = at_least(5_000, rate) if fan_out == 1 else {}
            yield Figure(name, rate, "events/s", cores=per_second({**used_s, "load": load.cpu_s}, seconds), **goal)
            yield Figure("deliveries", rate * fan_out, "deliveries/s", name)
            yield Figure("server CPU", used_s["server"] / (load.count * fan_out) * 1e6, "µs/delivery", name)
            self._steps.next(f"{name}: latency at half of that rate")
            paced = self._harness.load([server], rate=rate / 2)
            latency = self._harness.wait_for_all(paced.count * fan_out, server)
            yield from latencies(name, latency, **at_most(50, latency["p99_ms"]))
            yield Figure("server peak memory", server.peak_memory_bytes() / MIB, "MiB", name)


def latencies(name: str, seen: dict[str, Any], **goal: Any) -> Iterator[Figure]:
    yield Figure("p50 at half of that rate", seen["p50_ms"], "ms", name)
    yield Figure("p99 at half of that rate", seen["p99_ms"], "ms", name, **goal)
