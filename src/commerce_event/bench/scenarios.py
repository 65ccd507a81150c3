"""The scenarios of a run, one after the other; each gives figures."""

import statistics
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from commerce_event.bench.processes import BenchError, CpuWatch, Server, figures_of, printing_its_port, serving
from commerce_event.bench.queue_cost import BATCH
from commerce_event.bench.report import Arrivals, Figure, at_least, at_most
from commerce_event.bench.seed import MAX_IN_FLIGHT

_CONNECTIONS: Final = 128
_WAIT_S: Final = 120.0
_SEED_S: Final = 600.0
_POLL_S: Final = 0.05
_MIB: Final = 1024**2
_FAN_OUTS: Final = (1, 10)
_TURNS: Final = 5

Show = Callable[[str, float], None]


class Size(msgspec.Struct, frozen=True):
    """How much a run does."""

    seconds: float  # under load, for each figure
    backlogs: tuple[int, int]
    drained: int  # deliveries of a backlog that are sent, at most
    batches: int  # of claiming and settling


FULL: Final = Size(5.0, (10_000, 1_000_000), 30_000, 64)
QUICK: Final = Size(0.5, (10_000, 50_000), 3_000, 16)


class Loaded(msgspec.Struct, frozen=True):
    """What a load says of itself. ``started_s`` is on the clock that all processes of the machine share."""

    count: int
    refused: int
    started_s: float
    seconds: float
    cpu_s: float

    @property
    def rate(self) -> float:
        return self.count / self.seconds


class Drained(msgspec.Struct, frozen=True):
    rate: float
    cpu_us: float
    cores: dict[str, float]
    peak_bytes: int


