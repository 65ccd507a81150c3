"""Measure how much a backlog of bulk deliveries slows down other events, at the same endpoint and at another one."""

import time
from collections.abc import Iterator, Sequence
from typing import Final

from commerce_event.bench.harness import WAIT_S, Harness, LoadResult, Steps, per_second
from commerce_event.bench.processes import BenchError, CpuWatch, Server
from commerce_event.bench.report import Figure, at_most
from commerce_event.bench.stores import StoreFactory
from commerce_event.contract.types import OrderConfirmedEvent

_TURNS: Final = 3  # quiet and busy: the machine's pace changes within seconds
STEPS: Final = 1 + 2 * _TURNS
_RATE: Final = 100.0  # events/s, of a busy shop
_POLL_S: Final = 0.02
_QUIET: Final = ("/quiet/0", "/quiet/1")
_SAME, _OTHER = "/0", "/busy/1"  # half of the backlog is for the first one
_SECONDS_MAX: Final = 5.0  # of each load, so that the backlog lasts


class BulkBacklog:
    """The same load in turns: on a server without other work, and while it sends bulk deliveries.

    Each event goes to two endpoints. The backlog is for nine: half of it for one of the two, half for eight others.
    """

    def __init__(self, harness: Harness, stores: StoreFactory, steps: Steps, backlog: int) -> None:
        self._harness = harness
        self._stores = stores
        self._steps = steps
        self._backlog = backlog

    def measure(self) -> Iterator[Figure]:
        """Measure. Raises BenchError."""
        half = self._backlog // 2
        sending_s = 0.0
        with self._stores.store() as store:
            self._steps.next(f"writing a backlog of {self._backlog:,} bulk deliveries")
            bulk = self._harness.seed(self._stores, store, (half, half), self._steps.share, bulk=True)
            with self._stores.servers(store) as [server]:
                server.change_endpoint(bulk[0], event_types=[OrderConfirmedEvent.__name__])
                quiet = [self._add_endpoint(server, address) for address in _QUIET]
                busy = [*bulk, self._add_endpoint(server, _OTHER)]
                _switch(server, off=busy, on=quiet)
                self._harness.take_figures()
                quiet_bytes = 0
                for turn in range(1, _TURNS + 1):
                    self._load(server, f"order events, quiet, {turn} of {_TURNS}")
                    quiet_bytes = quiet_bytes or server.peak_memory_bytes()
                    _switch(server, off=quiet, on=busy)
                    cpu, begun_s = CpuWatch(server=server, receiver=self._harness.receiver), time.monotonic()
                    load = self._load(server, f"order events and bulk deliveries, {turn} of {_TURNS}")
                    used = per_second(cpu.used_s(), time.monotonic() - begun_s)
                    left = server.pending()
                    _switch(server, off=busy, on=quiet)
                    sending_s += time.monotonic() - begun_s
                growth = server.peak_memory_bytes() / quiet_bytes
                found = self._harness.take_figures()["by_address"]
        if not left:
            raise BenchError(f"{self._backlog:,} bulk deliveries were not enough for this machine")
        if not {*_QUIET, _SAME, _OTHER} <= found.keys():
            raise BenchError("No order event arrived while bulk deliveries were sent")
        name = f"order events, {self._backlog:,} bulk deliveries"
        yield Figure(name, load.rate, "events/s", cores=used)
        for figure in ("p50_ms", "p99_ms"):
            base = max(found[address][figure] for address in _QUIET)
            yield Figure(f"{figure[:3]} end to end, quiet", base, "ms", name)
            for address, where in ((_SAME, "same endpoint"), (_OTHER, "another endpoint")):
                value = found[address][figure]
                yield Figure(f"{figure[:3]} end to end, {where}", value, "ms", name)
                if figure == "p99_ms":
                    ratio = value / base
                    yield Figure(f"p99, {where}/quiet", ratio, "ratio", name, **at_most(2, ratio))
        yield Figure("bulk deliveries at the same time", (self._backlog - left) / sending_s, "deliveries/s", name)
        yield Figure("server peak memory, backlog/quiet", growth, "ratio", name, **at_most(1.3, growth))

    def _add_endpoint(self, server: Server, address: str) -> str:
        return server.add_endpoint(self._harness.receiver.port, address, OrderConfirmedEvent.__name__)

    def _load(self, server: Server, step: str) -> LoadResult:
        self._steps.next(step)
        return self._harness.load([server], seconds=min(self._harness.seconds, _SECONDS_MAX) / _TURNS, rate=_RATE)


def _switch(server: Server, *, off: Sequence[str], on: Sequence[str]) -> None:
    """Disable and enable endpoints, when all deliveries under way are answered. Raises BenchError."""
    for endpoint in off:
        server.change_endpoint(endpoint, enabled=False)
    deadline = time.monotonic() + WAIT_S
    while server.in_flight():
        if time.monotonic() > deadline:
            raise BenchError(f"Deliveries were not answered within {WAIT_S:.0f} s")
        time.sleep(_POLL_S)
    for endpoint in on:
        server.change_endpoint(endpoint, enabled=True)
