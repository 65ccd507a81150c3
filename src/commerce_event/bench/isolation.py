"""What an endpoint whose receiver never answers costs its neighbours."""

import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from commerce_event.bench.harness import Rig, Size, Steps
from commerce_event.bench.processes import Server
from commerce_event.bench.receiver import HANGING
from commerce_event.bench.report import Figure, at_least
from commerce_event.bench.stores import Place
from commerce_event.contract.examples import example_of
from commerce_event.contract.types import JobCompletedEvent, OrderConfirmedEvent

_TURNS: Final = 20  # short ones: what else the machine does then falls on both
_TURN_SHARE: Final = 0.2  # of the time a figure gets
_WAITING: Final = 1_000  # deliveries for the endpoint that hangs
_NAME: Final = "end to end, beside an endpoint that hangs"


def steps_of(_: Size) -> int:
    return 2 * _TURNS


class Neighbours:
    """The same load on two servers in turns; one of them has an endpoint more, with work of its own, that hangs."""

    def __init__(self, rig: Rig, place: Place, steps: Steps) -> None:
        self._rig = rig
        self._place = place
        self._steps = steps

    def run(self) -> Iterator[Figure]:
        """Measure. Raises BenchError."""
        rates: dict[str, list[float]] = {"beside": [], "alone": []}
        with ExitStack() as stack:
            servers = {
                name: stack.enter_context(self._place.servers(stack.enter_context(self._place.store())))[0]
                for name in rates
            }
            for server in servers.values():
                server.add_endpoint(self._rig.receiver.port, "/0", OrderConfirmedEvent.__name__)
            servers["beside"].add_endpoint(self._rig.receiver.port, HANGING, JobCompletedEvent.__name__)
            servers["beside"].publish(JobCompletedEvent.__name__, example_of(JobCompletedEvent), _WAITING)
            for turn in range(_TURNS):
                for name, server in sorted(servers.items(), reverse=turn % 2 == 0):
                    self._steps.next(f"{name} an endpoint that hangs, {turn + 1} of {_TURNS}")
                    rates[name].append(self._rate(server))
        ratio = statistics.median(beside / alone for beside, alone in zip(rates["beside"], rates["alone"], strict=True))
        yield Figure(_NAME, statistics.median(rates["beside"]), "events/s")
        yield Figure("of the same without it", ratio, "ratio", _NAME, **at_least(0.95, ratio))

    def _rate(self, server: Server) -> float:
        self._rig.arrived()
        got = self._rig.load([server], seconds=self._rig.size.seconds * _TURN_SHARE)
        seen = self._rig.all_arrived(server, got.count)
        return float(got.count / (seen["last_s"] - got.started_s))
