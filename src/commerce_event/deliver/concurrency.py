"""The slots of a node: how many requests may be under way, and whose turn it is.

Each endpoint has a lane of its own, so one that hangs holds only its own slots; no lane may hold more slots than are
free in all, and those whose last answer was not good, or that gave none yet, hold three quarters together: however many
hang, some stay free.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from commerce_event.core.circuit import Circuit
from commerce_event.core.clock import Clock
from commerce_event.core.delivery import Outcome
from commerce_event.core.model import Endpoint
from commerce_event.deliver.endpoint_state import Lane
from commerce_event.registry.registry import Registry
from commerce_event.store.model import Claimed, ClaimRequest
from commerce_event.store.port import Store

_RETRY_SHARE: Final = 0.75  # of all slots: the rest is kept for first tries
_UNTRUSTED_SHARE: Final = 0.75  # of all slots: the rest is kept for endpoints whose last answer was good


class Slots:
    """Gives slots to deliveries and takes them back."""

    def __init__(
        self, store: Store, registry: Registry, clock: Clock, *, max_in_flight: int, circuit_failures: int
    ) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._all = max_in_flight
        self._circuit_failures = circuit_failures
        self._lanes: dict[int, Lane] = {}
        self._owners: dict[Lane, int] = {}
        self._due: dict[Lane, None] = {}  # all that have due work, by their turn; some may have none any more
        self._shares: dict[int, tuple[Endpoint, int, Endpoint]] = {}  # the endpoint, the nodes, our part
        self._retries_held = 0
        self._untrusted_held = 0
        self._swept_version = 0
        self._turn = 0
        self._starved = False  # a lane had due work and slots of its own, but none was free in all
        self.held = 0

    @property
    def lanes(self) -> Iterable[Lane]:
        return self._lanes.values()

    def lane(self, endpoint_id: int) -> Lane:
        """Return the lane of an endpoint; whoever asks may put due work into it."""
        lane = self._lane(endpoint_id)
        self._due.setdefault(lane)
        return lane

    def _lane(self, endpoint_id: int) -> Lane:
        lane = self._lanes.get(endpoint_id)
        if lane is None:
            lane = Lane(Circuit(threshold=self._circuit_failures), self._clock.monotonic())
            self._lanes[endpoint_id] = lane
            self._owners[lane] = endpoint_id
        return lane

    def share(self, endpoint: Endpoint) -> Endpoint:
        """Return an endpoint with this node's part of its limits: the nodes have equal parts, and at least one slot."""
        nodes = self._store.nodes
        if nodes == 1:
            return endpoint
        known = self._shares.get(endpoint.id)
        if known is None or known[0] is not endpoint or known[1] != nodes:
            rate = endpoint.rate_limit
            part = msgspec.structs.replace(
                endpoint,
                max_in_flight=max(1, endpoint.max_in_flight // nodes),
                rate_limit=None if rate is None else rate / nodes,
            )
            known = self._shares[endpoint.id] = (endpoint, nodes, part)
        return known[2]

    def forget_deleted(self) -> None:
        """Drop the lanes of endpoints that are no more, where nothing is in flight; endpoints change seldom."""
        if self._registry.version == self._swept_version:
            return
        self._swept_version = self._registry.version
        for endpoint_id, lane in list(self._lanes.items()):
            endpoint = self._registry.endpoint(endpoint_id)
            if lane.idle and (endpoint is None or endpoint.deleted_ms is not None):
                del self._lanes[endpoint_id]
                del self._owners[lane]
                self._due.pop(lane, None)
                self._shares.pop(endpoint_id, None)

    # -- taking

    def reserve(self, endpoint: Endpoint) -> bool:
        """Hold a slot for a fresh event, unless that would take one from deliveries that wait in the store."""
        lane = self._lane(endpoint.id)
        firsts, retries = lane.backlog
        kept = firsts + (self.share(endpoint).max_in_flight // 4 if retries else 0)
        if kept >= self._all or self._room(lane, endpoint) <= kept:
            return False
        self._take(lane, 1, retrying=False)
        return True

    def release(self, endpoint_id: int) -> None:
        """Take back a slot that ``reserve`` gave and nothing was sent on."""
        self._take(self._lanes[endpoint_id], -1, retrying=False)

    def wants(self) -> list[ClaimRequest]:
        """Share the free slots among the lanes with due work, beginning with another one each time."""
        self._turn += 1
        self._pass_turn_on()
        wants: list[ClaimRequest] = []
        for endpoint, lane in self._busy():
            if self.held >= self._all:
                self._starved = True
                break
            self._due[lane] = self._due.pop(lane)
            wants += self._wants_of(endpoint, lane)
        return wants

    def _pass_turn_on(self) -> None:
        """Let the first lane be the last, so that none is always asked first."""
        first = next(iter(self._due), None)
        if first is not None:
            self._due[first] = self._due.pop(first)

    def _wants_of(self, endpoint: Endpoint, lane: Lane) -> Iterator[ClaimRequest]:
        firsts, retries = lane.backlog
        room = self._room(lane, endpoint)
        if retries:
            free = max(1, int(self._all * _RETRY_SHARE)) - self._retries_held
            # beside waiting first tries, retries get every fourth slot
            part = (room + self._turn % 4) // 4 if firsts else room
            retries = max(0, min(part, lane.retry_room(self.share(endpoint)), free))
        for retrying, limit in ((False, min(firsts, room - retries)), (True, retries)):
            if limit > 0:
                self._take(lane, limit, retrying=retrying)
                if not retrying:
                    lane.noticed = 0
                yield ClaimRequest(endpoint.id, retrying, limit)

    def _room(self, lane: Lane, endpoint: Endpoint) -> int:
        """Return how many deliveries the lane may take on now."""
        own = lane.room(self.share(endpoint), self._clock.monotonic())
        fair = self._all - self.held - lane.held
        if not lane.trusted:
            fair = min(fair, max(1, int(self._all * _UNTRUSTED_SHARE)) - self._untrusted_held)
        self._starved = self._starved or fair <= 0 < own
        return max(0, min(own, fair))

    def _take(self, lane: Lane, count: int, *, retrying: bool) -> None:
        lane.take(count, retrying=retrying)
        self.held += count
        self._retries_held += count * retrying
        self._untrusted_held += count * (not lane.trusted)

    # -- giving back

    def count_back(self, wants: Sequence[ClaimRequest], claimed: Sequence[Claimed]) -> bool:
        """Free the slots that a claim did not fill; tell whether only the store knows when the next retry is due."""
        got = Counter((delivery.endpoint_id, delivery.number > 1) for delivery in claimed)
        ask = False
        for want in wants:
            filled = got[want.endpoint_id, want.retrying]
            lane = self._lanes[want.endpoint_id]
            self._take(lane, filled - want.limit, retrying=want.retrying)
            lane.claimed(filled, want.limit, retrying=want.retrying)
            ask = ask or (want.retrying and filled < want.limit)
        return ask

    def free(self, lane: Lane, *, retrying: bool) -> bool:
        """Free the slot of what was sent; tell whether it is time to claim: not for each single slot."""
        lane.finish(retrying=retrying)
        self.held -= 1
        self._retries_held -= retrying
        self._untrusted_held -= not lane.trusted
        if lane.due:  # it may have been given something back
            self._due.setdefault(lane)
        due = self._starved or (lane.due and len(lane.ready) <= lane.workers // 2)
        if due:
            self._starved = False
        return due

    def record(self, lane: Lane, outcome: Outcome) -> None:
        """Let the lane know how its endpoint is doing, and count its slots where they belong now."""
        lane.circuit.record(outcome.delivered, self._clock.monotonic())
        if outcome.delivered != lane.trusted:
            lane.trusted = outcome.delivered
            self._untrusted_held += -lane.held if lane.trusted else lane.held

    # -- time

    def opens_at(self, now: float) -> float | None:
        """Return when time alone will make room for a delivery that is due; None: only an answer can."""
        if self.held >= self._all:
            return None
        moments = [lane.opens_at(self.share(endpoint), now) for endpoint, lane in self._busy()]
        return min((moment for moment in moments if moment is not None), default=None)

    def _busy(self) -> Iterator[tuple[Endpoint, Lane]]:
        """Go through the lanes with due work, and forget the others until they have some again."""
        for lane in list(self._due):
            endpoint = self._registry.endpoint(self._owners[lane]) if lane.due else None
            if endpoint is not None and endpoint.live:
                yield endpoint, lane
            else:
                del self._due[lane]
