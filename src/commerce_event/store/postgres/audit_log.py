"""The audit log: who changed what, the newest first."""

import msgspec

from commerce_event.core import ids
from commerce_event.core.model import AuditEntry, Scope
from commerce_event.store.port import AUDIT_KEPT_MS, Page
from commerce_event.store.postgres.conditions import Conditions
from commerce_event.store.postgres.sql import Connection, run


async def add(connection: Connection, entry: AuditEntry) -> None:
    await run(connection, "forget_audit_entries", ids.at_time(entry.at_ms - AUDIT_KEPT_MS))
    await run(connection, "add_audit_entry", *msgspec.structs.astuple(entry))


async def entries(connection: Connection, scope: Scope, page: Page, *, target: str | None) -> list[AuditEntry]:
    where = Conditions()
    where.add_scope(scope, "client_id")
    where.add_page(page, "id")
    where.add_equal("target", target)
    limit = where.place(page.limit)
    columns = ", ".join(AuditEntry.__struct_fields__)
    sql = f"SELECT {columns} FROM audit_entry WHERE {where.sql} ORDER BY id DESC LIMIT {limit}"
    return [AuditEntry(*row) for row in await connection.fetch(sql, *where.values)]
