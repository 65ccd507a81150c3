"""Events that were refused."""

from collections.abc import Sequence
from typing import Any, Final

from commerce_event.core import ids
from commerce_event.core.model import Refusal, Scope
from commerce_event.core.refusal_limits import LIMITS, RefusalLimits, Usage, find_excess
from commerce_event.store import row_mapping
from commerce_event.store.model import Page, RefusalQuery
from commerce_event.store.postgres.conditions import Conditions
from commerce_event.store.postgres.executor import Executor
from commerce_event.store.postgres.locks import MAINTENANCE, REFUSALS
from commerce_event.store.postgres.retention import remember_last_id
from commerce_event.store.postgres.sql import (
    Connection,
    by_name,
    columns,
    execute,
    fetch,
    fetch_column,
    fetch_value,
)
from commerce_event.store.row_mapping import refusal_row

_COLUMNS: Final = len(Refusal.__struct_fields__)


class PostgresRefusals:
    """The refused events."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def add(self, refusals: Sequence[Refusal], *, limits: RefusalLimits = LIMITS) -> None:
        rows = columns([refusal_row(each) for each in refusals], _COLUMNS)

        async def work(connection: Connection) -> None:
            await execute(connection, "insert_refusals", *rows)
            await _delete_excess(connection, limits)

        await self._executor.write(work)

    async def refusal(self, refusal_id: int, scope: Scope) -> Refusal | None:
        rows = await self._executor.read(lambda connection: fetch(connection, "refusal", refusal_id))
        found = [row_mapping.refusal(row) for row in rows if scope.allows(row.client_id)]
        return found[0] if found else None

    async def refusals(self, query: RefusalQuery, page: Page) -> list[Refusal]:
        where = Conditions()
        where.add_refusals(query, page)
        limit = where.place(page.limit)
        sql = f"SELECT {row_mapping.REFUSAL} FROM refusal WHERE {where.sql} ORDER BY id DESC LIMIT {limit}"
        rows = by_name(await self._executor.read(lambda connection: connection.fetch(sql, *where.values)))
        return [row_mapping.refusal(row, body=b"") for row in rows]

    async def count_open(self, scope: Scope, *, limit: int) -> int:
        where = Conditions()
        where.add_scope(scope, "client_id")
        place = where.place(limit)
        sql = f"SELECT count(*) FROM (SELECT FROM refusal WHERE state = 'open' AND {where.sql} LIMIT {place}) AS found"
        return int(await self._executor.read(lambda connection: connection.fetchval(sql, *where.values)))

    async def begin_acceptance(self, refusal_id: int, client_id: int) -> int | None:
        found: int | None = await self._executor.write(
            lambda connection: fetch_value(connection, "begin_acceptance", refusal_id, client_id)
        )
        return found

    async def cancel_acceptance(self, refusal_id: int) -> None:
        await self._executor.write(lambda connection: execute(connection, "cancel_acceptance", refusal_id))

    async def accept(self, refusal_id: int, event_id: int, *, now_ms: int, limits: RefusalLimits = LIMITS) -> bool:
        return await self._close("accept_refusal", refusal_id, event_id, now_ms, limits=limits)

    async def discard(
        self, refusal_id: int, reason: str | None, *, now_ms: int, limits: RefusalLimits = LIMITS
    ) -> bool:
        return await self._close("discard_refusal", refusal_id, reason, now_ms, limits=limits)

    async def _close(self, statement: str, *values: Any, limits: RefusalLimits) -> bool:
        async def work(connection: Connection) -> bool:
            is_closed = bool(await fetch_column(connection, statement, *values))
            if is_closed:
                await _delete_excess(connection, limits)
            return is_closed

        return await self._executor.write(work)

    async def oldest_ms(self) -> int | None:
        found: int | None = await self._executor.read(lambda connection: fetch_value(connection, "oldest_refusal_ms"))
        return found

    async def expire(self, *, before_ms: int, limit: int) -> int:
        async def work(connection: Connection) -> int:
            await remember_last_id(connection)
            return len(await fetch_column(connection, "delete_old_refusals", ids.at_time(before_ms), limit))

        return await self._executor.write(work)


async def _delete_excess(connection: Connection, limits: RefusalLimits) -> None:
    await execute(connection, "lock_refusals", MAINTENANCE, REFUSALS)
    rows = await fetch(connection, "refusal_usage")
    excess = find_excess([Usage(row.owner, row.state, row.count, int(row.size)) for row in rows], limits)
    if excess:
        await remember_last_id(connection)
    for each in excess:
        await execute(connection, "delete_refusals_beyond", each.owner, each.state, each.count, each.size)
