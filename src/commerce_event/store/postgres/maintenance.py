"""Keeping the store small and honest: recount, retention, text index."""

import asyncio
from typing import Final

from commerce_event.core.ids import at_time
from commerce_event.store import text_search
from commerce_event.store.port import Audit
from commerce_event.store.postgres import partitions
from commerce_event.store.postgres.sql import Connection, columns, only, run

_WALK: Final = 1_000  # events looked at in one statement
_INDEXED_BYTES: Final = 1_000_000  # of payloads in one step
_WEEKLY_FROM_MS: Final = 28 * 86_400_000  # with a shorter retention, a week too long would be much
_LAST_ID: Final = 2**63 - 1


async def audit(connection: Connection, *, after_id: int, limit: int) -> Audit:
    rows = await run(connection, "audit", after_id, limit)
    wrong = tuple(row[0] for row in rows if row[1] != row[2])
    return Audit(len(rows), wrong, rows[-1][0] if len(rows) == limit else 0)


async def last_id(connection: Connection) -> int:
    return int(await only(connection, "last_id"))


async def oldest_ms(connection: Connection) -> int | None:
    found: int | None = await only(connection, "oldest")
    return found


async def expired(connection: Connection, *, before_ms: int, after_id: int, limit: int, now_ms: int) -> list[int]:
    """Return the oldest events past their time that no pending delivery needs, behind ``after_id``, at most ``limit``.

    With a long retention, those of a week that is not wholly past are left to be dropped with it.
    """
    end = _LAST_ID
    if now_ms - before_ms >= _WEEKLY_FROM_MS:
        past = at_time(before_ms)
        end = next((week.first_id for week in await partitions.present(connection) if week.next.first_id > past), end)
    found: list[int] = []
    after = after_id
    while rows := await run(connection, "oldest_events", after, end, _WALK):
        after = rows[-1][0]
        for event_id, accepted_ms, pending in rows:
            if accepted_ms >= before_ms or len(found) == limit:
                return found
            if not pending:
                found.append(event_id)
    return found


async def delete(connection: Connection, event_ids: list[int]) -> int:
    """Delete events with their deliveries, attempts and text, remembering that their ids were used."""
    await run(connection, "raise_last_id", await last_id(connection))
    locked = [row[0] for row in await run(connection, "lock_events", event_ids)]
    unneeded = [row[0] for row in await run(connection, "unneeded", locked)]  # seen after the lock: final
    await run(connection, "expire", unneeded)
    return len(unneeded)


async def index_text(connection: Connection, limit: int) -> int:
    """Index the next events, at most so many and about as much text as is done in a fraction of a second.

    With room left, texts that an older version wrote are given the client they lead to.
    """
    taken = [row[0] for row in await run(connection, "take_texts", limit, _INDEXED_BYTES)]
    bodies = [tuple(row) for row in await run(connection, "bodies", taken)]
    rows = await asyncio.to_thread(lambda: [(event_id, *text_search.index_entry(*rest)) for event_id, *rest in bodies])
    if rows:
        await run(connection, "insert_texts", *columns(rows, 3))
    older = await run(connection, "add_client", limit - len(taken), _INDEXED_BYTES)
    return len(taken) + len(older)
