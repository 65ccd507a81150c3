"""Clocks, which are passed to everything that needs the time, so that tests and simulations can pass their own.

When the machine's wall clock is set, a node's clock runs on with monotonic time at first, so that nothing becomes due
early or late. Once a second ``maintenance.clock_watcher`` reads ``drift_ms`` and calls ``follow``; after a jump it also
moves the due times in the store by the same amount, so that every delay keeps its length. ``maintenance.retention``
never jumps. Nodes that share a database use the time of its server: ``SharedClock``.
"""

import time
from datetime import UTC, datetime
from typing import Final, Protocol

TIME_MIN_MS: Final = -62_135_596_800_000  # the year 1, since 1970: the first that RFC 3339 can write here
TIME_MAX_MS: Final = 253_402_300_799_999  # the end of the year 9999
_HOLD_MAX_MS: Final = 1_000  # up to this, SharedClock waits until time has caught up instead of running backwards


class Clock(Protocol):
    """Wall time for what people read and what is stored; monotonic time for what is measured or waited for."""

    def now_ms(self) -> int:
        """Return wall time in milliseconds since 1970 (UTC)."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start; they never step back."""
        ...


class SystemClock:
    """Wall time that runs evenly: after the machine's wall clock is set, this clock changes only by ``follow``."""

    def __init__(self) -> None:
        self._offset_ms = _wall_ms() - _monotonic_ms()

    def now_ms(self) -> int:
        return self._offset_ms + _monotonic_ms()

    def monotonic(self) -> float:
        return time.monotonic()

    def drift_ms(self) -> int:
        """Return how far the machine's wall clock is ahead of this one."""
        return _wall_ms() - self.now_ms()

    def follow(self, drift_ms: int) -> None:
        """Move this clock by ``drift_ms``."""
        self._offset_ms += drift_ms

    @property
    def ahead_ms(self) -> int:
        """How far this clock is ahead of monotonic time; valid for other processes until the machine restarts."""
        return self._offset_ms

    def resume(self, ahead_ms: int) -> None:
        """Continue the clock of an earlier process; ``drift_ms`` then tells how far the wall clock was set since."""
        self._offset_ms = ahead_ms


class SharedClock(SystemClock):
    """The time of a server that nodes share, so that nodes whose own clocks differ agree on what is due.

    Setting the machine's wall clock has no effect on it. A small correction makes it wait instead of running backwards.
    """

    def __init__(self) -> None:
        super().__init__()
        self._reference_ms: float | None = None  # how far the server's time is ahead of monotonic time
        self._last_ms = 0  # the latest time that now_ms returned

    def now_ms(self) -> int:
        self._last_ms = max(self._last_ms, super().now_ms())
        return self._last_ms

    def compare_with_server(self, there_ms: float, asked_s: float, answered_s: float) -> None:
        """Note that the server's time was ``there_ms`` at some moment between two of ``monotonic``.

        The first call sets this clock; after that, ``drift_ms`` tells how far the server is ahead.
        """
        latest, earliest = there_ms - asked_s * 1000, there_ms - answered_s * 1000
        if self._reference_ms is None:
            self._reference_ms = (earliest + latest) / 2
            self._offset_ms, self._last_ms = round(self._reference_ms), 0
        else:  # a slow answer is inexact: keep the known value while it lies within the answer's bounds
            self._reference_ms = min(max(self._reference_ms, earliest), latest)

    def drift_ms(self) -> int:
        if self._reference_ms is None:
            return super().drift_ms()
        return round(self._reference_ms) - self._offset_ms

    def follow(self, drift_ms: int) -> None:
        super().follow(drift_ms)
        if drift_ms < -_HOLD_MAX_MS:
            self._last_ms = 0


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def rfc3339(ms: int) -> str:
    """Return wall time as RFC 3339 UTC with milliseconds: ``2026-01-31T23:59:59.123Z``."""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def parse_rfc3339(text: str) -> int:
    """Return milliseconds since 1970 for an RFC 3339 time.

    Raises ValueError for other text, without an offset, and for a time that ``rfc3339`` cannot write.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write for example 2026-01-31T00:00:00Z")
    ms = round(moment.timestamp() * 1000)
    if not TIME_MIN_MS <= ms <= TIME_MAX_MS:
        raise ValueError(f"{text!r} is not between the years 1 and 9999 in UTC")
    return ms
