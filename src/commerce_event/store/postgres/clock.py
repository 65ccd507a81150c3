"""The time that nodes share: that of the database server."""

from commerce_event.core.clock import Clock, SharedClock
from commerce_event.store.postgres.run_lock import RunLock
from commerce_event.store.postgres.sql import Connection, execute, fetch_value


async def compare_clocks(connection: Connection, clock: Clock) -> None:
    """Tell a shared clock the time of the server."""
    if isinstance(clock, SharedClock):
        asked_s = clock.monotonic()
        there_ms = float(await fetch_value(connection, "time_ms"))
        clock.compared(there_ms, asked_s, clock.monotonic())


async def shift_due(connection: Connection, by_ms: int, run_lock: RunLock) -> None:
    """Move due times with this node's clock if it is the only node; one of several nodes changes nothing."""
    if await run_lock.is_alone(connection):
        await execute(connection, "shift_due", by_ms)
