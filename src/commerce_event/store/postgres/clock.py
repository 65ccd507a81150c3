"""The time that nodes share: that of the database server."""

from typing import Final

from commerce_event.core.clock import Clock, SharedClock
from commerce_event.store.postgres.run_lock import RunLock
from commerce_event.store.postgres.sql import Connection, execute, fetch_value

_SHIFTS_MAX: Final = 16  # more often than that, no clock is set within a lease


async def compare_clocks(connection: Connection, clock: Clock) -> None:
    """Tell a shared clock the time of the server."""
    if isinstance(clock, SharedClock):
        asked_s = clock.monotonic()
        there_ms = float(await fetch_value(connection, "time_ms"))
        clock.compare_with_server(there_ms, asked_s, clock.monotonic())


class LeaseShifts:
    """How far the leases of this run may have been moved since they were made, by clocks that were set."""

    def __init__(self) -> None:
        self.sums_ms = [0]  # of no shift, of the last one, of the last two, ...

    def add(self, by_ms: int) -> None:
        self.sums_ms = [0, *(by_ms + sum_ms for sum_ms in self.sums_ms)][:_SHIFTS_MAX]


async def shift_due(connection: Connection, by_ms: int, run_lock: RunLock) -> bool:
    """Move due times with this node's clock if it is the only node; tell whether it is."""
    alone = await run_lock.is_alone(connection)
    if alone:
        await execute(connection, "shift_due", by_ms)
        await execute(connection, "shift_waiting", by_ms)
    return alone
