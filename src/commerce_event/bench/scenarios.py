"""The scenarios of a run on the embedded store, one after the other; each gives figures."""

import statistics
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Final

import msgspec

from commerce_event.bench.harness import CONNECTIONS, WAIT_S, Loaded, Rig, Size, Steps, cores, shares
from commerce_event.bench.processes import CpuWatch, figures_of, printing_its_port
from commerce_event.bench.report import BESIDE_CLIENT, MIB, Figure, at_least, at_most
from commerce_event.bench.stores import Place

_FAN_OUTS: Final = (1, 10)
_OVER: Final = (("1 endpoint", "one_us"), ("8 endpoints", "several_us"))
TURNS: Final = 5


class Drained(msgspec.Struct, frozen=True):
    rate: float
    cpu_us: float
    cores: dict[str, float]
    peak_bytes: int


def steps_of(size: Size) -> int:
    return 2 * TURNS + 1 + 3 * len(size.backlogs) + 2 * len(_FAN_OUTS)


class Embedded:
    """Accepts and deliveries beside their ceilings, the cost of a backlog, and latency."""

    def __init__(self, rig: Rig, place: Place, steps: Steps) -> None:
        self._rig = rig
        self._place = place
        self._steps = steps

    def run(self) -> Iterator[Figure]:
        """Measure. Raises BenchError."""
        yield from self._accepting()
        yield from self._delivering()
        for fan_out in _FAN_OUTS:
            yield from self._end_to_end(fan_out)

    def _accepting(self) -> Iterator[Figure]:
        """Turn and turn about with the server alone: the machine's pace changes within seconds."""
        alone: list[Loaded] = []
        durable: list[Loaded] = []
        with ExitStack() as stack:
            nothing = stack.enter_context(printing_its_port("ceiling", "server"))
            [server] = stack.enter_context(self._place.servers(stack.enter_context(self._place.store())))
            bare, cpu = CpuWatch(server=nothing), CpuWatch(server=server)
            for turn in range(TURNS):
                self._steps.next(f"ceiling: the HTTP server with nothing behind it, {turn + 1} of {TURNS}")
                alone.append(self._rig.load([nothing], seconds=self._rig.size.seconds / TURNS))
                self._steps.next(f"durable accepts, {turn + 1} of {TURNS}")
                durable.append(self._rig.load([server], seconds=self._rig.size.seconds / TURNS))
            count = sum(each.count for each in durable)
            rate = statistics.median(each.rate for each in durable)
            ratio = statistics.median(got.rate / most.rate for got, most in zip(durable, alone, strict=True))
            ceiling = statistics.median(each.rate for each in alone)
            yield Figure("HTTP server alone", ceiling, "requests/s", cores=cores(bare, alone))
            name = "durable accepts"
            yield Figure(name, rate, "events/s", cores=cores(cpu, durable), **at_least(10_000, rate))
            yield Figure("of the HTTP server alone", ratio, "ratio", name, **at_least(0.5, ratio))
            yield Figure("server CPU", cpu.used_s()["server"] / count * 1e6, "µs/event", name)
            yield Figure("server peak memory", server.peak_memory_bytes() / MIB, "MiB", name)

    def _delivering(self) -> Iterator[Figure]:
        with ExitStack() as stack:
            stores = [stack.enter_context(self._place.store()) for _ in self._rig.size.backlogs]
            endpoints = [self._seeded(*each) for each in zip(stores, self._rig.size.backlogs, strict=True)]
            self._steps.next("queue: claim and settle")
            queues = self._rig.queue_costs(stores)
            yield from queue_costs("queue", self._rig.size, queues)
            peaks: list[int] = []
            for backlog, store, endpoint in zip(self._rig.size.backlogs, stores, endpoints, strict=True):
                ceiling = yield from self._bare_client(f"HTTP client alone, before {backlog:,}")
                self._steps.next(f"deliveries, {backlog:,} waiting")
                drained = self._drain(store, endpoint, min(backlog, self._rig.size.drained))
                peaks.append(drained.peak_bytes)
                yield from _delivered(f"deliveries, {backlog:,} waiting", drained, ceiling)
            yield from queue_growth("queue", queues)
            grown = peaks[1] / peaks[0]
            yield Figure("server peak memory, large/small backlog", grown, "ratio", **at_most(1.3, grown))

    def _seeded(self, store: str, backlog: int) -> str:
        self._steps.next(f"writing a backlog of {backlog:,}")
        return self._rig.seeded(self._place, store, backlog, self._steps.share)

    def _bare_client(self, name: str) -> Generator[Figure, None, float]:
        self._steps.next("ceiling: the HTTP client alone")
        receiver = self._rig.receiver
        cpu = CpuWatch(receiver=receiver)
        said = figures_of("ceiling", "client", receiver.port, self._rig.size.seconds, CONNECTIONS, timeout_s=WAIT_S)
        self._rig.arrived()
        rate: float = said["count"] / said["seconds"]
        used = {"client": said["cpu_s"], **cpu.used_s()}
        yield Figure(name, rate, "POSTs/s", cores=shares(used, said["seconds"]))
        yield Figure("client CPU", said["cpu_s"] / said["count"] * 1e6, "µs/POST", name)
        return rate

    def _drain(self, store: str, endpoint: str, wanted: int) -> Drained:
        """Measure deliveries from the moment that the endpoint is switched on."""
        with self._place.servers(store) as [server]:
            self._rig.arrived()
            cpu = CpuWatch(server=server, receiver=self._rig.receiver)
            server.switch_on(endpoint)
            self._rig.wait_for(min(wanted, *self._rig.size.backlogs), server)
            peak_bytes = server.peak_memory_bytes()  # after as much work with every backlog, so that they compare
            self._rig.wait_for(wanted, server)
            seen, used = self._rig.arrived(), cpu.used_s()
            seconds = seen["last_s"] - seen["first_s"]
            cpu_us = used["server"] / seen["count"] * 1e6
            return Drained(seen["count"] / seconds, cpu_us, shares(used, seconds), peak_bytes)

    def _end_to_end(self, fan_out: int) -> Iterator[Figure]:
        name = f"end to end, fan-out {fan_out}"
        with self._place.store() as store, self._place.servers(store) as [server]:
            server.add_endpoints(self._rig.receiver.port, fan_out)
            self._steps.next(name)
            self._rig.arrived()
            cpu = CpuWatch(server=server, receiver=self._rig.receiver)
            got = self._rig.load([server], seconds=self._rig.size.seconds / fan_out)
            seen = self._rig.all_arrived(server, got.count * fan_out)
            seconds = seen["last_s"] - got.started_s
            rate, used = got.count / seconds, cpu.used_s()
            goal = at_least(5_000, rate) if fan_out == 1 else {}
            yield Figure(name, rate, "events/s", cores=shares({**used, "load": got.cpu_s}, seconds), **goal)
            yield Figure("deliveries", rate * fan_out, "deliveries/s", name)
            yield Figure("server CPU", used["server"] / (got.count * fan_out) * 1e6, "µs/delivery", name)
            self._steps.next(f"{name}: latency at half of that rate")
            paced = self._rig.load([server], rate=rate / 2)
            latency = self._rig.all_arrived(server, paced.count * fan_out)
            yield from latencies(name, latency, **at_most(50, latency["p99_ms"]))
            yield Figure("server peak memory", server.peak_memory_bytes() / MIB, "MiB", name)


