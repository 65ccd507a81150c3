"""Parts of the big tables, one for each week of events: made ahead, dropped whole once nothing in them is needed."""

from datetime import UTC, date, datetime, timedelta
from typing import Final

import asyncpg
import msgspec

from commerce_event.core.ids import at_time
from commerce_event.store.postgres.locks import UPKEEP, WEEKS
from commerce_event.store.postgres.sql import Connection, only, run

_TABLES: Final = ("event_text", "finished", "attempt", "event")  # a week that has a part of the last has all
_WEEK: Final = timedelta(days=7)
_AHEAD: Final = 3  # weeks, the present one included
_MAKING_WAIT: Final = "500ms"  # whoever reads or writes meanwhile waits as long
_DROPPING_WAIT: Final = "200ms"
_FORGOTTEN_AT_ONCE: Final = 10_000  # a week may have more events than one statement has time for


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

    def part(self, table: str) -> str:
        return f"{table}_{self.monday:%Y%m%d}"


async def present(connection: Connection) -> list[Week]:
    """Return the weeks that have parts, oldest first."""
    rows = await run(connection, "weeks")
    return [Week(datetime.strptime(row[0], "%Y%m%d").replace(tzinfo=UTC).date()) for row in rows]


async def make_ahead(connection: Connection, now_ms: int) -> None:
    """Make the parts of this week and the next ones; one that cannot be made now is made another time."""
    have = set(await present(connection))
    week = Week.of(now_ms)
    for _ in range(_AHEAD):
        if week not in have:
            await make(connection, week)
        week = week.next


async def make(connection: Connection, week: Week) -> None:
    """Make the parts of a week, if that can be done now."""
    try:
        for table in _TABLES:  # one at a time: whoever holds one of them may be about to read another
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{_MAKING_WAIT}'")
                await connection.execute("SELECT pg_advisory_xact_lock($1, $2)", UPKEEP, WEEKS)
                await connection.execute(
                    f"CREATE TABLE IF NOT EXISTS {week.part(table)} PARTITION OF {table} "
                    f"FOR VALUES FROM ({week.first_id}) TO ({week.next.first_id})"
                )
    except (asyncpg.LockNotAvailableError, asyncpg.CheckViolationError):
        return  # busy; or the rest has rows of that week already, and will have all of them


async def unneeded(connection: Connection, *, before_id: int) -> list[Week]:
    """Return the weeks that ended before that id and have nothing unfinished, oldest first."""
    past = [week for week in await present(connection) if week.next.first_id <= before_id]
    return [week for week in past if not await only(connection, "pending_between", week.first_id, week.next.first_id)]


async def forget_keys(connection: Connection, week: Week, after_id: int) -> tuple[int, int] | None:
    """Free the idempotency keys of a week's next events; return how many events those were, and the last one's id."""
    [(count, last_id)] = await run(connection, "forget_keys", after_id, week.next.first_id, _FORGOTTEN_AT_ONCE)
    return (count, last_id) if count else None


async def drop(connection: Connection, week: Week) -> bool:
    """Drop a week with everything of its events, if that can be done now."""
    start, end = week.first_id, week.next.first_id
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{_DROPPING_WAIT}'")
            # Whoever makes a delivery of the week pending has locked its events: from here on nobody can.
            tables = ", ".join(f"ONLY {table}" for table in _TABLES)
            await connection.execute(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
            if await only(connection, "pending_between", start, end):
                return False
            await run(connection, "raise_last_id", await only(connection, "last_id"))
            await run(connection, "forget_texts", start, end)
            for table in _TABLES:
                await connection.execute(f"DROP TABLE {week.part(table)}")
    except (asyncpg.LockNotAvailableError, asyncpg.UndefinedTableError):
        return False  # busy, or another node was first
    return True
