"""Retention: delete expired events a week at a time, or one by one; every step is a commit of its own."""

from typing import Final

from commerce_event.core.clock import Clock
from commerce_event.core.ids import at_time
from commerce_event.store.postgres import partitions
from commerce_event.store.postgres.executor import Executor
from commerce_event.store.postgres.sql import Connection, execute, fetch, fetch_column, fetch_value

_START: Final = 0
_READ_AT_ONCE: Final = 1_000  # events in one statement
_WEEKLY_FROM_MS: Final = 28 * 86_400_000  # with a shorter retention, keeping events a week longer would be much
_ID_MAX: Final = 2**63 - 1


class Retention:
    """Deletes old events."""

    def __init__(self, clock: Clock, executor: Executor) -> None:
        self._clock = clock
        self._executor = executor
        self._before_ms = 0  # of the present pass, and how far it got
        self._expired_to = _START

    async def expire(self, before_ms: int, limit: int) -> int:
        """Drop one whole week if one has expired, else delete up to ``limit`` events; return how many events."""
        return await self._drop_week(before_ms) or await self._delete_some(before_ms, limit)

    async def _drop_week(self, before_ms: int) -> int:
        weeks = await self._executor.read(
            lambda connection: partitions.without_pending(connection, before_id=at_time(before_ms))
        )
        for week in weeks:
            events, after_id = 0, week.first_id - 1
            # First the rows of tables without weeks. After an interruption there are none left.
            while some := await self._delete_keys(week, after_id):
                count, after_id = some
                events += count
            if await self._drop(week) and events:
                return events
        return 0

    async def _delete_keys(self, week: partitions.Week, after_id: int) -> tuple[int, int] | None:
        return await self._executor.run(
            lambda connection: partitions.delete_keys_and_raised(connection, week, after_id)
        )

    async def _drop(self, week: partitions.Week) -> bool:
        return await self._executor.run(lambda connection: partitions.drop(connection, week))

    async def _delete_some(self, before_ms: int, limit: int) -> int:
        if before_ms != self._before_ms:
            self._before_ms, self._expired_to = before_ms, _START
        while ids := await self._expired(before_ms, limit):
            deleted = await self._delete(ids)
            # The next call continues after these: older events are still pending. At the end it starts again.
            self._expired_to = ids[-1] if len(ids) == limit else _START
            if deleted or len(ids) < limit:
                return deleted
        self._expired_to = _START
        return 0

    async def _delete(self, ids: list[int]) -> int:
        return await self._executor.write(lambda connection: _delete(connection, ids))

    async def _expired(self, before_ms: int, limit: int) -> list[int]:
        now_ms, after_id = self._clock.now_ms(), self._expired_to
        return await self._executor.read(
            lambda connection: expired(connection, before_ms=before_ms, after_id=after_id, limit=limit, now_ms=now_ms)
        )


async def expired(connection: Connection, *, before_ms: int, after_id: int, limit: int, now_ms: int) -> list[int]:
    """Return the oldest expired events after ``after_id`` without a pending delivery, at most ``limit``.

    With a long retention, events of a week that has not wholly expired are left to be dropped with it.
    """
    end = _ID_MAX
    if now_ms - before_ms >= _WEEKLY_FROM_MS:
        past = at_time(before_ms)
        end = next((week.first_id for week in await partitions.present(connection) if week.next.first_id > past), end)
    found: list[int] = []
    while rows := await fetch(connection, "oldest_events", after_id, end, _READ_AT_ONCE):
        after_id = rows[-1].id
        for row in rows:
            if row.accepted_ms >= before_ms or len(found) == limit:
                return found
            if not row.is_pending:
                found.append(row.id)
    return found


async def remember_last_id(connection: Connection) -> None:
    """Remember the largest id, because rows with ids are about to be deleted: none may be used again."""
    await execute(connection, "raise_last_id", await fetch_value(connection, "last_id"))


async def _delete(connection: Connection, event_ids: list[int]) -> int:
    """Delete events with everything that belongs to them."""
    await remember_last_id(connection)
    locked = await fetch_column(connection, "lock_events_to_delete", event_ids)
    unneeded = await fetch_column(connection, "without_pending", locked)  # read after the lock: this is final
    await execute(connection, "delete_events", unneeded)
    return len(unneeded)
