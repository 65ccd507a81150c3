"""Delete finished and refused events that are older than their retention time."""

import asyncio
from typing import Final, Protocol

from commerce_event.core.clock import Clock

_EVENTS_PER_STEP: Final = 200
_CATCH_UP_FACTOR: Final = 10  # times as fast as time itself: a clock set a year ahead leaves days to notice it


class Expiring(Protocol):
    """A role of the store whose rows expire."""

    async def oldest_ms(self) -> int | None:
        """Return the time of the oldest row."""
        ...

    async def expire(self, *, before_ms: int, limit: int) -> int:
        """Delete older rows, at most ``limit``; return how many."""
        ...


class Retention:
    """Deletes the oldest first, and never more at once because a clock was set."""

    def __init__(self, store: Expiring, clock: Clock, retention_s: float) -> None:
        self._store = store
        self._clock = clock
        self._retention_s = retention_s
        self._horizon_ms: int | None = None  # finished events that were accepted before it may be deleted
        self._horizon_at_s = 0.0  # monotonic, when the horizon was moved last

    async def expire(self) -> None:
        """Delete what is too old, in steps that leave the store to others for half of the time."""
        before_ms = await self._move_horizon()
        begin_s = self._clock.monotonic()
        # Every step is one commit.
        while await self._store.expire(before_ms=before_ms, limit=_EVENTS_PER_STEP):
            await asyncio.sleep(self._clock.monotonic() - begin_s)
            begin_s = self._clock.monotonic()

    async def _move_horizon(self) -> int:
        """Return the time before which events may be deleted: it begins at the oldest event and never jumps."""
        wanted_ms = self._clock.now_ms() - round(self._retention_s * 1000)
        now_s = self._clock.monotonic()
        if self._horizon_ms is None:
            oldest_ms = await self._store.oldest_ms()
            reached_ms = wanted_ms if oldest_ms is None else oldest_ms
        else:
            reached_ms = self._horizon_ms + round((now_s - self._horizon_at_s) * 1000 * _CATCH_UP_FACTOR)
        self._horizon_ms, self._horizon_at_s = min(wanted_ms, reached_ms), now_s
        return self._horizon_ms
