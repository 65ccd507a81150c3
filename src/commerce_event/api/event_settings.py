"""Event settings: which data changes raise a notification for a client."""

from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from commerce_event.api.event_setting_fields import (
    EventSettingChange,
    NewEventSetting,
    changed_setting,
    checked_setting,
    known_fields,
)
from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.paging import Listing, PageQuery, listing
from commerce_event.api.parameters import Int32, scope_for
from commerce_event.core import ids
from commerce_event.core.changes.model import EventSetting
from commerce_event.core.changes.words import describe_setting
from commerce_event.core.clock import rfc3339
from commerce_event.core.model import Filter
from commerce_event.core.problems import Problem, not_found
from commerce_event.registry.authentication import check_client
from commerce_event.registry.change_settings import LimitReachedError
from commerce_event.store.port import SettingExistsError

PER_CLIENT_MAX: Final = 500
_STEP: Final = 1_000  # waiting notifications that one commit makes due


class EventSettingsQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters of event settings."""

    client_id: Int32 | None = None
    event_type: Annotated[str, Meta(max_length=100)] | None = None
    entity: Annotated[str, Meta(max_length=100)] | None = None


class EventSettingView(msgspec.Struct, frozen=True, kw_only=True):
    """Which changes of an entity raise a notification for a client."""

    id: str
    client_id: int
    application_id: int | None
    event_type: str
    entity: str
    enabled: bool
    on_insert: bool
    on_update: bool
    on_delete: bool
    fields: list[str] | None
    filter: Filter | None
    coalesce_s: float
    sentence: str
    active_since: str | None
    created_at: str
    updated_at: str


async def create_event_setting(call: Call) -> Reply:
    wanted: NewEventSetting = call.body
    check_client(call.key, wanted.client_id)
    setting = await checked_setting(call, wanted, id_=call.services.ids.next(call.now_ms))
    settings = call.services.registry.change_settings
    try:
        saved = await settings.add_setting(setting, limit=PER_CLIENT_MAX)
    except LimitReachedError:
        raise Problem(409, f"A client has at most {PER_CLIENT_MAX} event settings; delete an unused one.") from None
    except SettingExistsError:
        raise _conflict(settings.setting_for(setting)) from None
    view = setting_view(saved)
    _audit(call, None, saved)
    return Reply(view, 201, {"Location": f"/v1/event-settings/{view.id}"})


def _conflict(other: EventSetting | None) -> Problem:
    named = "" if other is None else f", {ids.encode('set', other.id)}; change that one"
    return Problem(409, f"There is a setting of this client, application, event type and entity already{named}.")


async def list_event_settings(call: Call) -> Reply:
    query: EventSettingsQuery = call.query
    before = query.before
    found = [
        setting
        for setting in reversed(call.services.registry.change_settings.settings(scope_for(call, query.client_id)))
        if (before is None or setting.id < before)
        and query.event_type in {None, setting.event_type}
        and query.entity in {None, setting.entity}
    ]
    return Reply(listing(found[: query.limit + 1], query, setting_view))


async def get_event_setting(call: Call) -> Reply:
    return Reply(setting_view(_find(call)))


async def change_event_setting(call: Call) -> Reply:
    return Reply(setting_view(await store_setting_change(call, _find(call), lambda _: call.body)))


async def store_setting_change(
    call: Call, found: EventSetting, change_for: Callable[[EventSetting], EventSettingChange]
) -> EventSetting:
    """Store the change that ``change_for`` returns for the setting as it is now. Raises Problem."""
    known = await known_fields(call, found.client_id, found.entity)
    before = found

    def changed(setting: EventSetting) -> EventSetting:
        nonlocal before
        before = setting
        return changed_setting(setting, change_for(setting), known, call.now_ms)

    saved = await call.services.registry.change_settings.change_setting(found.id, changed)
    if saved is None:
        raise not_found("event setting")
    _audit(call, before, saved)
    if saved.coalesce_s < before.coalesce_s:  # what waits must not come after newer values
        while await call.services.store.changes.end_waiting(saved.id, now_ms=call.now_ms, limit=_STEP):
            pass
    return saved


async def delete_event_setting(call: Call) -> Reply:
    found = _find(call)
    if await call.services.registry.change_settings.delete_setting(found.id, call.now_ms) is None:
        raise not_found("event setting")
    _audit(call, found, None)
    return Reply(None, 204)


def _find(call: Call) -> EventSetting:
    """Return the setting in the path. Raises Problem 404, also for another client's setting."""
    setting = call.services.registry.change_settings.setting_in(call.scope, call.id("set", "event setting"))
    if setting is None:
        raise not_found("event setting")
    return setting


