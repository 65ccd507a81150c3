"""A lane: what one node knows about one endpoint while it sends to it — slots, rate, circuit, pause.

Nothing here is stored; a lane that is lost (a restart) costs some politeness towards the receiver, never an event.
"""

from collections import deque
from typing import Final

import msgspec

from commerce_event.core.circuit import Circuit
from commerce_event.core.model import Endpoint
from commerce_event.store.model import Claimed

MANY: Final = 1 << 30  # so many wait as nobody counted
_RETRY_SHARE: Final = 0.75  # of a lane's slots: the rest is kept for first tries
_NONE: Final = [0, 0]
_ROUNDING: Final = 1e-9  # what waited for its moment has it then
_BURST_S: Final = 0.1  # of a rate limit's allowance that may be used at once


class Health(msgspec.Struct, frozen=True):
    """How an endpoint is doing on this node, as the API and the screens show it."""

    in_flight: int
    circuit: str
    consecutive_failures: int
    paused_for_s: float | None
    next_try_in_s: float | None = None  # of an open circuit; None when a try may go now


class Lane:
    """Slots of one endpoint. ``held`` counts what was claimed or reserved and is not answered yet."""

    __slots__ = (
        "_allowance",
        "_counted_at",
        "backlog",
        "circuit",
        "held",
        "noticed",
        "paused_until",
        "ready",
        "retries",
        "sending",
        "trusted",
        "workers",
    )

    def __init__(self, circuit: Circuit, now: float) -> None:
        self.circuit = circuit
        self.ready: deque[Claimed] = deque()
        self.workers = 0
        self.sending = 0  # requests under way
        self.held = 0
        self.retries = 0
        self.backlog = [0, 0]  # due work that is thought to wait in the store: first tries, retries
        self.trusted = False  # its last answer was good
        self.noticed = 0  # first tries put into the store since the last claim began
        self.paused_until = 0.0
        self._allowance = 1.0
        self._counted_at = now

    def room(self, endpoint: Endpoint, now: float) -> int:
        """Return how many more deliveries the endpoint itself allows to be taken on."""
        if now < self.paused_until:
            return 0
        cap = endpoint.max_in_flight
        slots = self.circuit.slots(now, self.held, cap)
        if self.circuit.failures == 0 and endpoint.rate_limit is None:
            slots = 2 * cap - self.held  # all is well: keep some ready for the moment a slot gets free
        return max(0, min(slots, self._allowed(endpoint, now)))

    def may_send(self, now: float) -> bool:
        """Whether what is ready may go out: a pause, or an open circuit, may have come after it was made ready."""
        return now >= self.paused_until and self.circuit.slots(now, self.sending, self.sending + 1) > 0

    def put_back(self, *, retrying: bool) -> None:
        """One that was ready is given back to the store, and waits there."""
        self.backlog[retrying] += 1

    def retry_room(self, endpoint: Endpoint) -> int:
        """Return how many of the room may go to retries."""
        return max(1, int(endpoint.max_in_flight * _RETRY_SHARE)) - self.retries

    @property
    def due(self) -> bool:
        """Whether due work waits in the store."""
        return self.backlog != _NONE

    @property
    def idle(self) -> bool:
        return self.held == 0 and self.workers == 0

    def notice(self) -> None:
        """A first try was put into the store."""
        self.backlog[False] += 1
        self.noticed += 1

    def claimed(self, count: int, limit: int, *, retrying: bool) -> None:
        """Take ``count`` from the backlog; when that is less than ``limit``, what was thought to wait does not."""
        if count == limit:
            self.backlog[retrying] -= count
        else:
            self.backlog[retrying] = 0 if retrying else self.noticed

    def take(self, count: int, *, retrying: bool = False) -> None:
        """Hold slots and use up rate allowance; a negative count gives both back unused."""
        self.held += count
        self._allowance -= count
        if retrying:
            self.retries += count

    def finish(self, *, retrying: bool) -> None:
        """Free the slot of a delivery that was answered."""
        self.held -= 1
        if retrying:
            self.retries -= 1

    def opens_at(self, endpoint: Endpoint, now: float) -> float | None:
        """Return when time alone will make room, None when only an answer can."""
        if now < self.paused_until:
            return self.paused_until
        if endpoint.rate_limit is not None and self._allowed(endpoint, now) < 1:
            return now + (1.0 - self._allowance) / endpoint.rate_limit
        return self.circuit.next_at(now)

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

    def _allowed(self, endpoint: Endpoint, now: float) -> int:
        rate = endpoint.rate_limit
        if rate is None:
            return endpoint.max_in_flight * 2
        burst = max(1.0, rate * _BURST_S)
        self._allowance = min(burst, self._allowance + (now - self._counted_at) * rate)
        self._counted_at = now
        return int(self._allowance + _ROUNDING)