class Bench:
    """One run. ``show`` is told what is being measured, and which share of the run is done."""

    def __init__(self, folder: Path, size: Size, show: Show) -> None:
        self._folder = folder
        self._size = size
        self._show = show
        self._steps_done = -1
        self._steps = 2 * _TURNS + 1 + 3 * len(size.backlogs) + 2 * len(_FAN_OUTS)
        self.arrivals = Arrivals()

    def run(self) -> Iterator[Figure]:
        """Measure. Raises BenchError."""
        with printing_its_port("receiver") as self._receiver:
            yield from self._accepting()
            yield from self._delivering()
            for fan_out in _FAN_OUTS:
                yield from self._end_to_end(fan_out)

    # -- scenarios

    def _accepting(self) -> Iterator[Figure]:
        """Turn and turn about with the server alone: the machine's pace changes within seconds."""
        alone: list[Loaded] = []
        durable: list[Loaded] = []
        with printing_its_port("ceiling", "server") as nothing, serving(self._folder / "accept.db") as server:
            bare, cpu = CpuWatch(server=nothing), CpuWatch(server=server)
            for turn in range(_TURNS):
                self._step(f"ceiling: the HTTP server with nothing behind it, {turn + 1} of {_TURNS}")
                alone.append(self._load(nothing.port, "-", seconds=self._size.seconds / _TURNS))
                self._step(f"durable accepts, {turn + 1} of {_TURNS}")
                durable.append(self._load(server.port, server.key, seconds=self._size.seconds / _TURNS))
            count = sum(each.count for each in durable)
            rate = statistics.median(each.rate for each in durable)
            ratio = statistics.median(got.rate / most.rate for got, most in zip(durable, alone, strict=True))
            ceiling = statistics.median(each.rate for each in alone)
            yield Figure("HTTP server alone", ceiling, "requests/s", cores=_cores(bare, alone))
            name = "durable accepts"
            yield Figure(name, rate, "events/s", cores=_cores(cpu, durable), **at_least(10_000, rate))
            yield Figure("of the HTTP server alone", ratio, "ratio", name, **at_least(0.5, ratio))
            yield Figure("server CPU", cpu.used_s()["server"] / count * 1e6, "µs/event", name)
            yield Figure("server peak memory", server.peak_memory_bytes() / _MIB, "MiB", name)

    def _delivering(self) -> Iterator[Figure]:
        backlogs = self._size.backlogs
        seeded = [self._seeded(backlog) for backlog in backlogs]
        self._step("queue: claim and settle")
        paths = [path for path, _ in seeded]
        queues = figures_of("queue_cost", self._size.batches, *paths, timeout_s=_WAIT_S)["stores"]
        for backlog, queue in zip(backlogs, queues, strict=True):
            for name, key in (("1 endpoint", "one_us"), ("8 endpoints", "several_us")):
                yield Figure(f"queue, {backlog:,} waiting, {name}", queue[key], "µs/delivery")
        peaks: list[int] = []
        for backlog, (path, endpoint) in zip(backlogs, seeded, strict=True):
            ceiling = yield from self._bare_client(f"HTTP client alone, before {backlog:,}")
            self._step(f"deliveries, {backlog:,} waiting")
            drained = self._drain(path, endpoint, min(backlog, self._size.drained))
            peaks.append(drained.peak_bytes)
            yield from _delivered(f"deliveries, {backlog:,} waiting", drained, ceiling)
            path.unlink()  # a million events take a gigabyte
        yield from _growth(queues, peaks)

    def _bare_client(self, name: str) -> Generator[Figure, None, float]:
        self._step("ceiling: the HTTP client alone")
        cpu = CpuWatch(receiver=self._receiver)
        said = figures_of("ceiling", "client", self._receiver.port, self._size.seconds, _CONNECTIONS, timeout_s=_WAIT_S)
        self._arrived()
        rate: float = said["count"] / said["seconds"]
        used = {"client": said["cpu_s"], **cpu.used_s()}
        yield Figure(name, rate, "POSTs/s", cores=_shares(used, said["seconds"]))
        yield Figure("client CPU", said["cpu_s"] / said["count"] * 1e6, "µs/POST", name)
        return rate

    def _end_to_end(self, fan_out: int) -> Iterator[Figure]:
        name = f"end to end, fan-out {fan_out}"
        with serving(self._folder / f"fan-out-{fan_out}.db") as server:
            for number in range(fan_out):
                server.add_endpoint(f"http://127.0.0.1:{self._receiver.port}/{number}", MAX_IN_FLIGHT)
            self._step(name)
            self._arrived()
            cpu = CpuWatch(server=server, receiver=self._receiver)
            got = self._load(server.port, server.key, seconds=self._size.seconds / fan_out)
            seen = self._all_arrived(server, got.count * fan_out)
            seconds = seen["last_s"] - got.started_s
            rate, used = got.count / seconds, cpu.used_s()
            goal = at_least(5_000, rate) if fan_out == 1 else {}
            cores = _shares({**used, "load": got.cpu_s}, seconds)
            yield Figure(name, rate, "events/s", cores=cores, **goal)
            yield Figure("deliveries", rate * fan_out, "deliveries/s", name)
            yield Figure("server CPU", used["server"] / (got.count * fan_out) * 1e6, "µs/delivery", name)
            self._step(f"{name}: latency at half of that rate")
            paced = self._load(server.port, server.key, rate=rate / 2)
            latency = self._all_arrived(server, paced.count * fan_out)
            yield Figure("p50 at half of that rate", latency["p50_ms"], "ms", name)
            p99_ms = latency["p99_ms"]
            yield Figure("p99 at half of that rate", p99_ms, "ms", name, **at_most(50, p99_ms))
            yield Figure("server peak memory", server.peak_memory_bytes() / _MIB, "MiB", name)

    # -- parts

    def _step(self, what: str) -> None:
        self._steps_done += 1
        self._doing = what
        self._share(0.0)

    def _share(self, of_step: float) -> None:
        self._show(self._doing, (self._steps_done + of_step) / self._steps)

    def _load(self, port: int, key: str, *, seconds: float | None = None, rate: float = 0.0) -> Loaded:
        wanted_s = self._size.seconds if seconds is None else seconds
        figures = figures_of("load", port, key, wanted_s, _CONNECTIONS, rate, timeout_s=wanted_s + _WAIT_S)
        loaded = msgspec.convert(figures, Loaded)
        if loaded.refused or not loaded.count:
            raise BenchError(f"{loaded.refused} of {loaded.count} events were refused")
        return loaded

    def _seeded(self, backlog: int) -> tuple[Path, str]:
        self._step(f"writing a backlog of {backlog:,}")
        path = self._folder / f"backlog-{backlog}.db"
        claimed = self._size.batches * BATCH
        url = f"http://127.0.0.1:{self._receiver.port}"
        said = figures_of(
            "seed", path, url, backlog + claimed, backlog // 10 + claimed, timeout_s=_SEED_S, on_share=self._share
        )
        return path, said["endpoint"]

    def _drain(self, path: Path, endpoint: str, wanted: int) -> Drained:
        """Measure deliveries from the moment that the endpoint is switched on."""
        with serving(path) as server:
            self._arrived()
            cpu = CpuWatch(server=server, receiver=self._receiver)
            server.switch_on(endpoint)
            self._wait_for(min(wanted, *self._size.backlogs), server)
            peak_bytes = server.peak_memory_bytes()  # after as much work with every backlog, so that they compare
            self._wait_for(wanted, server)
            seen, used = self._arrived(), cpu.used_s()
            seconds = seen["last_s"] - seen["first_s"]
            cpu_us = used["server"] / seen["count"] * 1e6
            return Drained(seen["count"] / seconds, cpu_us, _shares(used, seconds), peak_bytes)

    def _wait_for(self, wanted: int, server: Server) -> None:
        deadline = time.monotonic() + _WAIT_S
        while (different := self._receiver.api.get("/count").json()["different"]) < wanted:
            if time.monotonic() > deadline:
                self.arrivals.missing += wanted - different
                raise BenchError(f"only {different} of {wanted} deliveries arrived; {server.pending()} are pending")
            time.sleep(_POLL_S)

    def _all_arrived(self, server: Server, wanted: int) -> dict[str, Any]:
        """Return the figures once every event has reached every endpoint. Raises BenchError when some are missing."""
        self._wait_for(wanted, server)
        seen = self._arrived()
        self.arrivals.wanted += wanted
        self.arrivals.repeated += seen["count"] - seen["different"]
        return seen

    def _arrived(self) -> dict[str, Any]:
        """Return what the receiver counted, and let it begin anew."""
        figures: dict[str, Any] = self._receiver.api.get("/figures").json()
        return figures


