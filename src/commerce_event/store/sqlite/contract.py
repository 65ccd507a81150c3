"""Validation modes, and own event types."""

from collections.abc import Sequence

import apsw
import msgspec

from commerce_event.core.model import ValidationEntry
from commerce_event.store.model import OwnTypeRow
from commerce_event.store.port import EventTypeExistsError, EventTypeUsedError
from commerce_event.store.row_mapping import build
from commerce_event.store.sqlite.access import Access
from commerce_event.store.sqlite.sql import as_json, execute, fetch, fetch_value


class SqliteContract:
    """Validation modes and own event types: small tables, rarely written."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def put_validation(self, entry: ValidationEntry) -> int:
        def work(connection: apsw.Connection) -> int:
            version = int(fetch_value(connection, "increment_meta", "config_version"))
            values = (entry.client_id, entry.event_type, entry.mode, version, entry.updated_ms)
            execute(connection, "put_validation", *values)
            return version

        return await self._access.write(work)

    async def delete_validation(self, client_id: int, event_type: str) -> int:
        def work(connection: apsw.Connection) -> int:
            execute(connection, "delete_validation", client_id, event_type)
            return int(fetch_value(connection, "increment_meta", "config_version"))

        return await self._access.write(work)

    async def validation(self) -> list[ValidationEntry]:
        return await self._access.read(
            lambda connection: [build(ValidationEntry, row) for row in fetch(connection, "validation")]
        )

    async def put_own_type(self, row: OwnTypeRow, *, is_new: bool = False) -> int:
        def work(connection: apsw.Connection) -> int:
            if is_new and list(fetch(connection, "own_types", as_json([row.name]))):
                raise EventTypeExistsError
            version = int(fetch_value(connection, "increment_meta", "config_version"))
            saved = msgspec.structs.replace(row, revision=version)
            execute(connection, "put_own_type", *msgspec.structs.astuple(saved))
            return version

        return await self._access.write(work)

    async def delete_own_type(self, name: str) -> int:
        def work(connection: apsw.Connection) -> int:
            if fetch_value(connection, "has_events_of_type", name):
                raise EventTypeUsedError
            execute(connection, "delete_own_type", name)
            execute(connection, "delete_validation_of_type", name)
            return int(fetch_value(connection, "increment_meta", "config_version"))

        return await self._access.write(work)

    async def own_type_revisions(self) -> dict[str, int]:
        return await self._access.read(
            lambda connection: {row.name: row.revision for row in fetch(connection, "own_type_revisions")}
        )

    async def own_types(self, names: Sequence[str]) -> list[OwnTypeRow]:
        return await self._access.read(
            lambda connection: [build(OwnTypeRow, row) for row in fetch(connection, "own_types", as_json(names))]
        )
