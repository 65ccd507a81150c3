"""Partitions of the large tables, one for each week of events: created ahead, dropped whole once expired."""

from datetime import UTC, date, datetime, timedelta
from typing import Final

import asyncpg
import msgspec

from commerce_event.core.ids import at_time
from commerce_event.store.postgres.locks import MAINTENANCE, WEEKS
from commerce_event.store.postgres.sql import Connection, execute, fetch, fetch_column, fetch_value

_TABLES: Final = ("event_text", "finished", "attempt", "event")  # a week with a partition of the last table has all
_WEEK: Final = timedelta(days=7)
_AHEAD: Final = 3  # weeks, the present one included
_CREATE_WAIT: Final = "500ms"  # other transactions wait as long
_DROP_WAIT: Final = "200ms"
_KEYS_AT_ONCE: Final = 10_000  # one statement has no time for all events of a week


class Week(msgspec.Struct, frozen=True, order=True):
    """The week that begins on a Monday, 0 h UTC."""

    monday: date

    @classmethod
    def of(cls, ms: int) -> "Week":
        day = datetime.fromtimestamp(ms / 1000, UTC).date()
        return cls(day - timedelta(days=day.weekday()))

    @property
    def next(self) -> "Week":
        return Week(self.monday + _WEEK)

    @property
    def first_id(self) -> int:
        """The smallest id of this week; the first of the next one ends it."""
        start = datetime(self.monday.year, self.monday.month, self.monday.day, tzinfo=UTC)
        return at_time(round(start.timestamp() * 1000))

    def partition(self, table: str) -> str:
        return f"{table}_{self.monday:%Y%m%d}"


async def present(connection: Connection) -> list[Week]:
    """Return the weeks that have partitions, oldest first."""
    mondays = await fetch_column(connection, "weeks")
    return [Week(datetime.strptime(monday, "%Y%m%d").replace(tzinfo=UTC).date()) for monday in mondays]


async def make_ahead(connection: Connection, now_ms: int) -> None:
    """Create the partitions of this week and the next ones; those that cannot be created now are created later."""
    have = set(await present(connection))
    week = Week.of(now_ms)
    for _ in range(_AHEAD):
        if week not in have:
            await create(connection, week)
        week = week.next


async def create(connection: Connection, week: Week) -> None:
    """Create the partitions of a week, if that can be done now."""
    try:
        for table in _TABLES:  # one at a time: a transaction that has locked one of them may read another next
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{_CREATE_WAIT}'")
                await connection.execute("SELECT pg_advisory_xact_lock($1, $2)", MAINTENANCE, WEEKS)
                await connection.execute(
                    f"CREATE TABLE IF NOT EXISTS {week.partition(table)} PARTITION OF {table} "
                    f"FOR VALUES FROM ({week.first_id}) TO ({week.next.first_id})"
                )
    except (asyncpg.LockNotAvailableError, asyncpg.CheckViolationError):
        return  # busy; or the default partition has rows of that week already, and will get all of them


async def without_pending(connection: Connection, *, before_id: int) -> list[Week]:
    """Return the weeks that ended before that id and have no pending delivery, oldest first."""
    past = [week for week in await present(connection) if week.next.first_id <= before_id]
    return [week for week in past if not await _has_pending(connection, week)]


async def _has_pending(connection: Connection, week: Week) -> bool:
    found: bool = await fetch_value(connection, "has_pending_between", week.first_id, week.next.first_id)
    return found


async def delete_keys_and_raised(connection: Connection, week: Week, after_id: int) -> tuple[int, int] | None:
    """Delete the idempotency keys of a week's next events, and which changes raised them.

    Return how many events, and the id of the last one.
    """
    end = week.next.first_id
    [row] = await fetch(connection, "delete_keys_and_raised", after_id, end, _KEYS_AT_ONCE)
    return (row.count, row.last_id) if row.count else None


async def drop(connection: Connection, week: Week) -> bool:
    """Drop a week with everything that belongs to its events, if that can be done now."""
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{_DROP_WAIT}'")
            # A transaction that makes a delivery of the week pending locks its event first: from here on none can.
            tables = ", ".join(f"ONLY {table}" for table in _TABLES)
            await connection.execute(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
            if await _has_pending(connection, week):
                return False
            await execute(connection, "raise_last_id", await fetch_value(connection, "last_id"))
            await execute(connection, "delete_unindexed", week.first_id, week.next.first_id)
            for table in _TABLES:
                await connection.execute(f"DROP TABLE {week.partition(table)}")
    except (asyncpg.LockNotAvailableError, asyncpg.UndefinedTableError):
        return False  # busy, or another node was first
    return True
