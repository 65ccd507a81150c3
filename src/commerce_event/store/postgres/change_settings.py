"""Event settings and change sources: small tables, rarely written."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from commerce_event.core.changes.model import ChangeSource, EventSetting, SourceState
from commerce_event.store import change_rows
from commerce_event.store.port import SettingChangedError, SettingExistsError, SourceExistsError
from commerce_event.store.postgres.cluster import Cluster
from commerce_event.store.postgres.executor import Executor
from commerce_event.store.postgres.sql import Connection, execute, fetch, fetch_value


class PostgresChangeSettings:
    """The event settings and change sources. Every change notifies the other nodes."""

    def __init__(self, executor: Executor, cluster: Cluster) -> None:
        self._executor = executor
        self._cluster = cluster

    async def put_setting(self, setting: EventSetting, *, expected_revision: int | None = None) -> int:
        async def work(connection: Connection, version: int) -> None:  # changes of other nodes wait for the version
            if expected_revision is not None:
                present = await fetch_value(connection, "event_setting_revision", setting.id)
                if present != expected_revision:
                    raise SettingChangedError
            names = (setting.client_id, setting.event_type, setting.entity, setting.application_id, setting.id)
            if setting.deleted_ms is None and await fetch_value(connection, "has_other_event_setting", *names):
                raise SettingExistsError
            row = change_rows.setting_row(msgspec.structs.replace(setting, revision=version))
            await execute(connection, "put_event_setting", *row)
            await execute(connection, "insert_event_setting_revision", setting.id, version, setting.client_id, row[-1])

        return await self._change(work)

    async def settings(self, *, since_version: int = 0) -> list[EventSetting]:
        rows = await self._executor.read(lambda connection: fetch(connection, "event_settings", since_version))
        return [change_rows.setting(row) for row in rows]

    async def settings_at(self, client_id: int, config_version: int) -> list[EventSetting]:
        rows = await self._executor.read(
            lambda connection: fetch(connection, "event_settings_at", client_id, config_version)
        )
        return [change_rows.setting(row) for row in rows]

    async def put_source(self, source: ChangeSource, *, is_new: bool = False) -> int:
        async def work(connection: Connection, version: int) -> None:  # changes of other nodes wait for the version
            if is_new:
                if await fetch_value(connection, "has_change_source", source.name):
                    raise SourceExistsError
                await execute(connection, "delete_source_state", source.name)  # of a former source
            row = change_rows.source_row(msgspec.structs.replace(source, revision=version))
            await execute(connection, "put_change_source", *row)

        return await self._change(work)

    async def delete_source(self, name: str) -> int:
        async def work(connection: Connection, _version: int) -> None:
            await execute(connection, "delete_change_source", name)
            await execute(connection, "delete_source_state", name)

        return await self._change(work)

    async def source_revisions(self) -> dict[str, int]:
        rows = await self._executor.read(lambda connection: fetch(connection, "change_source_revisions"))
        return {row.name: row.revision for row in rows}

    async def sources(self, names: Sequence[str] | None = None) -> list[ChangeSource]:
        wanted = None if names is None else list(names)
        rows = await self._executor.read(lambda connection: fetch(connection, "change_sources", wanted))
        return [change_rows.source(row) for row in rows]

    async def source_states(self) -> dict[str, SourceState]:
        rows = await self._executor.read(lambda connection: fetch(connection, "source_states"))
        return {
            row.source: SourceState(position=row.position, report=row.report, reported_ms=row.reported_ms)
            for row in rows
        }

    async def report_source(self, name: str, report: str, *, now_ms: int) -> None:
        await self._executor.write(lambda connection: execute(connection, "put_source_report", name, report, now_ms))

    async def reset_position(self, name: str, position: str | None) -> None:
        await self._executor.write(lambda connection: execute(connection, "put_source_positions", [name], [position]))

    async def _change(self, change: Callable[[Connection, int], Awaitable[None]]) -> int:
        """Do a change with its config version, and return that once it is durable."""

        async def work(connection: Connection) -> int:
            version = int(await fetch_value(connection, "increment_meta", "config_version"))
            await change(connection, version)
            return version

        version = await self._executor.write(work)
        self._cluster.tell("config")
        return version
