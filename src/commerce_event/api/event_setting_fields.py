"""The fields of an event setting in requests: their types, and the checks of their values."""

from collections.abc import Iterator
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from commerce_event.api.operations import Call
from commerce_event.api.parameters import Int32
from commerce_event.contract.entities import NOTIFICATIONS, NotificationSource, contract_fields
from commerce_event.contract.near_names import nearest_name
from commerce_event.core.changes.field_names import KnownFields
from commerce_event.core.changes.model import EventSetting
from commerce_event.core.filters import CompiledFilter, InvalidFilterError
from commerce_event.core.model import Filter
from commerce_event.core.problems import Fault, invalid, together

FIELDS_MAX: Final = 100
COALESCE_MAX_S: Final = 86_400
_FAULTS_MAX: Final = 50  # in one answer

TypeName = Annotated[str, Meta(max_length=100, examples=["CustomerChangedNotification"])]
Entity = Annotated[str, Meta(max_length=100, examples=["tClientCustomerAddress"])]
FieldName = Annotated[str, Meta(min_length=1, max_length=100)]
Fields = Annotated[list[FieldName], Meta(min_length=1, max_length=FIELDS_MAX, examples=[["City", "Zip"]])]
Coalesce = Annotated[float, Meta(ge=0, le=COALESCE_MAX_S)]


class NewEventSetting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event setting to create. Fields that are left out have their defaults."""

    client_id: Annotated[Int32, Meta(examples=[1006])]
    event_type: TypeName
    entity: Entity
    application_id: Int32 | None = None
    enabled: bool = True
    on_insert: bool = True
    on_update: bool = True
    on_delete: bool | None = None  # None: true, unless the type takes no deleted rows
    fields: Fields | None = None
    filter: Filter | None = None
    coalesce_s: Coalesce = 0.0


class EventSettingChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields to change. Client, application, event type and entity of a setting stay as they are."""

    enabled: bool | UnsetType = UNSET
    on_insert: bool | UnsetType = UNSET
    on_update: bool | UnsetType = UNSET
    on_delete: bool | UnsetType = UNSET
    fields: Fields | UnsetType | None = UNSET
    filter: Filter | UnsetType | None = UNSET
    coalesce_s: Coalesce | UnsetType = UNSET


async def checked_setting(call: Call, wanted: NewEventSetting, *, id_: int, pointer: str = "") -> EventSetting:
    """Return the setting that a request describes; ``pointer`` is its place. Raises Problem 422 with every fault."""
    source = find_source(wanted.event_type, wanted.entity, pointer)
    now_ms = call.now_ms
    setting = EventSetting(
        id=id_,
        active_since_ms=now_ms if wanted.enabled else 0,
        created_ms=now_ms,
        updated_ms=now_ms,
        **completed_setting(wanted),
    )
    check_setting(setting, source, await known_fields(call, wanted.client_id, wanted.entity), pointer)
    return setting


def completed_setting(wanted: NewEventSetting) -> dict[str, Any]:
    """Return the fields of a setting to create, each with its value."""
    source = NOTIFICATIONS.get(wanted.event_type)
    takes_deleted = source is None or source.rule != "break_point"
    return {
        **msgspec.structs.asdict(wanted),
        "on_delete": takes_deleted if wanted.on_delete is None else wanted.on_delete,
        "fields": _fields(wanted.fields),
        "filter": wanted.filter or None,
    }


def changed_setting(setting: EventSetting, change: EventSettingChange, known: KnownFields, now_ms: int) -> EventSetting:
    """Return the setting with a change. Raises Problem 422 with every fault."""
    values: dict[str, Any] = {n: value for n, value in msgspec.structs.asdict(change).items() if value is not UNSET}
    if "fields" in values:
        values["fields"] = _fields(values["fields"])
    if "filter" in values:
        values["filter"] = values["filter"] or None
    if values.get("enabled") and not setting.enabled:
        values["active_since_ms"] = now_ms
    changed = msgspec.structs.replace(setting, updated_ms=now_ms, **values)
    check_setting(changed, find_source(setting.event_type, setting.entity), known)
    return changed


def find_source(event_type: str, entity: str, pointer: str = "") -> NotificationSource:
    """Return what a notification takes. Raises Problem 422 for an unknown type, or an entity it is not about."""
    source = NOTIFICATIONS.get(event_type)
    if source is None:
        near = nearest_name(event_type, NOTIFICATIONS)
        hint = f"did you mean {near}?" if near else f"there are {', '.join(NOTIFICATIONS)}"
        raise invalid(f"{pointer}/event_type", f"{event_type[:60]!r} is not a notification; {hint}")
    near = None if entity in source.entities else nearest_name(entity, source.entities)
    if not source.takes(entity) or near is not None:
        also = ", and other tables of a product, such as tClientProductSkuBarcode" if source.is_open else ""
        hint = f"did you mean {near}?" if near else f"it is about {', '.join(source.entities)}{also}"
        raise invalid(f"{pointer}/entity", f"{event_type} is not about {entity[:60]!r}; {hint}")
    return source


async def known_fields(call: Call, client_id: int, entity: str) -> KnownFields:
    """Return the fields of an entity: those that sources map, that the contract names, and that changes had."""
    sources = call.services.registry.change_settings.sources_for(client_id)
    mappings = [mapping for source in sources for mapping in source.tables.values() if mapping.entity == entity]
    names = {name for mapping in mappings for name in (*mapping.key, *mapping.fields)}
    # A mapping without fields takes every column by its own name.
    is_mapped = bool(mappings) and all(mapping.fields for mapping in mappings)
    names |= contract_fields(entity)
    names.update(await call.services.store.changes.fields(client_id, entity))
    return KnownFields(entity, names, is_mapped=is_mapped)


def check_setting(
    setting: EventSetting,
    source: NotificationSource,
    known: KnownFields,
    pointer: str = "",
) -> None:
    """Raise Problem 422 with every fault of a setting; ``pointer`` is the place of the setting."""
    faults = list(_faults(setting, source, known, pointer))
    if faults:
        raise together([invalid(fault.pointer, fault.message) for fault in faults[:_FAULTS_MAX]])


def _faults(setting: EventSetting, source: NotificationSource, known: KnownFields, pointer: str) -> Iterator[Fault]:
    is_break_point = source.rule == "break_point"
    if is_break_point and setting.on_delete:
        yield Fault(f"{pointer}/on_delete", "a deleted row has no stock to compare; set it to false")
    if is_break_point and setting.fields is not None:
        yield Fault(f"{pointer}/fields", f"{source.value} and MinimumValue alone count for this type; leave them out")
    elif setting.fields is not None:
        yield from known.field_faults(setting.fields, f"{pointer}/fields")
    if not (setting.on_insert or setting.on_update or setting.on_delete):
        yield Fault(f"{pointer}/on_update", "at least one of insert, update and delete must be on; or disable it")
    if setting.filter is not None:
        try:
            CompiledFilter(setting.filter)
        except InvalidFilterError as error:
            yield Fault(f"{pointer}/filter{error.pointer}", str(error))
        else:
            yield from known.filter_faults(setting.filter, f"{pointer}/filter")


def _fields(names: list[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(dict.fromkeys(names))
