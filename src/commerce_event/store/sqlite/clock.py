"""The clock that stored times refer to, across restarts and set clocks."""

from pathlib import Path
from typing import Final

import apsw

from commerce_event.core.clock import Clock, SystemClock
from commerce_event.store.sqlite.sql import execute, fetch_value

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def continue_clock(connection: apsw.Connection, clock: SystemClock) -> None:
    """Set the clock to what the former process's clock would show, because stored due times refer to that one.

    The two can be compared only since the same boot of the machine; after another boot the wall clock is right.
    """
    boot = _boot_id()
    if boot and fetch_value(connection, "meta", "boot") == boot:
        clock.resume(fetch_value(connection, "meta", "clock_ahead_ms"))
    else:
        execute(connection, "put_meta", "boot", boot)
        execute(connection, "put_meta", "clock_ahead_ms", clock.ahead_ms)


def shift_due(connection: apsw.Connection, by_ms: int, clock: Clock) -> None:
    """Move due times with a clock that was set, and store how far it is ahead now."""
    execute(connection, "shift_due", by_ms)
    execute(connection, "shift_waiting", by_ms)
    if isinstance(clock, SystemClock):
        execute(connection, "put_meta", "clock_ahead_ms", clock.ahead_ms)


def _boot_id() -> int:
    """Return a number for this boot of the machine, which monotonic time counts from; 0 when it is not known."""
    try:
        text = _BOOT_ID.read_text()
    except OSError:
        return 0
    return int(text.replace("-", "")[:15], 16)
