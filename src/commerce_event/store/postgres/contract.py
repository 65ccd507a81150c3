"""How the contract is applied: validation modes."""

from collections.abc import Awaitable, Callable

from commerce_event.core.model import ValidationEntry
from commerce_event.store.postgres.cluster import Cluster
from commerce_event.store.postgres.executor import Executor
from commerce_event.store.postgres.sql import Connection, execute, fetch, fetch_value
from commerce_event.store.row_mapping import build


class PostgresContract:
    """Validation modes, read whole. Every change tells the other nodes."""

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

    async def _change(self, change: Callable[[Connection, int], Awaitable[None]]) -> int:
        """Do a change with its config version, and return that once it is durable."""

        async def work(connection: Connection) -> int:
            version = int(await fetch_value(connection, "increment_meta", "config_version"))
            await change(connection, version)
            return version

        version = await self._executor.write(work)
        self._cluster.tell("config")
        return version
