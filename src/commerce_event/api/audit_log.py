"""The audit log: every change through the API or the screens, and the key that made it."""

from typing import Annotated

import msgspec
from msgspec import Meta

from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.paging import Listing, PageQuery, listing
from commerce_event.api.parameters import Int32, scope_for
from commerce_event.core import ids
from commerce_event.core.clock import rfc3339
from commerce_event.core.model import AuditEntry


class AuditQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters of audit entries."""

    client_id: Int32 | None = None
    target: Annotated[str, Meta(max_length=80)] | None = None


class AuditEntryView(msgspec.Struct, frozen=True, kw_only=True):
    """A change, and who made it."""

    id: str
    at: str
    client_id: int | None
    key_id: str | None
    key_name: str
    action: str
    target: str
    detail: str | None


async def list_audit_entries(call: Call) -> Reply:
    query: AuditQuery = call.query
    scope = scope_for(call, query.client_id)
    found = await call.services.store.audit_log.entries(scope, query.page(), target=query.target)
    return Reply(listing(found, query, _view))


def _view(entry: AuditEntry) -> AuditEntryView:
    return AuditEntryView(
        id=ids.encode("aud", entry.id),
        at=rfc3339(entry.at_ms),
        client_id=entry.client_id,
        key_id=ids.encode("key", entry.key_id) if entry.key_id > 0 else None,
        key_name=entry.key_name,
        action=entry.action,
        target=entry.target,
        detail=entry.detail,
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/audit",
        name="listAuditEntries",
        summary="List who changed what",
        tag="Audit log",
        needs="read",
        run=list_audit_entries,
        query=AuditQuery,
        answers={200: Listing[AuditEntryView]},
        problems=(422,),
        description="Newest first; kept for 400 days. Only admins see entries that concern no client, such as keys.",
    ),
)
