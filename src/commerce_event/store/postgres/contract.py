"""Validation modes, and own event types."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from commerce_event.core.model import ValidationEntry
from commerce_event.store.model import OwnTypeRow
from commerce_event.store.port import EventTypeExistsError, EventTypeUsedError
from commerce_event.store.postgres.cluster import Cluster
from commerce_event.store.postgres.executor import Executor
from commerce_event.store.postgres.sql import Connection, execute, fetch, fetch_value
from commerce_event.store.row_mapping import build


class PostgresContract:
    """Validation modes and own event types. Every change notifies the other nodes."""

    def __init__(self, executor: Executor, cluster: Cluster) -> None:
        self._executor = executor
        self._cluster = cluster

    async def put_validation(self, entry: ValidationEntry) -> int:
        async def work(connection: Connection, version: int) -> None:
            values = (entry.client_id, entry.event_type, entry.mode, version, entry.updated_ms)
            await execute(connection, "put_validation", *values)

        return await self._change(work)

    async def delete_validation(self, client_id: int, event_type: str) -> int:
        async def work(connection: Connection, _version: int) -> None:
            await execute(connection, "delete_validation", client_id, event_type)

        return await self._change(work)

    async def validation(self) -> list[ValidationEntry]:
        rows = await self._executor.read(lambda connection: fetch(connection, "validation"))
        return [build(ValidationEntry, row) for row in rows]

    async def put_own_type(self, row: OwnTypeRow, *, is_new: bool = False) -> int:
        async def work(connection: Connection, version: int) -> None:  # changes of other nodes wait for the version
            if is_new and await fetch(connection, "own_types", [row.name]):
                raise EventTypeExistsError
            saved = msgspec.structs.replace(row, revision=version)
            await execute(connection, "put_own_type", *msgspec.structs.astuple(saved))

        return await self._change(work)

    async def delete_own_type(self, name: str) -> int:
        async def work(connection: Connection, _version: int) -> None:
            if await fetch_value(connection, "has_events_of_type", name):
                raise EventTypeUsedError
            await execute(connection, "delete_own_type", name)
            await execute(connection, "delete_validation_of_type", name)

        return await self._change(work)

    async def own_type_revisions(self) -> dict[str, int]:
        rows = await self._executor.read(lambda connection: fetch(connection, "own_type_revisions"))
        return {row.name: row.revision for row in rows}

    async def own_types(self, names: Sequence[str]) -> list[OwnTypeRow]:
        rows = await self._executor.read(lambda connection: fetch(connection, "own_types", list(names)))
        return [build(OwnTypeRow, row) for row in rows]

    async def _change(self, change: Callable[[Connection, int], Awaitable[None]]) -> int:
        """Do a change with its config version, and return that once it is durable."""

        async def work(connection: Connection) -> int:
            version = int(await fetch_value(connection, "increment_meta", "config_version"))
            await change(connection, version)
            return version

        version = await self._executor.write(work)
        self._cluster.tell("config")
        return version
