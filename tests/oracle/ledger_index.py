"""A ledger with indexes for the judges, and whether a fault excuses something."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

from ledger import Arrival, Delivery, Ledger, Published

Pair = tuple[str, str, bool]  # event id, path, by a replay

# How long a fault may still be felt once it is over: a lease is found to be lost, results wait for the store.
_FELT_S = {
    "kill": 1.0,
    "kill-all": 1.0,
    "pause": 3.0,
    "clock": 3.0,
    "disk-full": 5.0,
    "power-cut": 2.0,
    "database-restart": 10.0,
    "database-cut": 10.0,
}
OF_THE_CLOCK = frozenset({"clock"})


@dataclass(frozen=True)
class Finding:
    """One invariant, and where it was broken."""

    invariant: str
    looked_at: int
    broken: list[str]


class Case:
    """What there is to judge."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    @cached_property
    def events(self) -> dict[str, Published]:
        """By event id."""
        return {event.event_id: event for event in self.ledger.published.values()}

    @cached_property
    def requests(self) -> dict[Pair, list[Arrival]]:
        """By delivery, in the order of their attempts."""
        found: dict[Pair, list[Arrival]] = defaultdict(list)
        for arrival in self.ledger.arrivals:
            found[arrival.event_id, arrival.path, arrival.replayed].append(arrival)
        for arrivals in found.values():
            arrivals.sort(key=lambda arrival: (arrival.attempt, arrival.at))
        return found

    @cached_property
    def deliveries(self) -> dict[Pair, list[Delivery]]:
        """All that the server has of a pair; it should be one."""
        found: dict[Pair, list[Delivery]] = defaultdict(list)
        for delivery in self.ledger.deliveries:
            found[delivery.event_id, delivery.path, delivery.replayed].append(delivery)
        return found

    @cached_property
    def due(self) -> list[tuple[Published, str]]:
        """Every acknowledged event with every path that it is to reach."""
        return [
            (event, path)
            for event in self.ledger.published.values()
            for path in self.ledger.subscriptions
            if self.ledger.wants(path, event.client_id, event.application_id)
        ]

    @cached_property
    def gone_at(self) -> dict[str, float]:
        """When a path first answered 410."""
        found: dict[str, float] = {}
        for arrival in self.ledger.arrivals:
            if arrival.status == 410:
                found[arrival.path] = min(arrival.answered, found.get(arrival.path, arrival.answered))
        return found

    def requests_of(self, delivery: Delivery) -> list[Arrival]:
        return self.requests.get((delivery.event_id, delivery.path, delivery.replayed), [])

    def hurt(self, since: float, until: float, kinds: frozenset[str] | None = None) -> bool:
        """Was there a fault, one of these kinds, that can be felt in that time?"""
        return self.healed(since, until, kinds) is not None

    def healed(self, since: float, until: float, kinds: frozenset[str] | None = None) -> float | None:
        """Return when the last of the faults that can be felt in that time was over; None when there was none."""
        felt = [
            fault.ended
            for fault in self.ledger.faults
            if (kinds is None or fault.kind in kinds)
            and fault.begun <= until
            and fault.ended + _FELT_S.get(fault.kind, 1.0) >= since
        ]
        return max(felt, default=None)
