"""The state of one endpoint on one node: its slots, queue, rate allowance, circuit breaker and pause.

Nothing here is stored. After a restart the node starts anew: it may send to a failing endpoint sooner than it would
have, and loses no delivery.
"""

from collections import deque
from typing import Final

import msgspec

from commerce_event.core.capacity import ClientLoad, EndpointLimits, EndpointLoad, node_share, refill
from commerce_event.core.circuit import Circuit
from commerce_event.core.model import Endpoint
from commerce_event.store.model import Claimed

MANY: Final = 1 << 30  # due deliveries that were not counted


class Health(msgspec.Struct, frozen=True):
    """How an endpoint is doing on this node, as the API and the screens show it."""

    in_flight: int
    circuit: str
    consecutive_failures: int
    paused_for_s: float | None
    next_try_in_s: float | None = None  # of an open circuit; None when a try may start now


class EndpointState:
    """What one node knows of an endpoint while it sends to it."""

    __slots__ = (
        "_allowance",
        "_counted_at",
        "_endpoint",
        "_limits",
        "_nodes",
        "circuit",
        "client",
        "due_first_tries",
        "endpoint_id",
        "in_flight",
        "noticed",
        "paused_until",
        "ready",
        "retries",
        "retries_due",
        "sending",
        "trusted",
        "workers",
    )

    def __init__(self, endpoint_id: int, circuit: Circuit, now: float, client: ClientLoad) -> None:
        self.endpoint_id = endpoint_id
        self.client = client  # shared with the client's other endpoints
        self.circuit = circuit
        self.ready: deque[Claimed] = deque()  # to be sent next
        self.workers = 0
        self.sending = 0  # requests under way
        self.in_flight = 0  # slots held: claimed or reserved, and not answered yet
        self.retries = 0  # of them, by retries
        self.due_first_tries = 0  # in the store, as far as known
        self.retries_due = False  # in the store
        self.noticed = 0  # first tries put into the store since the last claim began
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
        return self.due_first_tries > 0 or self.retries_due

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
            self.due_first_tries,
            self.retries_due,
            self.trusted,
            self.paused_until,
            self._allowance,
        )

    def may_send(self, now: float) -> bool:
        """Whether a ready delivery may be sent: since it became ready, a pause may have begun or the circuit opened."""
        return now >= self.paused_until and self.circuit.slots(now, self.sending, self.sending + 1) > 0

    def put_back(self, *, retrying: bool) -> None:
        """Count a delivery that was ready and waits in the store again."""
        if retrying:
            self.retries_due = True
        else:
            self.due_first_tries += 1

    def notice(self) -> None:
        """Count a first try that was put into the store."""
        self.due_first_tries += 1
        self.noticed += 1

    def claimed(self, count: int, limit: int, *, retrying: bool) -> None:
        """Update what is due after a claim. Fewer than ``limit``: the store has no more than was put in since then."""
        if retrying:
            self.retries_due = count == limit
        elif count == limit:
            self.due_first_tries -= count
        else:
            self.due_first_tries = self.noticed

    def take(self, count: int, *, retrying: bool) -> None:
        """Hold slots and use up rate allowance; a negative count gives both back unused."""
        self.in_flight += count
        self.retries += count * retrying
        self._allowance -= count

    def finish(self, *, retrying: bool) -> None:
        """Free the slot of a delivery that was answered."""
        self.in_flight -= 1
        self.retries -= retrying

    def health(self, now: float) -> Health:
        pause = self.paused_until - now
        next_at = self.circuit.next_at(now)
        return Health(
            in_flight=self.workers,
            circuit=self.circuit.state,
            consecutive_failures=self.circuit.failures,
            paused_for_s=pause if pause > 0 else None,
            next_try_in_s=None if next_at is None else next_at - now,
        )
