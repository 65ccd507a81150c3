"""Keep the store small and correct: recount, retention, text index, set clocks."""

from collections.abc import Sequence
from typing import Final

import apsw

from commerce_event.core.clock import Clock
from commerce_event.store.model import CountCheck
from commerce_event.store.sqlite import clock as stored_clock
from commerce_event.store.sqlite.access import Access
from commerce_event.store.sqlite.sql import execute, fetch, fetch_value

_TEXT_STEP: Final = 1024**2  # bytes of bodies to index in one step: writers wait that long


class SqliteMaintenance:
    """What runs in the background."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._access = access
        self._clock = clock
        self._expired_to = 0  # retention goes on behind this event

    async def verify_counts(self, *, after_id: int, limit: int) -> CountCheck:
        rows = await self._access.read(lambda connection: list(fetch(connection, "verify_counts", after_id, limit)))
        return CountCheck.of(rows, limit)

    async def oldest_ms(self) -> int | None:
        return await self._access.read(lambda connection: fetch_value(connection, "oldest_ms"))

    async def expire(self, *, before_ms: int, limit: int) -> int:
        after_id = self._expired_to  # older events are still pending

        def find(connection: apsw.Connection) -> list[int]:
            found: list[int] = []
            for row in fetch(connection, "oldest_events", after_id):
                if row.accepted_ms >= before_ms or len(found) == limit:
                    break
                if not row.is_pending:
                    found.append(row.id)
            return found

        ids = await self._access.read(find)
        self._expired_to = ids[-1] if len(ids) == limit else 0
        return await self._access.write(lambda connection: _delete(connection, ids)) if ids else 0

    async def shift_due(self, by_ms: int) -> None:
        """Move what is written before this call and nothing written later: until it is done, all writes wait."""
        await self._access.write(lambda connection: stored_clock.shift_due(connection, by_ms, self._clock), insist=True)

    async def index_text(self, limit: int) -> int:
        def work(connection: apsw.Connection) -> int:
            start = fetch_value(connection, "meta", "text_indexed_to")
            ids: list[int] = []
            size = 0
            for row in fetch(connection, "events_to_index", start, limit):
                ids.append(row.id)
                size += row.size
                if size >= _TEXT_STEP:
                    break
            if ids:
                execute(connection, "index_text", start, ids[-1])
                execute(connection, "raise_meta", ids[-1], "text_indexed_to")
            return len(ids)

        return await self._access.write(work)


def begin_run(connection: apsw.Connection) -> int:
    """Record that a run has begun; return how many runs began after one that had not ended properly."""
    unclean = fetch_value(connection, "meta", "unclean_starts") or 0
    unclean += fetch_value(connection, "meta", "running") or 0
    execute(connection, "put_meta", "unclean_starts", unclean)
    execute(connection, "put_meta", "running", 1)
    return int(unclean)


def end_run(connection: apsw.Connection) -> None:
    """Record that the run ended properly."""
    execute(connection, "put_meta", "running", 0)


def last_id(connection: apsw.Connection) -> int:
    return int(fetch_value(connection, "last_id"))


def remember_last_id(connection: apsw.Connection) -> None:
    """Remember the largest id, because rows with ids are about to be deleted: none may be used again."""
    execute(connection, "raise_meta", last_id(connection), "last_id")


def _delete(connection: apsw.Connection, event_ids: Sequence[int]) -> int:
    """Delete events with their deliveries, attempts and text."""
    remember_last_id(connection)
    unneeded = [event_id for event_id in event_ids if not fetch_value(connection, "has_pending", event_id)]
    for event_id in unneeded:
        for step in ("delete_attempts", "delete_deliveries", "delete_text", "delete_event"):
            execute(connection, step, event_id)
    return len(unneeded)
