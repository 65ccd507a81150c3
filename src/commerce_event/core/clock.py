"""Time as a thing one is handed, so that tests and simulations can hand in their own."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for what people read and store; monotonic time for what is measured or waited for."""

    def now_ms(self) -> int:
        """Return wall time in milliseconds since 1970 (UTC)."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start that never step back."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


def rfc3339(ms: int) -> str:
    """Return wall time as RFC 3339 UTC with milliseconds: ``2026-01-31T23:59:59.123Z``."""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def parse_rfc3339(text: str) -> int:
    """Return milliseconds since 1970 for an RFC 3339 time; ValueError when it is none or has no offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write for example 2026-01-31T00:00:00Z")
    return round(moment.timestamp() * 1000)