def _delivered(name: str, drained: Drained, ceiling: float) -> Iterator[Figure]:
    ratio = drained.rate / ceiling
    yield Figure(name, drained.rate, "deliveries/s", cores=drained.cores, **at_least(8_000, drained.rate))
    yield Figure("of the HTTP client alone", ratio, "ratio", name, **at_least(0.5, ratio))
    yield Figure("server CPU", drained.cpu_us, "µs/delivery", name)
    yield Figure("server peak memory", drained.peak_bytes / _MIB, "MiB", name)


def _growth(queue: list[dict[str, float]], peaks: list[int]) -> Iterator[Figure]:
    """What a backlog a hundred times as large costs more."""
    for name, key in (("1 endpoint", "one_us"), ("8 endpoints", "several_us")):
        grown = queue[1][key] / queue[0][key]
        yield Figure(f"queue, {name}, large/small backlog", grown, "ratio", **at_most(1.3, grown))
    grown = peaks[1] / peaks[0]
    yield Figure("server peak memory, large/small backlog", grown, "ratio", **at_most(1.3, grown))


def _cores(cpu: CpuWatch, loads: Sequence[Loaded]) -> dict[str, float]:
    used_s = {**cpu.used_s(), "load": sum(load.cpu_s for load in loads)}
    return _shares(used_s, sum(load.seconds for load in loads))


def _shares(used_s: dict[str, float], seconds: float) -> dict[str, float]:
    return {name: round(used / seconds, 2) for name, used in used_s.items()}
