"""Events that were refused."""

from collections.abc import Sequence
from typing import Any

import apsw

from commerce_event.core import ids
from commerce_event.core.model import Refusal, Scope
from commerce_event.core.refusal_limits import LIMITS, RefusalLimits, Usage, find_excess
from commerce_event.store import row_mapping
from commerce_event.store.model import Page, RefusalQuery
from commerce_event.store.sqlite.access import Access
from commerce_event.store.sqlite.conditions import Conditions
from commerce_event.store.sqlite.maintenance import remember_last_id
from commerce_event.store.sqlite.sql import by_name, execute, fetch, fetch_column, fetch_value, write_rows


class SqliteRefusals:
    """The refused events."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def add(self, refusals: Sequence[Refusal], *, limits: RefusalLimits = LIMITS) -> None:
        def work(connection: apsw.Connection) -> None:
            write_rows(connection, "insert_refusals", [row_mapping.refusal_row(each) for each in refusals])
            _delete_excess(connection, limits)

        await self._access.write(work)

    async def refusal(self, refusal_id: int, scope: Scope) -> Refusal | None:
        def work(connection: apsw.Connection) -> Refusal | None:
            found = [row_mapping.refusal(row) for row in fetch(connection, "refusal", refusal_id)]
            return found[0] if found and scope.allows(found[0].client_id) else None

        return await self._access.read(work)

    async def refusals(self, query: RefusalQuery, page: Page) -> list[Refusal]:
        where = Conditions()
        where.add_refusals(query, page)
        sql = f"SELECT {row_mapping.REFUSAL} FROM refusal WHERE {where.sql} ORDER BY id DESC LIMIT ?"
        values = (*where.values, page.limit)
        return await self._access.read(
            lambda connection: [row_mapping.refusal(row, body=b"") for row in by_name(connection.execute(sql, values))]
        )

    async def count_open(self, scope: Scope, *, limit: int) -> int:
        where = Conditions()
        where.add_scope(scope, "client_id")
        sql = f"SELECT count(*) FROM (SELECT 1 FROM refusal WHERE state = 'open' AND {where.sql} LIMIT ?)"
        values = (*where.values, limit)
        return await self._access.read(lambda connection: int(connection.execute(sql, values).get))

    async def begin_acceptance(self, refusal_id: int, client_id: int) -> int | None:
        return await self._access.write(
            lambda connection: fetch_value(connection, "begin_acceptance", refusal_id, client_id)
        )

    async def cancel_acceptance(self, refusal_id: int) -> None:
        await self._access.write(lambda connection: execute(connection, "cancel_acceptance", refusal_id))

    async def accept(self, refusal_id: int, event_id: int, *, now_ms: int, limits: RefusalLimits = LIMITS) -> bool:
        return await self._close("accept_refusal", refusal_id, event_id, now_ms, limits=limits)

    async def discard(
        self, refusal_id: int, reason: str | None, *, now_ms: int, limits: RefusalLimits = LIMITS
    ) -> bool:
        return await self._close("discard_refusal", refusal_id, reason, now_ms, limits=limits)

    async def _close(self, statement: str, *values: Any, limits: RefusalLimits) -> bool:
        def work(connection: apsw.Connection) -> bool:
            is_closed = bool(fetch_column(connection, statement, *values))
            if is_closed:
                _delete_excess(connection, limits)
            return is_closed

        return await self._access.write(work)

    async def oldest_ms(self) -> int | None:
        return await self._access.read(lambda connection: fetch_value(connection, "oldest_refusal_ms"))

    async def expire(self, *, before_ms: int, limit: int) -> int:
        def work(connection: apsw.Connection) -> int:
            remember_last_id(connection)
            return len(fetch_column(connection, "delete_old_refusals", ids.at_time(before_ms), limit))

        return await self._access.write(work)


def _delete_excess(connection: apsw.Connection, limits: RefusalLimits) -> None:
    usage = [row_mapping.build(Usage, row) for row in fetch(connection, "refusal_usage")]
    excess = find_excess(usage, limits)
    if excess:
        remember_last_id(connection)
    for each in excess:
        execute(connection, "delete_refusals_beyond", each.owner, each.state, each.count, each.size)
