"""Measure how much an endpoint whose receiver never answers slows down the other endpoints."""

import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from commerce_event.bench.harness import Harness, Steps
from commerce_event.bench.processes import Server
from commerce_event.bench.receiver import HANGING
from commerce_event.bench.report import Figure, at_least
from commerce_event.bench.stores import StoreFactory
from commerce_event.contract.examples import example_of
from commerce_event.contract.types import JobCompletedEvent, OrderConfirmedEvent

_TURNS: Final = 20  # short ones, so that other work on the machine affects both servers
_TURN_SHARE: Final = 0.2  # of the time that a figure gets
_HANGING_BACKLOG: Final = 1_000  # deliveries for the endpoint that hangs
_NAME: Final = "end to end, with an endpoint that hangs"
STEPS: Final = 2 * _TURNS


class HangingEndpoint:
    """The same load on two servers in turns; one of them has one more endpoint, with a backlog, that hangs."""

    def __init__(self, harness: Harness, stores: StoreFactory, steps: Steps) -> None:
        self._harness = harness
        self._stores = stores
        self._steps = steps

    def measure(self) -> Iterator[Figure]:
        """Measure. Raises BenchError."""
        rates: dict[str, list[float]] = {"with": [], "without": []}
        with ExitStack() as stack:
            servers = {
                name: stack.enter_context(self._stores.servers(stack.enter_context(self._stores.store())))[0]
                for name in rates
            }
            for server in servers.values():
                server.add_endpoint(self._harness.receiver.port, "/0", OrderConfirmedEvent.__name__)
            servers["with"].add_endpoint(self._harness.receiver.port, HANGING, JobCompletedEvent.__name__)
            servers["with"].publish(JobCompletedEvent.__name__, example_of(JobCompletedEvent), _HANGING_BACKLOG)
            for turn in range(_TURNS):
                for name, server in sorted(servers.items(), reverse=turn % 2 == 0):
                    self._steps.next(f"{name} an endpoint that hangs, {turn + 1} of {_TURNS}")
                    rates[name].append(self._rate(server))
        ratio = statistics.median(slowed / free for slowed, free in zip(rates["with"], rates["without"], strict=True))
        yield Figure(_NAME, statistics.median(rates["with"]), "events/s")
        yield Figure("of the same without it", ratio, "ratio", _NAME, **at_least(0.95, ratio))

    def _rate(self, server: Server) -> float:
        self._harness.take_figures()
        load = self._harness.load([server], seconds=self._harness.seconds * _TURN_SHARE)
        seen = self._harness.wait_for_all(load.count, server)
        return float(load.count / (seen["last_s"] - load.started_s))
