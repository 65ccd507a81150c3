"""The audit log: who changed what."""

import msgspec

from commerce_event.core import ids
from commerce_event.core.model import AuditEntry, Scope
from commerce_event.store.model import AUDIT_KEPT_MS, Page
from commerce_event.store.postgres.conditions import Conditions
from commerce_event.store.postgres.executor import Executor
from commerce_event.store.postgres.sql import Connection, by_name, execute
from commerce_event.store.row_mapping import build


class PostgresAuditLog:
    """The audit log."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def add(self, entry: AuditEntry) -> None:
        async def work(connection: Connection) -> None:
            await execute(connection, "delete_old_audit_entries", ids.at_time(entry.at_ms - AUDIT_KEPT_MS))
            await execute(connection, "insert_audit_entry", *msgspec.structs.astuple(entry))

        await self._executor.write(work)

    async def entries(self, scope: Scope, page: Page, *, target: str | None = None) -> list[AuditEntry]:
        where = Conditions()
        where.add_scope(scope, "client_id")
        where.add_page(page, "id")
        where.add_equal("target", target)
        limit = where.place(page.limit)
        columns = ", ".join(AuditEntry.__struct_fields__)
        sql = f"SELECT {columns} FROM audit_entry WHERE {where.sql} ORDER BY id DESC LIMIT {limit}"
        rows = by_name(await self._executor.read(lambda connection: connection.fetch(sql, *where.values)))
        return [build(AuditEntry, row) for row in rows]
