"""Detect clock jumps: notice that the wall clock was set, and move the stored due times with it.

``core.clock`` says what a set clock means for the time that a node works with.
"""

from typing import Final

import structlog

from commerce_event.core.clock import SystemClock
from commerce_event.store.port import MaintenanceStore

_JUMP_MIN_MS: Final = 250  # a smaller difference is the system's clock being slewed, which is simply followed

log = structlog.get_logger(__name__)


class ClockWatcher:
    """Keeps the node's clock in step with the wall clock. ``jumps`` counts how often the wall clock was set."""

    def __init__(self, store: MaintenanceStore, clock: SystemClock) -> None:
        self._store = store
        self._clock = clock
        self._unshifted_ms = 0  # by which due times are still to be moved
        self.jumps = 0

    async def check(self) -> None:
        """Follow the wall clock. When it was set, move the stored due times as well, so that delays stay the same.

        Raises StoreError when the store cannot move them now; the next call tries again.
        """
        drift_ms = self._clock.drift_ms()
        self._clock.follow(drift_ms)
        if abs(drift_ms) >= _JUMP_MIN_MS:
            log.warning("the wall clock was set", by_s=drift_ms / 1000)
            self.jumps += 1
            self._unshifted_ms += drift_ms
        if self._unshifted_ms:  # the store takes the order before anything reads the clock again
            await self._store.shift_due(self._unshifted_ms)
            self._unshifted_ms = 0
