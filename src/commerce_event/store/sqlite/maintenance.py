"""Keep the store small and correct: recount, retention, text index, set clocks."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import apsw

from commerce_event.core.clock import Clock
from commerce_event.store.model import CountCheck
from commerce_event.store.sqlite import clock as stored_clock
from commerce_event.store.sqlite.access import Access
from commerce_event.store.sqlite.sql import execute, fetch, fetch_value, write_rows
from commerce_event.store.text_search import entry

_TEXT_STEP: Final = 1024**2  # bytes of bodies to index in one step, of new events and of former ones


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
        """Index the next events; with room left, index events of older versions anew, newest first.

        Bodies are read and cut into words beforehand, so that writers do not wait for it.
        """
        step = await self._access.read_snapshot(lambda connection: _next_texts(connection, limit))
        if step.new or step.former or step.is_last:
            return await self._access.write(lambda connection: _index(connection, step))
        return 0


class _Text(NamedTuple):
    """What an event is found by."""

    event_id: int
    entry: str


class _Texts(NamedTuple):
    """The texts of one step."""

    indexed_to: int
    new: list[_Text]  # of events after ``indexed_to``
    former_to: int | None  # the last event that is in the index of an older version only; None: no such index
    former: list[_Text]  # of events up to ``former_to``, newest first
    is_last: bool  # whether no event is left in that index


def _next_texts(connection: apsw.Connection, limit: int) -> _Texts:
    indexed_to = fetch_value(connection, "meta", "text_indexed_to")
    former_to = fetch_value(connection, "meta", "text_former_to")
    new = _texts(fetch(connection, "events_to_index", indexed_to, limit))
    room = limit - len(new)
    if former_to is None or not room:
        return _Texts(indexed_to, new, former_to, [], is_last=False)
    former = _texts(fetch(connection, "events_to_index_anew", former_to, room))
    return _Texts(indexed_to, new, former_to, former, is_last=not former)


def _texts(rows: Iterable[Any]) -> list[_Text]:
    """Return the texts of events, until their bodies sum up to ``_TEXT_STEP``, at least one."""
    found: list[_Text] = []
    size = 0
    for row in rows:
        found.append(_Text(row.id, entry(row.body)))
        size += len(row.body)
        if size >= _TEXT_STEP:
            break
    return found


def _index(connection: apsw.Connection, step: _Texts) -> int:
    """Write a step; return its number of texts. It is left to the next one if the store has changed meanwhile."""
    count = len(step.new) + len(step.former)
    last = step.new[-1].event_id if step.new else step.indexed_to
    is_next = fetch_value(connection, "is_next_to_index", step.indexed_to, last, len(step.new))
    if not is_next or fetch_value(connection, "meta", "text_former_to") != step.former_to:
        return count
    write_rows(connection, "index_text", [*reversed(step.former), *step.new])  # ascending, or each is flushed by itself
    execute(connection, "raise_meta", last, "text_indexed_to")
    if step.former:
        execute(connection, "put_meta", "text_former_to", step.former[-1].event_id - 1)
    elif step.is_last:
        execute(connection, "drop_former_texts")
        execute(connection, "delete_meta", "text_former_to")
    return count


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
    """Delete events with everything that belongs to them."""
    remember_last_id(connection)
    unneeded = [event_id for event_id in event_ids if not fetch_value(connection, "has_pending", event_id)]
    for event_id in unneeded:
        for step in ("delete_attempts", "delete_deliveries", "delete_text", "delete_raised", "delete_event"):
            execute(connection, step, event_id)
    return len(unneeded)
