"""Endpoints, keys, ended sessions and names of clients: small tables, seldom written, read whole."""

from collections.abc import Mapping
from typing import Final

import apsw
import msgspec

from commerce_event.core.model import Key
from commerce_event.store import row_mapping
from commerce_event.store.model import REVISIONS_MAX, EndpointRow
from commerce_event.store.port import EndpointChangedError
from commerce_event.store.sqlite.access import Access
from commerce_event.store.sqlite.sql import as_json, execute, fetch, fetch_column, fetch_value, write_rows


class SqliteRegistry:
    """The registry."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def put_endpoint(self, row: EndpointRow, *, expected_revision: int | None = None) -> int:
        def work(connection: apsw.Connection) -> int:
            present = fetch_value(connection, "endpoint_revision", row.id)
            if expected_revision is not None and present != expected_revision:
                raise EndpointChangedError("another node has changed the endpoint")
            version = int(fetch_value(connection, "increment_meta", "config_version"))
            config = row.config.decode()
            times = (row.created_ms, row.updated_ms, row.deleted_ms)
            execute(connection, "put_endpoint", row.id, row.client_id, version, *times, config, row.sealed)
            execute(connection, "insert_endpoint_revision", row.id, version, row.client_id, *times, config)
            return version

        return await self._access.write(work)

    async def endpoints(self, *, since_version: int = 0) -> list[EndpointRow]:
        return await self._access.read(lambda connection: endpoints(connection, since_version))

    async def endpoint_revisions(self, client_id: int, config_version: int) -> list[EndpointRow]:
        return await self._access.read(
            lambda connection: [
                row_mapping.endpoint(row) for row in fetch(connection, "endpoint_revisions", client_id, config_version)
            ]
        )

    async def endpoint_at(self, endpoint_id: int, at_ms: int) -> EndpointRow | None:
        rows = await self._access.read(
            lambda connection: list(fetch(connection, "endpoint_at", endpoint_id, at_ms, REVISIONS_MAX))
        )
        return row_mapping.endpoint(rows[0]) if rows else None

    async def config_version(self) -> int:
        return await self._access.read_for_queue(
            lambda connection: int(fetch_value(connection, "meta", "config_version"))
        )

    async def put_key(self, key: Key) -> int:
        def work(connection: apsw.Connection) -> int:
            execute(connection, "put_key", *row_mapping.key_row(key, as_json(key.client_ids)))
            return int(fetch_value(connection, "increment_meta", "config_version"))

        return await self._access.write(work)

    async def keys(self) -> list[Key]:
        def work(connection: apsw.Connection) -> list[Key]:
            rows = list(fetch(connection, "keys"))
            clients = [None if row.client_ids is None else _CLIENTS.decode(row.client_ids) for row in rows]
            return [row_mapping.key(row, client_ids) for row, client_ids in zip(rows, clients, strict=True)]

        return await self._access.read(work)

    async def note_key_uses(self, uses: Mapping[int, int]) -> None:
        await self._access.write(lambda connection: write_rows(connection, "note_key_uses", list(uses.items())))

    async def key_uses(self) -> dict[int, int]:
        return await self._access.read(
            lambda connection: {row.key_id: row.used_ms for row in fetch(connection, "key_uses")}
        )

    async def put_client_name(self, client_id: int, name: str | None) -> int:
        def work(connection: apsw.Connection) -> int:
            if name is None:
                execute(connection, "delete_client_name", client_id)
            else:
                execute(connection, "put_client_name", client_id, name)
            return int(fetch_value(connection, "increment_meta", "config_version"))

        return await self._access.write(work)

    async def client_names(self) -> dict[int, str]:
        return await self._access.read(
            lambda connection: {row.client_id: row.name for row in fetch(connection, "client_names")}
        )

    async def end_session(self, session_id: str, *, ends_ms: int, now_ms: int) -> int:
        def work(connection: apsw.Connection) -> int:
            execute(connection, "delete_old_sessions", now_ms)
            execute(connection, "end_session", session_id, ends_ms)
            return int(fetch_value(connection, "increment_meta", "config_version"))

        return await self._access.write(work)

    async def ended_sessions(self) -> frozenset[str]:
        return await self._access.read(lambda connection: frozenset(fetch_column(connection, "ended_sessions")))


_CLIENTS: Final = msgspec.json.Decoder(list[int])


def endpoints(connection: apsw.Connection, since_version: int = 0) -> list[EndpointRow]:
    return [row_mapping.endpoint(row) for row in fetch(connection, "endpoints", since_version)]
