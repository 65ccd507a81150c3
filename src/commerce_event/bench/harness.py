"""Drive the processes of a run: publish load, and wait until the receiver has everything."""

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec

from commerce_event.bench.processes import BenchError, CpuWatch, OnShare, Running, Server, run_module
from commerce_event.bench.report import Arrivals
from commerce_event.bench.stores import StoreFactory

CONNECTIONS: Final = 128
WAIT_S: Final = 120.0
_SEED_S: Final = 900.0
_POLL_S: Final = 0.05
_ORDER_NUMBERS_PER_LOAD: Final = 100_000_000  # so that two loads at once publish different orders

ShowProgress = Callable[[str, float], None]


class LoadResult(msgspec.Struct, frozen=True):
    """The result of one load. ``started_s`` is on the clock that all processes of the machine share."""

    count: int
    refused: int
    refused_status: int | None  # of the first refusal
    started_s: float
    seconds: float
    cpu_s: float

    @property
    def rate(self) -> float:
        return self.count / self.seconds


class Steps:
    """Report which step is measured, and which share of the run is done."""

    def __init__(self, show: ShowProgress, count: int) -> None:
        self._show = show
        self._count = count
        self._done = -1
        self._name = ""

    def next(self, name: str) -> None:
        self._done += 1
        self._name = name
        self.share(0.0)

    def share(self, of_step: float) -> None:
        self._show(self._name, (self._done + of_step) / self._count)


class Harness:
    """The receiver of a run, and the loads that are sent to servers."""

    def __init__(self, seconds: float, receiver: Running, arrivals: Arrivals) -> None:
        """``seconds`` is the time under load for each figure."""
        self.seconds = seconds
        self.receiver = receiver
        self._arrivals = arrivals

    def load(self, servers: Sequence[Running], *, seconds: float | None = None, rate: float = 0.0) -> LoadResult:
        """Publish to all servers at once, as fast as they answer or at ``rate`` events/s in all.

        Raises BenchError when a server refuses an event.
        """
        seconds = self.seconds if seconds is None else seconds
        arguments = (seconds, CONNECTIONS // len(servers), rate / len(servers))

        def publish(number: int, server: Running) -> LoadResult:
            target = (server.port, server.key, *arguments, number * _ORDER_NUMBERS_PER_LOAD)
            found = run_module("commerce_event.bench.load", *target, timeout_s=seconds + WAIT_S)
            return msgspec.convert(found, LoadResult)

        with ThreadPoolExecutor(len(servers)) as threads:
            loads = list(threads.map(publish, range(len(servers)), servers))
        total = LoadResult(
            count=sum(load.count for load in loads),
            refused=sum(load.refused for load in loads),
            refused_status=next((load.refused_status for load in loads if load.refused), None),
            started_s=min(load.started_s for load in loads),
            seconds=statistics.mean(load.seconds for load in loads),
            cpu_s=sum(load.cpu_s for load in loads),
        )
        if total.refused:
            raise BenchError(
                f"The server did not accept {total.refused} of {total.count} events; the first answer was "
                f"{total.refused_status}. Run the benchmark again when the machine is less busy"
            )
        return total

    def seed(
        self, stores: StoreFactory, store: str, counts: tuple[int, int], on_share: OnShare, *, bulk: bool = False
    ) -> list[str]:
        """Write a backlog for one endpoint, and one for eight others together; return the ids of the endpoints."""
        url = f"http://127.0.0.1:{self.receiver.port}"
        found = run_module(
            "commerce_event.bench.seed",
            store,
            stores.key,
            url,
            *counts,
            int(bulk),
            timeout_s=_SEED_S,
            on_share=on_share,
        )
        return list(found["endpoints"])

    def wait_for(self, wanted: int, server: Server) -> None:
        """Wait until the receiver has this many different deliveries. Raises BenchError."""
        deadline = time.monotonic() + WAIT_S
        while (different := self.receiver.api.get("/count").json()["different"]) < wanted:
            if time.monotonic() > deadline:
                self._arrivals.missing += wanted - different
                raise BenchError(
                    f"Only {different} of {wanted} deliveries arrived within {WAIT_S:.0f} s; "
                    f"{server.pending()} are pending"
                )
            time.sleep(_POLL_S)

    def wait_for_all(self, wanted: int, server: Server) -> dict[str, Any]:
        """Wait until every delivery has arrived; return the receiver's figures. Raises BenchError."""
        self.wait_for(wanted, server)
        figures = self.take_figures()
        self._arrivals.wanted += wanted
        self._arrivals.repeated += figures["count"] - figures["different"]
        return figures

    def take_figures(self) -> dict[str, Any]:
        """Return what the receiver counted, and reset its counts."""
        figures: dict[str, Any] = self.receiver.api.get("/figures").json()
        return figures


def cores_used(cpu: CpuWatch, loads: Sequence[LoadResult]) -> dict[str, float]:
    """Return how many processor cores the watched processes and the load used, during the loads."""
    used_s = {**cpu.used_s(), "load": sum(load.cpu_s for load in loads)}
    return per_second(used_s, sum(load.seconds for load in loads))


def per_second(used_s: dict[str, float], seconds: float) -> dict[str, float]:
    return {name: round(used / seconds, 2) for name, used in used_s.items()}
