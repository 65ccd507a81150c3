"""Event settings and change sources in memory, where every data change looks them up."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from commerce_event.core.changes.model import ChangeSource, EventSetting
from commerce_event.core.changes.rules import ActiveSetting
from commerce_event.core.changes.setting_table import SettingTable
from commerce_event.core.model import Scope
from commerce_event.store.port import ChangeSettingStore, SettingChangedError, SourceExistsError


class ReadChangeSettings(msgspec.Struct, frozen=True):
    """What has been read from the store and is not in use yet."""

    settings: Sequence[EventSetting]
    sources: dict[str, ChangeSource]  # by name
    is_complete: bool  # the settings are all there are, not only those that have changed


class LimitReachedError(Exception):
    """The client has as many as it may have; nothing was stored."""


class ChangeSettings:
    """The event settings and change sources of all clients. The registry reads them, and passes its version."""

    def __init__(
        self,
        store: ChangeSettingStore,
        lock: asyncio.Lock,
        advance: Callable[[int], None],
        refresh: Callable[[], Awaitable[None]],
    ) -> None:
        """``lock`` is held from reading to writing a change.

        ``advance`` gets the version after a change, ``refresh`` reads what other nodes changed; the lock is held then.
        """
        self._store = store
        self._lock = lock
        self._advance = advance
        self._refresh = refresh
        self._table = SettingTable()
        self._sources: dict[str, ChangeSource] = {}

    async def read(self, *, since_version: int) -> ReadChangeSettings:
        """Read what changed after that config version; everything for 0."""
        settings = await self._store.settings(since_version=since_version)
        return ReadChangeSettings(
            settings, await self._read_sources(self._sources if since_version else {}), not since_version
        )

    async def _read_sources(self, known: Mapping[str, ChangeSource]) -> dict[str, ChangeSource]:
        """Return the sources by name; read only those that have changed, since one may have many tables."""
        revisions = await self._store.source_revisions()
        found = {name: source for name, source in known.items() if revisions.get(name) == source.revision}
        changed = [name for name in revisions if name not in found]
        if changed:
            found |= {source.name: source for source in await self._store.sources(changed)}
        return dict(sorted(found.items()))

    def use(self, read: ReadChangeSettings) -> None:
        """Use what was read from now on."""
        if read.is_complete:
            self._table = SettingTable(read.settings)
        else:
            for setting in read.settings:
                self._table.put(setting)
        self._sources = read.sources

    # -- settings

    def active(self, client_id: int, entity: str, application_id: int | None) -> Sequence[ActiveSetting]:
        """Return the settings that are on and count: the same object until a setting of the client changes."""
        return self._table.active(client_id, entity, application_id)

    def tracked_since(self, client_id: int, entity: str) -> int | None:
        """Return since when (ms since 1970) changes of the entity are tracked; None when no setting is on for it."""
        return self._table.tracked_since(client_id, entity)

    def settings(self, scope: Scope) -> list[EventSetting]:
        """Return the settings in scope, oldest first, without deleted ones."""
        if scope.client_ids is None:
            return self._table.all()
        found = [setting for client_id in scope.client_ids for setting in self._table.of_client(client_id)]
        return sorted(found, key=lambda setting: setting.id)

    def setting_in(self, scope: Scope, setting_id: int) -> EventSetting | None:
        """Return a setting in scope; None for a deleted one."""
        setting = self._table.get(setting_id)
        return setting if setting is not None and scope.allows(setting.client_id) else None

    def setting_for(self, setting: EventSetting) -> EventSetting | None:
        """Return the setting of the same client, application, type and entity."""
        same = [each for each in self._table.of_client(setting.client_id) if _subject(each) == _subject(setting)]
        return same[0] if same else None

    async def add_setting(self, setting: EventSetting, *, limit: int) -> EventSetting:
        """Store a new setting and return it with its revision.

        Raises LimitReachedError when its client already has ``limit``, SettingExistsError when it has one of that
        application, type and entity.
        """
        async with self._lock:
            await self._refresh()
            if len(self._table.of_client(setting.client_id)) >= limit:
                raise LimitReachedError
            return await self._put(setting)

    async def change_setting(
        self, setting_id: int, changed: Callable[[EventSetting], EventSetting]
    ) -> EventSetting | None:
        """Store the result of ``changed`` and return it; None when the setting is unknown or deleted.

        When ``changed`` raises, nothing is stored and the error is passed on. When another node changes the setting in
        between, ``changed`` is called again with the new setting.
        """
        async with self._lock:
            while True:
                setting = self._table.get(setting_id)
                if setting is None:
                    return None
                try:
                    return await self._put(changed(setting), expected_revision=setting.revision)
                except SettingChangedError:
                    await self._refresh()

    async def delete_setting(self, setting_id: int, now_ms: int) -> EventSetting | None:
        """Mark a setting as deleted and return it; its past revisions stay readable."""
        return await self.change_setting(
            setting_id, lambda setting: msgspec.structs.replace(setting, deleted_ms=now_ms, updated_ms=now_ms)
        )

    async def _put(self, setting: EventSetting, *, expected_revision: int | None = None) -> EventSetting:
        version = await self._store.put_setting(setting, expected_revision=expected_revision)
        saved = msgspec.structs.replace(setting, revision=version)
        self._table.put(saved)
        self._advance(version)
        return saved

    # -- sources

    def sources(self, scope: Scope) -> list[ChangeSource]:
        """Return the sources in scope by name; those that take the client from a column only for every client."""
        return [source for source in self._sources.values() if scope.allows(source.client_id)]

    def sources_for(self, client_id: int) -> list[ChangeSource]:
        """Return the sources that may have a client's changes: its own, and those with the client in a column."""
        return [source for source in self._sources.values() if source.client_id in {client_id, None}]

    def source(self, name: str) -> ChangeSource | None:
        return self._sources.get(name)

    async def put_source(
        self, name: str, changed: Callable[[ChangeSource | None], ChangeSource], *, limit: int
    ) -> ChangeSource:
        """Store the result of ``changed``, which gets the source of that name or None; return it with its revision.

        When ``changed`` raises, nothing is stored and the error is passed on. Raises LimitReachedError when a source is
        new and its client already has ``limit``; those that take the client from a column are counted together.
        """
        async with self._lock:
            while True:
                await self._refresh()
                found = self._sources.get(name)
                source = changed(found)
                others = [each for each in self._sources.values() if each.name != name]
                if len([each for each in others if each.client_id == source.client_id]) >= limit:
                    raise LimitReachedError
                try:
                    version = await self._store.put_source(source, is_new=found is None)
                except SourceExistsError:  # another node was first
                    continue
                saved = msgspec.structs.replace(source, revision=version)
                self._sources = dict(sorted((self._sources | {name: saved}).items()))
                self._advance(version)
                return saved

    async def delete_source(self, name: str) -> None:
        """Delete a source with its position."""
        async with self._lock:
            version = await self._store.delete_source(name)
            self._sources = {each: source for each, source in self._sources.items() if each != name}
            self._advance(version)


def _subject(setting: EventSetting) -> tuple[int, int | None, str, str]:
    """Return what there is only one setting of."""
    return setting.client_id, setting.application_id, setting.event_type, setting.entity
