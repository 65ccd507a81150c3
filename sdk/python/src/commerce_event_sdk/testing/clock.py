"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Final

START_S: Final = 1_767_603_600.0  # Monday 2026-01-05, 09:00 UTC


class FakeClock:
    """Returns its time, in seconds since 1970, when it is called, as ``time.time`` does."""

    def __init__(self, start_s: float = START_S) -> None:
        self._start_s = self._now_s = start_s

    def __call__(self) -> float:
        """Return the time in seconds since 1970."""
        return self._now_s

    @property
    def elapsed_s(self) -> float:
        """Seconds since the clock was made."""
        return self._now_s - self._start_s

    @property
    def now(self) -> datetime:
        """The time in UTC."""
        return datetime.fromtimestamp(self._now_s, timezone.utc)

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Move the clock forward. Raises ValueError for a negative time span."""
        span_s = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        if span_s < 0:
            raise ValueError("a clock moves forward only")
        self._now_s += span_s

    def sleep(self, seconds: float) -> None:
        """Move the clock forward; a stand-in for ``time.sleep`` in the code under test."""
        self.advance(seconds=seconds)
