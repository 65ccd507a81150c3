"""The circuit breaker of one endpoint: it slows down sending to a failing endpoint; it never drops a delivery."""

from typing import Final, Literal

THRESHOLD: Final = 20
_MIN_SPAN_S: Final = 60.0
_FIRST_PAUSE_S: Final = 1.0
_MAX_PAUSE_S: Final = 15.0


class Circuit:
    """Closed: no limits. Open: one attempt at a time, with a pause after each failure. The first success closes it.

    Times are monotonic seconds, passed in.
    """

    __slots__ = (
        "_first_failure_at",
        "_first_pause_s",
        "_max_pause_s",
        "_min_span_s",
        "_pause_s",
        "_retry_at",
        "_threshold",
        "failures",
        "opened_at",
    )

    def __init__(
        self,
        *,
        threshold: int = THRESHOLD,
        min_span_s: float = _MIN_SPAN_S,
        first_pause_s: float = _FIRST_PAUSE_S,
        max_pause_s: float = _MAX_PAUSE_S,
    ) -> None:
        """Open after ``threshold`` failures in a row that span ``min_span_s``; a threshold of 0 never opens."""
        self._threshold = threshold
        self._min_span_s = min_span_s
        self._first_pause_s = first_pause_s
        self._max_pause_s = max_pause_s
        self._first_failure_at = 0.0
        self._pause_s = first_pause_s
        self._retry_at = 0.0
        self.failures = 0
        self.opened_at: float | None = None

    @property
    def state(self) -> Literal["closed", "open"]:
        return "closed" if self.opened_at is None else "open"

    def record(self, delivered: bool, now: float) -> None:
        """Record the outcome of an attempt."""
        if delivered:
            self.failures = 0
            self.opened_at = None
            return
        if self.failures == 0:
            self._first_failure_at = now
        self.failures += 1
        if self.opened_at is not None:
            if (
                now >= self._retry_at
            ):  # earlier, it was no probe but an attempt already under way when the circuit opened
                self._pause_s = min(self._max_pause_s, self._pause_s * 2)
                self._retry_at = now + self._pause_s
        elif 0 < self._threshold <= self.failures and now - self._first_failure_at >= self._min_span_s:
            self.opened_at = now
            self._pause_s = self._first_pause_s
            self._retry_at = now + self._pause_s

    def slots(self, now: float, in_flight: int, limit: int) -> int:
        """Return how many more attempts may start now, when ``in_flight`` of at most ``limit`` are under way."""
        if self.opened_at is None:
            return max(0, limit - in_flight)
        return 1 if in_flight == 0 and now >= self._retry_at else 0

    @property
    def pause_s(self) -> float | None:
        """How long it waits between two attempts; None while it is closed."""
        return None if self.opened_at is None else self._pause_s

    def next_at(self, now: float) -> float | None:
        """Return when time alone allows the next attempt; None when only an answer can."""
        return self._retry_at if self.opened_at is not None and now < self._retry_at else None
