"""The state of one endpoint on one node: its slots, queue, rate allowance, circuit breaker and pause.

Nothing here is stored. After a restart the node starts anew: it may send to a failing endpoint sooner than it would
have, and loses no delivery.
"""

from collections import deque
from typing import Final

import msgspec

from commerce_event.core.capacity import ClientLoad, EndpointLimits, EndpointLoad, node_share, refill
from commerce_event.core.circuit import Circuit
from commerce_event.core.model import DeliveryKind, Endpoint
from commerce_event.store.model import Claimed

MANY: Final = 1 << 30  # due deliveries that were not counted
_UNCOUNTED: Final = MANY >> 1  # as many or more: claimed off from MANY
_AHEAD_MAX: Final = 3  # deliveries that are sent before a bulk one that is ready, too
_FIRST, _RETRY, _BULK = DeliveryKind


class NodeTreatment(msgspec.Struct, frozen=True):
    """How this node treats an endpoint now."""

    in_flight: int
    circuit: str
    consecutive_failures: int  # that this node saw
    paused_for_s: float | None
    next_try_in_s: float | None = None  # of an open circuit; None when a try may start now
    tries_every_s: float | None = None  # while the circuit is open


class EndpointState:
    """What one node knows of an endpoint while it sends to it."""

    __slots__ = (
        "_ahead",
        "_allowance",
        "_counted_at",
        "_endpoint",
        "_limits",
        "_nodes",
        "_ready",
        "_ready_bulk",
        "bulk",
        "circuit",
        "client",
        "due",
        "endpoint_id",
        "in_flight",
        "noticed",
        "paused_until",
        "retries",
        "sending",
        "sending_bulk",
        "trusted",
        "workers",
    )

    def __init__(self, endpoint_id: int, circuit: Circuit, now: float, client: ClientLoad) -> None:
        self.endpoint_id = endpoint_id
        self.client = client  # shared with the client's other endpoints
        self.circuit = circuit
        self._ready: deque[Claimed] = deque()  # to be sent next
        self._ready_bulk: deque[Claimed] = deque()  # to be sent next, after most of the others
        self._ahead = 0  # how many were sent before the first of them
        self.workers = 0
        self.sending = 0  # requests under way
        self.sending_bulk = 0  # workers that send a bulk delivery, or wait for the turn to do so
        self.in_flight = 0  # slots held: claimed or reserved, and not answered yet
        self.retries = 0  # of them, by retries
        self.bulk = 0  # of them, by bulk deliveries
        self.due = dict.fromkeys(DeliveryKind, 0)  # in the store, as far as known
        self.noticed = dict.fromkeys(DeliveryKind, 0)  # put into the store since the last claim began
        self.trusted = False  # the last answer was a success
        self.paused_until = 0.0
        self._allowance = 1.0
        self._counted_at = now
        self._endpoint: Endpoint | None = None
        self._nodes = 0
        self._limits = EndpointLimits(1)

    @property
    def has_due(self) -> bool:
        """Whether due deliveries wait in the store, as far as known."""
        return any(self.due.values())

    @property
    def is_idle(self) -> bool:
        return self.in_flight == 0 and self.workers == 0

    def limits(self, endpoint: Endpoint, nodes: int) -> EndpointLimits:
        """Return this node's part of the endpoint's limits."""
        if endpoint is not self._endpoint or nodes != self._nodes:
            self._endpoint, self._nodes = endpoint, nodes
            self._limits = node_share(endpoint.max_in_flight, endpoint.rate_limit, nodes)
        return self._limits

    def load(self, limits: EndpointLimits, now: float) -> EndpointLoad:
        """Return the state at this moment, with the rate allowance that time has added."""
        if limits.rate_limit is None:
            self._allowance = 1.0  # what is sent without a rate limit does not count against a later one
        else:
            self._allowance = refill(self._allowance, limits.rate_limit, now - self._counted_at)
        self._counted_at = now
        return EndpointLoad(
            self.circuit,
            self.in_flight,
            self.retries,
            self.bulk,
            self.due[_FIRST],
            self.due[_RETRY] > 0,
            self.due[_BULK],
            self.trusted,
            self.paused_until,
            self._allowance,
        )

    def may_send(self, now: float) -> bool:
        """Whether a ready delivery may be sent: since it became ready, a pause may have begun or the circuit opened."""
        return now >= self.paused_until and self.circuit.slots(now, self.sending, self.sending + 1) > 0

    # -- what is ready to be sent

    def add_ready(self, claimed: Claimed) -> None:
        """Add a delivery that may be sent."""
        (self._ready_bulk if claimed.bulk else self._ready).append(claimed)

    def take_ready(self) -> Claimed | None:
        """Return the delivery to send next, None if there is none. Of four, one is bulk while both kinds are ready."""
        may_take_bulk = self._ready_bulk and self.sending_bulk < self._limits.max_bulk_in_flight
        if may_take_bulk and (not self._ready or self._ahead >= _AHEAD_MAX):
            self._ahead = 0
            return self._ready_bulk.popleft()
        if not self._ready:
            return None
        self._ahead += bool(self._ready_bulk)
        return self._ready.popleft()

    def take_all_ready(self) -> list[Claimed]:
        """Return the deliveries that are not sent yet; the endpoint forgets them."""
        taken = [*self._ready, *self._ready_bulk]
        self._ready.clear()
        self._ready_bulk.clear()
        return taken

    @property
    def is_running_out(self) -> bool:
        """Whether deliveries are due in the store, and half of the workers or more find none ready."""
        return self.due[_FIRST] + self.due[_RETRY] > 0 and len(self._ready) <= self.workers // 2

    @property
    def is_running_out_of_bulk(self) -> bool:
        """Whether bulk deliveries are due in the store, and half of the workers or more find nothing ready."""
        return self.due[_BULK] > 0 and len(self._ready) + len(self._ready_bulk) <= self.workers // 2

    # -- what is due in the store

    def put_back(self, kind: DeliveryKind) -> None:
        """Count a delivery that was ready and is about to wait in the store again."""
        self.due[kind] = self.due[kind] + 1 if kind is _FIRST else MANY

    def notice(self, kind: DeliveryKind) -> None:
        """Count a delivery that was put into the store."""
        self.due[kind] += 1
        self.noticed[kind] += 1

    def claimed(self, kind: DeliveryKind, count: int, limit: int) -> bool:
        """Update what is due after a claim, and return whether deliveries that were not counted are exhausted.

        Fewer than ``limit``: the store has no more than was put in since then.
        """
        if count == limit:
            self.due[kind] = max(0, self.due[kind] - count)
            return False
        was_uncounted = self.due[kind] >= _UNCOUNTED
        self.due[kind] = self.noticed[kind]
        return was_uncounted

    # -- slots

    def take(self, count: int, kind: DeliveryKind) -> None:
        """Hold slots and use up rate allowance; a negative count gives both back unused."""
        self._hold(count, kind)
        self._allowance -= count

    def finish(self, kind: DeliveryKind) -> None:
        """Free the slot of a delivery that was answered."""
        self._hold(-1, kind)

    def _hold(self, count: int, kind: DeliveryKind) -> None:
        self.in_flight += count
        self.retries += count * (kind is _RETRY)
        self.bulk += count * (kind is _BULK)

    def treatment(self, now: float) -> NodeTreatment:
        pause = self.paused_until - now
        next_at = self.circuit.next_at(now)
        return NodeTreatment(
            in_flight=self.workers,
            circuit=self.circuit.state,
            consecutive_failures=self.circuit.failures,
            paused_for_s=pause if pause > 0 else None,
            next_try_in_s=None if next_at is None else next_at - now,
            tries_every_s=self.circuit.pause_s,
        )
