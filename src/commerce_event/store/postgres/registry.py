"""Endpoints, keys, ended sessions and names of clients: small tables, seldom written, read whole."""

from collections.abc import Mapping

from commerce_event.core.model import Key
from commerce_event.store import row_mapping
from commerce_event.store.model import REVISIONS_MAX, EndpointRow
from commerce_event.store.port import EndpointChangedError
from commerce_event.store.postgres.cluster import Cluster
from commerce_event.store.postgres.executor import Executor
from commerce_event.store.postgres.sql import Connection, columns, execute, fetch, fetch_column, fetch_value


class PostgresRegistry:
    """The registry. Every change tells the other nodes."""

    def __init__(self, executor: Executor, cluster: Cluster) -> None:
        self._executor = executor
        self._cluster = cluster

    async def put_endpoint(self, row: EndpointRow, *, expected_revision: int | None = None) -> int:
        async def work(connection: Connection) -> int:
            if expected_revision is not None:
                present = await fetch_value(connection, "endpoint_revision_for_update", row.id)
                if present != expected_revision:
                    raise EndpointChangedError("another node has changed the endpoint")
            version = int(await fetch_value(connection, "increment_meta", "config_version"))
            config = row.config.decode()
            times = (row.created_ms, row.updated_ms, row.deleted_ms)
            await execute(connection, "put_endpoint", row.id, row.client_id, version, *times, config, row.sealed)
            await execute(connection, "insert_endpoint_revision", row.id, version, row.client_id, *times, config)
            return version

        version = await self._executor.write(work)
        self._cluster.tell("config")
        return version

    async def endpoints(self, *, since_version: int = 0) -> list[EndpointRow]:
        rows = await self._executor.read(lambda connection: fetch(connection, "endpoints", since_version))
        return [row_mapping.endpoint(row) for row in rows]

    async def endpoint_revisions(self, client_id: int, config_version: int) -> list[EndpointRow]:
        rows = await self._executor.read(
            lambda connection: fetch(connection, "endpoint_revisions", client_id, config_version)
        )
        return [row_mapping.endpoint(row) for row in rows]

    async def endpoint_at(self, endpoint_id: int, at_ms: int) -> EndpointRow | None:
        rows = await self._executor.read(
            lambda connection: fetch(connection, "endpoint_at", endpoint_id, at_ms, REVISIONS_MAX)
        )
        return row_mapping.endpoint(rows[0]) if rows else None

    async def config_version(self) -> int:
        return int(await self._executor.read(lambda connection: fetch_value(connection, "meta", "config_version")))

    async def put_key(self, key: Key) -> int:
        clients = None if key.client_ids is None else list(key.client_ids)
        values = row_mapping.key_row(key, clients)

        async def work(connection: Connection) -> int:
            version = int(await fetch_value(connection, "increment_meta", "config_version"))
            await execute(connection, "put_key", *values)
            return version

        version = await self._executor.write(work)
        self._cluster.tell("config")
        return version

    async def keys(self) -> list[Key]:
        rows = await self._executor.read(lambda connection: fetch(connection, "keys"))
        return [row_mapping.key(row, row.client_ids) for row in rows]

    async def note_key_uses(self, uses: Mapping[int, int]) -> None:
        rows = columns(sorted(uses.items()), 2)
        await self._executor.run(lambda connection: execute(connection, "note_key_uses", *rows))

    async def key_uses(self) -> dict[int, int]:
        rows = await self._executor.read(lambda connection: fetch(connection, "key_uses"))
        return {row.key_id: row.used_ms for row in rows}

    async def put_client_name(self, client_id: int, name: str | None) -> int:
        async def work(connection: Connection) -> int:
            version = int(await fetch_value(connection, "increment_meta", "config_version"))
            if name is None:
                await execute(connection, "delete_client_name", client_id)
            else:
                await execute(connection, "put_client_name", client_id, name)
            return version

        version = await self._executor.write(work)
        self._cluster.tell("config")
        return version

    async def client_names(self) -> dict[int, str]:
        rows = await self._executor.read(lambda connection: fetch(connection, "client_names"))
        return {row.client_id: row.name for row in rows}

    async def end_session(self, session_id: str, *, ends_ms: int, now_ms: int) -> int:
        async def work(connection: Connection) -> int:
            version = int(await fetch_value(connection, "increment_meta", "config_version"))
            await execute(connection, "delete_old_sessions", now_ms)
            await execute(connection, "end_session", session_id, ends_ms)
            return version

        version = await self._executor.write(work)
        self._cluster.tell("config")
        return version

    async def ended_sessions(self) -> frozenset[str]:
        return frozenset(await self._executor.read(lambda connection: fetch_column(connection, "ended_sessions")))
