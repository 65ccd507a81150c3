"""The audit log: every change through the API or the screens, the key that made it, and how to take one back."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from commerce_event.api.endpoint_fields import EndpointChange
from commerce_event.api.endpoints import store_endpoint_change
from commerce_event.api.event_setting_fields import EventSettingChange
from commerce_event.api.event_settings import EventSettingView, setting_view, store_setting_change
from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.paging import Listing, PageQuery, listing
from commerce_event.api.parameters import Int32, scope_for
from commerce_event.api.response_models import EndpointView, audited_endpoint, endpoint_view
from commerce_event.api.validation import convert
from commerce_event.core import ids
from commerce_event.core.audit_words import sentence_of
from commerce_event.core.changes.model import EventSetting
from commerce_event.core.clock import rfc3339
from commerce_event.core.field_changes import is_kept_whole, shortened
from commerce_event.core.model import AUTOMATIC_ID, AuditEntry, Endpoint, FieldChange
from commerce_event.core.problems import Problem, not_found

_RESTORABLE: Final[Mapping[str, type[msgspec.Struct]]] = {  # actions, and the fields that can be put back
    "changeEndpoint": EndpointChange,
    "switchOffEndpoint": EndpointChange,
    "changeEventSetting": EventSettingChange,
}
_RESTORE: Final = "restoreAuditEntry"


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
    automatic: bool
    action: str
    target: str
    name: str | None
    sentence: str
    detail: str | None
    changes: tuple[FieldChange, ...]
    restorable: bool


class RestoredView(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint or an event setting whose previous values were put back."""

    restored: list[str]
    left_out: list[str]
    endpoint: EndpointView | None
    event_setting: EventSettingView | None


async def list_audit_entries(call: Call) -> Reply:
    query: AuditQuery = call.query
    scope = scope_for(call, query.client_id)
    found = await call.services.store.audit_log.entries(scope, query.page(), target=query.target)
    return Reply(listing(found, query, audit_entry_view))


async def get_audit_entry(call: Call) -> Reply:
    return Reply(audit_entry_view(await _find(call)))


async def restore_audit_entry(call: Call) -> Reply:
    entry = await _find(call)
    fields = _fields_of(entry)
    wanted = [each for each in entry.changes if _is_restorable(each, fields)]
    if not wanted:
        raise Problem(409, "This entry has nothing that can be put back: " + _reason(entry, fields))
    names = [each.field for each in wanted]
    left_out = [each.field for each in entry.changes if each.field not in names]
    body = {each.field: each.before for each in wanted}
    if fields is EndpointChange:
        endpoint_change = convert(body, EndpointChange, where="")

        def for_endpoint(endpoint: Endpoint) -> EndpointChange:
            _check_unchanged(wanted, audited_endpoint(endpoint))
            return endpoint_change

        saved = await store_endpoint_change(call, _endpoint_id(call, entry), for_endpoint)
        view = RestoredView(
            restored=names, left_out=left_out, endpoint=endpoint_view(saved, call.now_ms), event_setting=None
        )
        return Reply(view)
    setting_change = convert(body, EventSettingChange, where="")

    def for_setting(setting: EventSetting) -> EventSettingChange:
        _check_unchanged(wanted, msgspec.to_builtins(setting_view(setting)))
        return setting_change

    changed = await store_setting_change(call, _setting(call, entry), for_setting)
    return Reply(RestoredView(restored=names, left_out=left_out, endpoint=None, event_setting=setting_view(changed)))


async def _find(call: Call) -> AuditEntry:
    entry = await call.services.store.audit_log.entry(call.id("aud", "audit entry"), call.scope)
    if entry is None:
        raise not_found("audit entry")
    return entry


def _fields_of(entry: AuditEntry) -> type[msgspec.Struct] | None:
    """Return the fields that can be put back for the action of an entry."""
    if entry.action == _RESTORE:
        return EndpointChange if entry.target.startswith("end_") else EventSettingChange
    return _RESTORABLE.get(entry.action)


def _is_restorable(change: FieldChange, fields: type[msgspec.Struct] | None) -> bool:
    is_field = fields is not None and change.field in fields.__struct_encode_fields__
    return is_field and is_kept_whole(change.before)


def _reason(entry: AuditEntry, fields: type[msgspec.Struct] | None) -> str:
    if fields is None:
        return "only changes of endpoints and event settings can."
    if not entry.changes:
        return "it does not say what was changed."
    return "values of headers and secrets, and long values, are not kept in the audit log."


def _check_unchanged(wanted: list[FieldChange], now: Mapping[str, Any]) -> None:
    """Raise Problem 409 when a field no longer has the value that the change gave it."""
    present = msgspec.json.decode(msgspec.json.encode(now))
    others = [each.field for each in wanted if shortened(present.get(each.field)) != each.after]
    if others:
        raise Problem(409, f"Changed again since then: {', '.join(others)}. Change it by hand.")


def _endpoint_id(call: Call, entry: AuditEntry) -> int:
    endpoint = call.services.registry.endpoint_in(call.scope, ids.decode("end", entry.target))
    if endpoint is None:
        raise Problem(409, "The endpoint was deleted since then.")
    return endpoint.id


def _setting(call: Call, entry: AuditEntry) -> EventSetting:
    settings = call.services.registry.change_settings
    setting = settings.setting_in(call.scope, ids.decode("set", entry.target))
    if setting is None:
        raise Problem(409, "The event setting was deleted since then.")
    return setting


def audit_entry_view(entry: AuditEntry) -> AuditEntryView:
    """Return an entry as the API shows it."""
    fields = _fields_of(entry)
    return AuditEntryView(
        id=ids.encode("aud", entry.id),
        at=rfc3339(entry.at_ms),
        client_id=entry.client_id,
        key_id=ids.encode("key", entry.key_id) if entry.key_id > 0 else None,
        key_name=entry.key_name,
        automatic=entry.key_id == AUTOMATIC_ID,
        action=entry.action,
        target=entry.target,
        name=entry.name,
        sentence=sentence_of(entry),
        detail=entry.detail,
        changes=entry.changes,
        restorable=any(_is_restorable(each, fields) for each in entry.changes),
    )


_TAG: Final = "Audit log"
OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/audit",
        name="listAuditEntries",
        summary="List who changed what",
        tag=_TAG,
        needs="read",
        run=list_audit_entries,
        query=AuditQuery,
        answers={200: Listing[AuditEntryView]},
        problems=(422,),
        description="Newest first; kept for 400 days. Only admins see entries that concern no client, such as keys.",
    ),
    Operation(
        method="GET",
        path="/v1/audit/{id}",
        name="getAuditEntry",
        summary="Read an audit entry",
        tag=_TAG,
        needs="read",
        run=get_audit_entry,
        answers={200: AuditEntryView},
        problems=(404,),
        description="What was changed, with the values before and after.",
    ),
    Operation(
        method="POST",
        path="/v1/audit/{id}/restore",
        name=_RESTORE,
        summary="Put the previous values back",
        tag=_TAG,
        needs="manage",
        run=restore_audit_entry,
        answers={200: RestoredView},
        problems=(404, 409, 422),
        description=(
            "For changes of an endpoint or an event setting. Values of headers and secrets, and values beyond 500 "
            "characters, are not in the audit log and are left out. 409: a field was changed again since, or nothing "
            "can be put back. It is a change with an audit entry of its own."
        ),
    ),
)
