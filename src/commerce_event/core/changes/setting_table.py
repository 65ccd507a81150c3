"""Find the event settings that count for a change with one lookup, for any number of settings."""

from collections.abc import Iterable, Sequence
from typing import Final

from commerce_event.contract.entities import NOTIFICATIONS
from commerce_event.core.changes.model import EventSetting
from commerce_event.core.changes.rules import ActiveSetting, applicable
from commerce_event.core.filters import InvalidFilterError

_NONE: Final[tuple[ActiveSetting, ...]] = ()


class SettingTable:
    """The settings of all clients, without deleted ones.

    What counts for an entity and an application is cached until a setting of the client changes. The cache of a client
    has at most one entry for each entity and each application that its settings name; changes cannot make it grow.
    """

    def __init__(self, settings: Iterable[EventSetting] = ()) -> None:
        self._settings: dict[int, EventSetting] = {}
        self._by_client: dict[int, dict[int, EventSetting]] = {}
        self._clients: dict[int, _ClientSettings] = {}
        self._compiled: dict[int, ActiveSetting] = {}  # by setting, as far as they were needed
        for setting in settings:
            self.put(setting)

    def put(self, setting: EventSetting) -> None:
        """Add a setting, replace it, or remove a deleted one; the client of a setting never changes."""
        of_client = self._by_client.setdefault(setting.client_id, {})
        if setting.deleted_ms is None:
            self._settings[setting.id] = of_client[setting.id] = setting
        else:
            self._settings.pop(setting.id, None)
            of_client.pop(setting.id, None)
        if not of_client:
            del self._by_client[setting.client_id]
        self._clients.pop(setting.client_id, None)
        self._compiled.pop(setting.id, None)

    def get(self, setting_id: int) -> EventSetting | None:
        return self._settings.get(setting_id)

    def all(self) -> list[EventSetting]:
        """Return every setting, oldest first."""
        return sorted(self._settings.values(), key=lambda setting: setting.id)

    def of_client(self, client_id: int) -> list[EventSetting]:
        """Return the settings of a client, oldest first."""
        return sorted(self._by_client.get(client_id, {}).values(), key=lambda setting: setting.id)

    def active(self, client_id: int, entity: str, application_id: int | None) -> Sequence[ActiveSetting]:
        """Return the settings that are on and count: the same object until a setting of the client changes."""
        client = self._client(client_id)
        return _NONE if client is None else client.active(entity, application_id)

    def tracked_since(self, client_id: int, entity: str) -> int | None:
        """Return since when (ms since 1970) changes of the entity are tracked; None when no setting is on for it."""
        client = self._client(client_id)
        return None if client is None else client.tracked_since.get(entity)

    def _client(self, client_id: int) -> "_ClientSettings | None":
        client = self._clients.get(client_id)
        if client is None and client_id in self._by_client:
            client = self._clients[client_id] = _ClientSettings(self.of_client(client_id), self._compiled)
        return client


class _ClientSettings:
    """The settings of one client."""

    def __init__(self, settings: Iterable[EventSetting], compiled: dict[int, ActiveSetting]) -> None:
        """``compiled`` keeps the compiled settings, by id."""
        self._by_entity: dict[str, list[ActiveSetting]] = {}
        self._applications: dict[str, set[int | None]] = {}  # that settings name, by entity
        self._known: dict[tuple[str, int | None], tuple[ActiveSetting, ...]] = {}
        self.tracked_since: dict[str, int] = {}
        for setting in settings:
            if setting.event_type not in NOTIFICATIONS:  # another version knows it
                continue
            active = compiled.get(setting.id) or ActiveSetting(setting)
            compiled[setting.id] = active
            entity = setting.entity
            self._by_entity.setdefault(entity, []).append(active)
            self._applications.setdefault(entity, set()).add(setting.application_id)
            if setting.live:
                since = setting.active_since_ms
                self.tracked_since[entity] = min(self.tracked_since.get(entity, since), since)

    def active(self, entity: str, application_id: int | None) -> tuple[ActiveSetting, ...]:
        applications = self._applications.get(entity)
        if applications is None:
            return _NONE
        # An application that no setting names is treated like no application.
        application = application_id if application_id in applications else None
        known = self._known.get((entity, application))
        if known is None:
            # A setting that is off still replaces the one of all applications.
            counting = applicable(self._by_entity[entity], application)
            usable = [each for each in counting if each.setting.live and _is_usable(each)]
            known = self._known[entity, application] = tuple(usable)
        return known


def compile_setting(setting: EventSetting) -> ActiveSetting | None:
    """Return the setting with its filter compiled; None when this version does not know its type or its filter."""
    if setting.event_type not in NOTIFICATIONS:
        return None
    active = ActiveSetting(setting)
    return active if _is_usable(active) else None


def _is_usable(active: ActiveSetting) -> bool:
    """Compile the filter of a setting; return whether this version knows all of it."""
    try:
        _ = active.filter
    except InvalidFilterError:
        return False
    return True
