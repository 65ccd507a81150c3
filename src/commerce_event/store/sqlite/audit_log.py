"""The audit log: who changed what, the newest first."""

import apsw
import msgspec

from commerce_event.core import ids
from commerce_event.core.model import AuditEntry, Scope
from commerce_event.store.port import AUDIT_KEPT_MS, Page
from commerce_event.store.sqlite.conditions import Conditions
from commerce_event.store.sqlite.sql import run


def add(connection: apsw.Connection, entry: AuditEntry) -> None:
    run(connection, "forget_audit_entries", (ids.at_time(entry.at_ms - AUDIT_KEPT_MS),))
    run(connection, "add_audit_entry", msgspec.structs.astuple(entry))


def entries(connection: apsw.Connection, scope: Scope, page: Page, *, target: str | None) -> list[AuditEntry]:
    where = Conditions()
    where.add_scope(scope, "client_id")
    where.add_page(page, "id")
    where.add_equal("target", target)
    sql = (
        f"SELECT {', '.join(AuditEntry.__struct_fields__)} FROM audit_entry WHERE {where.sql} ORDER BY id DESC LIMIT ?"
    )
    return [AuditEntry(*row) for row in connection.execute(sql, (*where.values, page.limit))]
