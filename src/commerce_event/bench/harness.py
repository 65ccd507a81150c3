"""What every scenario uses: the receiver, loads, and the count of what arrived."""

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec

from commerce_event.bench.processes import BenchError, CpuWatch, OnShare, Running, Server, figures_of
from commerce_event.bench.queue_cost import BATCH
from commerce_event.bench.report import Arrivals
from commerce_event.bench.stores import Place

CONNECTIONS: Final = 128
WAIT_S: Final = 120.0
_SEED_S: Final = 900.0
_POLL_S: Final = 0.05
_APART: Final = 100_000_000  # between the order numbers of two loads at once

Show = Callable[[str, float], None]


class Size(msgspec.Struct, frozen=True):
    """How much a run does."""

    seconds: float  # under load, for each figure
    backlogs: tuple[int, int]
    drained: int  # deliveries of a backlog that are sent, at most
    batches: int  # of claiming and settling
    churned: int  # deliveries that come and go, to see what grows


FULL: Final = Size(5.0, (10_000, 1_000_000), 30_000, 64, 1_000_000)
QUICK: Final = Size(0.5, (10_000, 50_000), 3_000, 16, 10_000)


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


class Steps:
    """Tells what is being measured, and which share of the run is done."""

    def __init__(self, show: Show, count: int) -> None:
        self._show = show
        self._count = count
        self._done = -1
        self._doing = ""

    def next(self, what: str) -> None:
        self._done += 1
        self._doing = what
        self.share(0.0)

    def share(self, of_step: float) -> None:
        self._show(self._doing, (self._done + of_step) / self._count)


class Rig:
    """The receiver of a run and what is asked of it."""

    def __init__(self, size: Size, receiver: Running, arrivals: Arrivals) -> None:
        self.size = size
        self.receiver = receiver
        self._arrivals = arrivals

    def load(self, servers: Sequence[Running], *, seconds: float | None = None, rate: float = 0.0) -> Loaded:
        """Publish to all servers at once, as fast as answered or at ``rate`` events/s in all."""
        seconds = self.size.seconds if seconds is None else seconds
        each = (seconds, CONNECTIONS // len(servers), rate / len(servers))

        def publish(number: int, server: Running) -> Loaded:
            place = (server.port, server.key, *each, number * _APART)
            return msgspec.convert(figures_of("load", *place, timeout_s=each[0] + WAIT_S), Loaded)

        with ThreadPoolExecutor(len(servers)) as threads:
            loads = list(threads.map(publish, range(len(servers)), servers))
        together = Loaded(
            count=sum(load.count for load in loads),
            refused=sum(load.refused for load in loads),
            started_s=min(load.started_s for load in loads),
            seconds=statistics.mean(load.seconds for load in loads),
            cpu_s=sum(load.cpu_s for load in loads),
        )
        if together.refused or not together.count:
            raise BenchError(f"{together.refused} of {together.count} events were refused")
        return together

    def seeded(self, place: Place, store: str, backlog: int, on_share: OnShare) -> str:
        """Write a backlog, and what `claim and settle` will take from it; return the endpoint's id."""
        claimed = self.size.batches * BATCH
        url = f"http://127.0.0.1:{self.receiver.port}"
        counts = (backlog + claimed, backlog // 10 + claimed)
        said = figures_of("seed", store, place.key, url, *counts, timeout_s=_SEED_S, on_share=on_share)
        return str(said["endpoint"])

    def queue_costs(self, stores: Sequence[str]) -> list[dict[str, float]]:
        costs: list[dict[str, float]] = figures_of("queue_cost", self.size.batches, *stores, timeout_s=WAIT_S)["stores"]
        return costs

    def churn(self, store: str, on_share: OnShare) -> dict[str, Any]:
        return figures_of("churn", store, self.size.churned, timeout_s=_SEED_S, on_share=on_share)

    def wait_for(self, wanted: int, server: Server) -> None:
        """Wait until so many different deliveries have arrived. Raises BenchError."""
        deadline = time.monotonic() + WAIT_S
        while (different := self.receiver.api.get("/count").json()["different"]) < wanted:
            if time.monotonic() > deadline:
                self._arrivals.missing += wanted - different
                raise BenchError(f"only {different} of {wanted} deliveries arrived; {server.pending()} are pending")
            time.sleep(_POLL_S)

    def all_arrived(self, server: Server, wanted: int) -> dict[str, Any]:
        """Return the figures once every event has reached every endpoint. Raises BenchError when some are missing."""
        self.wait_for(wanted, server)
        seen = self.arrived()
        self._arrivals.wanted += wanted
        self._arrivals.repeated += seen["count"] - seen["different"]
        return seen

    def arrived(self) -> dict[str, Any]:
        """Return what the receiver counted, and let it begin anew."""
        figures: dict[str, Any] = self.receiver.api.get("/figures").json()
        return figures


def cores(cpu: CpuWatch, loads: Sequence[Loaded]) -> dict[str, float]:
    used_s = {**cpu.used_s(), "load": sum(load.cpu_s for load in loads)}
    return shares(used_s, sum(load.seconds for load in loads))


def shares(used_s: dict[str, float], seconds: float) -> dict[str, float]:
    """Return how much of a core each process used."""
    return {name: round(used / seconds, 2) for name, used in used_s.items()}
