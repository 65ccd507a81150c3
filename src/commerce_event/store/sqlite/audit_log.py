"""The audit log: who changed what."""

import apsw

from commerce_event.core import ids
from commerce_event.core.model import AuditEntry, Scope
from commerce_event.store import row_mapping
from commerce_event.store.model import AUDIT_KEPT_MS, Page
from commerce_event.store.sqlite.access import Access
from commerce_event.store.sqlite.conditions import Conditions
from commerce_event.store.sqlite.sql import by_name, execute, fetch


class SqliteAuditLog:
    """The audit log."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def add(self, entry: AuditEntry) -> None:
        def work(connection: apsw.Connection) -> None:
            execute(connection, "delete_old_audit_entries", ids.at_time(entry.at_ms - AUDIT_KEPT_MS))
            execute(connection, "insert_audit_entry", *row_mapping.audit_entry_row(entry))

        await self._access.write(work)

    async def entry(self, entry_id: int, scope: Scope) -> AuditEntry | None:
        rows = await self._access.read(lambda connection: list(fetch(connection, "audit_entry", entry_id)))
        return next((row_mapping.audit_entry(row) for row in rows if scope.allows(row.client_id)), None)

    async def entries(self, scope: Scope, page: Page, *, target: str | None = None) -> list[AuditEntry]:
        where = Conditions()
        where.add_scope(scope, "client_id")
        where.add_page(page, "id")
        where.add_equal("target", target)
        sql = f"SELECT {row_mapping.AUDIT} FROM audit_entry WHERE {where.sql} ORDER BY id DESC LIMIT ?"
        values = (*where.values, page.limit)
        return await self._access.read(
            lambda connection: [row_mapping.audit_entry(row) for row in by_name(connection.execute(sql, values))]
        )