def _delivered(name: str, drained: Drained, ceiling: float) -> Iterator[Figure]:
    ratio = drained.rate / ceiling
    yield Figure(name, drained.rate, "deliveries/s", cores=drained.cores, **at_least(8_000, drained.rate))
    yield Figure(BESIDE_CLIENT, ratio, "ratio", name, **at_least(0.5, ratio))
    yield Figure("server CPU", drained.cpu_us, "µs/delivery", name)
    yield Figure("server peak memory", drained.peak_bytes / MIB, "MiB", name)


def queue_costs(name: str, size: Size, queues: Sequence[dict[str, float]]) -> Iterator[Figure]:
    for backlog, queue in zip(size.backlogs, queues, strict=True):
        for over, key in _OVER:
            yield Figure(f"{name}, {backlog:,} waiting, {over}", queue[key], "µs/delivery")


def queue_growth(name: str, queues: Sequence[dict[str, float]]) -> Iterator[Figure]:
    """What a backlog a hundred times as large costs more."""
    for over, key in _OVER:
        grown = queues[1][key] / queues[0][key]
        yield Figure(f"{name}, {over}, large/small backlog", grown, "ratio", **at_most(1.3, grown))


def latencies(name: str, seen: dict[str, Any], **goal: Any) -> Iterator[Figure]:
    yield Figure("p50 at half of that rate", seen["p50_ms"], "ms", name)
    yield Figure("p99 at half of that rate", seen["p99_ms"], "ms", name, **goal)
