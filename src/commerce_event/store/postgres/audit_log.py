"""The audit log: who changed what."""

from commerce_event.core import ids
from commerce_event.core.model import AuditEntry, Scope
from commerce_event.store import row_mapping
from commerce_event.store.model import AUDIT_KEPT_MS, Page
from commerce_event.store.postgres.conditions import Conditions
from commerce_event.store.postgres.executor import Executor
from commerce_event.store.postgres.sql import Connection, by_name, execute, fetch


class PostgresAuditLog:
    """The audit log."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def add(self, entry: AuditEntry) -> None:
        async def work(connection: Connection) -> None:
            await execute(connection, "delete_old_audit_entries", ids.at_time(entry.at_ms - AUDIT_KEPT_MS))
            await execute(connection, "insert_audit_entry", *row_mapping.audit_entry_row(entry))

        await self._executor.write(work)

    async def entry(self, entry_id: int, scope: Scope) -> AuditEntry | None:
        rows = await self._executor.read(lambda connection: fetch(connection, "audit_entry", entry_id))
        return next((row_mapping.audit_entry(row) for row in rows if scope.allows(row.client_id)), None)

    async def entries(self, scope: Scope, page: Page, *, target: str | None = None) -> list[AuditEntry]:
        where = Conditions()
        where.add_scope(scope, "client_id")
        where.add_page(page, "id")
        where.add_equal("target", target)
        limit = where.place(page.limit)
        sql = f"SELECT {row_mapping.AUDIT} FROM audit_entry WHERE {where.sql} ORDER BY id DESC LIMIT {limit}"
        rows = by_name(await self._executor.read(lambda connection: connection.fetch(sql, *where.values)))
        return [row_mapping.audit_entry(row) for row in rows]