def _audit(call: Call, before: EventSetting | None, after: EventSetting | None) -> None:
    """Set what the call changes: a setting. None before: it is created; None after: it is deleted."""
    setting = after or before
    if setting is not None:
        call.is_about(
            setting.client_id,
            ids.encode("set", setting.id),
            name=f"{setting.event_type} of {setting.entity}",
            before=None if before is None else setting_view(before),
            after=None if after is None else setting_view(after),
        )


def setting_view(setting: EventSetting) -> EventSettingView:
    return EventSettingView(
        id=ids.encode("set", setting.id),
        client_id=setting.client_id,
        application_id=setting.application_id,
        event_type=setting.event_type,
        entity=setting.entity,
        enabled=setting.enabled,
        on_insert=setting.on_insert,
        on_update=setting.on_update,
        on_delete=setting.on_delete,
        fields=None if setting.fields is None else list(setting.fields),
        filter=setting.filter,
        coalesce_s=setting.coalesce_s,
        sentence=describe_setting(setting),
        active_since=rfc3339(setting.active_since_ms) if setting.enabled else None,
        created_at=rfc3339(setting.created_ms),
        updated_at=rfc3339(setting.updated_ms),
    )


_TAG: Final = "Event settings"
OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/event-settings",
        name="createEventSetting",
        summary="Create an event setting",
        tag=_TAG,
        needs="manage",
        run=create_event_setting,
        body=NewEventSetting,
        answers={201: EventSettingView},
        problems=(409, 415, 422),
        description=(
            "From then on, changes of the entity that meet it raise the notification. A client has one setting for "
            "each application, event type and entity; the setting of an application replaces that of all."
        ),
    ),
    Operation(
        method="GET",
        path="/v1/event-settings",
        name="listEventSettings",
        summary="List event settings",
        tag=_TAG,
        needs="read",
        run=list_event_settings,
        query=EventSettingsQuery,
        answers={200: Listing[EventSettingView]},
        problems=(422,),
        description="Newest first, without deleted ones.",
    ),
    Operation(
        method="GET",
        path="/v1/event-settings/{id}",
        name="getEventSetting",
        summary="Read an event setting",
        tag=_TAG,
        needs="read",
        run=get_event_setting,
        answers={200: EventSettingView},
        problems=(404,),
        description="`sentence` says in words what it does.",
    ),
    Operation(
        method="PATCH",
        path="/v1/event-settings/{id}",
        name="changeEventSetting",
        summary="Change an event setting",
        tag=_TAG,
        needs="manage",
        run=change_event_setting,
        body=EventSettingChange,
        answers={200: EventSettingView},
        problems=(404, 415, 422),
        description=(
            "While disabled, nothing is tracked: values that changed in that time are not known when it is enabled."
        ),
    ),
    Operation(
        method="DELETE",
        path="/v1/event-settings/{id}",
        name="deleteEventSetting",
        summary="Delete an event setting",
        tag=_TAG,
        needs="manage",
        run=delete_event_setting,
        answers={204: None},
        problems=(404,),
        description="Changes that were accepted before are still explained with it.",
    ),
)
