"""How long a claimed delivery is leased to this node, and whether a lease still covers an attempt."""

from collections.abc import Sequence
from typing import Final

from commerce_event.core.clock import Clock
from commerce_event.core.model import Endpoint
from commerce_event.store.model import Claimed

RECORD_S: Final = 2.0  # at the end of a lease: for recording the outcome of the attempt
_MARGIN_S: Final = 5.0  # includes RECORD_S


class Leases:
    """The lease times of a node. ``timeout_s`` is for endpoints without a timeout of their own."""

    def __init__(self, clock: Clock, timeout_s: float) -> None:
        self._clock = clock
        self._timeout_s = timeout_s

    def until_ms(self, endpoints: Sequence[Endpoint]) -> int:
        """Return the end of a lease that begins now: time for one request ahead in the queue, and for its own."""
        longest_s = max(self._timeout_of(endpoint) for endpoint in endpoints)
        return self._clock.now_ms() + round((2 * longest_s + _MARGIN_S) * 1000)

    def is_too_short(self, endpoint: Endpoint, claimed: Claimed) -> bool:
        """Whether the lease may end before a request that starts now is answered and recorded."""
        needed_s = self._timeout_of(endpoint) + RECORD_S
        return claimed.lease_until_ms - self._clock.now_ms() < needed_s * 1000

    def _timeout_of(self, endpoint: Endpoint) -> float:
        return self._timeout_s if endpoint.timeout_s is None else endpoint.timeout_s
