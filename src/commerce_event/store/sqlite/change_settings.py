"""Event settings and change sources: small tables, rarely written."""

from collections.abc import Callable, Sequence

import apsw
import msgspec

from commerce_event.core.changes.model import ChangeSource, EventSetting, SourceState
from commerce_event.store import change_rows
from commerce_event.store.port import SettingChangedError, SettingExistsError, SourceExistsError
from commerce_event.store.sqlite.access import Access
from commerce_event.store.sqlite.sql import as_json, execute, fetch, fetch_value, write_rows


class SqliteChangeSettings:
    """The event settings and change sources."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def put_setting(self, setting: EventSetting, *, expected_revision: int | None = None) -> int:
        def work(connection: apsw.Connection, version: int) -> None:
            if expected_revision is not None:
                present = fetch_value(connection, "event_setting_revision", setting.id)
                if present != expected_revision:
                    raise SettingChangedError
            names = (setting.client_id, setting.event_type, setting.entity, setting.application_id, setting.id)
            if setting.deleted_ms is None and fetch_value(connection, "has_other_event_setting", *names):
                raise SettingExistsError
            row = change_rows.setting_row(msgspec.structs.replace(setting, revision=version))
            execute(connection, "put_event_setting", *row)
            execute(connection, "insert_event_setting_revision", setting.id, version, setting.client_id, row[-1])

        return await self._change(work)

    async def settings(self, *, since_version: int = 0) -> list[EventSetting]:
        return await self._access.read(
            lambda connection: [change_rows.setting(row) for row in fetch(connection, "event_settings", since_version)]
        )

    async def settings_at(self, client_id: int, config_version: int) -> list[EventSetting]:
        return await self._access.read(
            lambda connection: [
                change_rows.setting(row) for row in fetch(connection, "event_settings_at", client_id, config_version)
            ]
        )

    async def put_source(self, source: ChangeSource, *, is_new: bool = False) -> int:
        def work(connection: apsw.Connection, version: int) -> None:
            if is_new:
                if fetch_value(connection, "has_change_source", source.name):
                    raise SourceExistsError
                execute(connection, "delete_source_state", source.name)  # of a former source
            row = change_rows.source_row(msgspec.structs.replace(source, revision=version))
            execute(connection, "put_change_source", *row)

        return await self._change(work)

    async def delete_source(self, name: str) -> int:
        def work(connection: apsw.Connection, _version: int) -> None:
            execute(connection, "delete_change_source", name)
            execute(connection, "delete_source_state", name)

        return await self._change(work)

    async def source_revisions(self) -> dict[str, int]:
        return await self._access.read(
            lambda connection: {row.name: row.revision for row in fetch(connection, "change_source_revisions")}
        )

    async def sources(self, names: Sequence[str] | None = None) -> list[ChangeSource]:
        wanted = None if names is None else as_json(names)
        return await self._access.read(
            lambda connection: [change_rows.source(row) for row in fetch(connection, "change_sources", wanted)]
        )

    async def source_states(self) -> dict[str, SourceState]:
        return await self._access.read(
            lambda connection: {
                row.source: SourceState(position=row.position, report=row.report, reported_ms=row.reported_ms)
                for row in fetch(connection, "source_states")
            }
        )

    async def report_source(self, name: str, report: str, *, now_ms: int) -> None:
        await self._access.write(lambda connection: execute(connection, "put_source_report", name, report, now_ms))

    async def reset_position(self, name: str, position: str | None) -> None:
        await self._access.write(lambda connection: write_rows(connection, "put_source_positions", [(name, position)]))

    async def _change(self, change: Callable[[apsw.Connection, int], None]) -> int:
        """Do a change with its config version, and return that once it is durable."""

        def work(connection: apsw.Connection) -> int:
            version = int(fetch_value(connection, "increment_meta", "config_version"))
            change(connection, version)
            return version

        return await self._access.write(work)
