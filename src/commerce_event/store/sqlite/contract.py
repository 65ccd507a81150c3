"""How the contract is applied: validation modes."""

import apsw

from commerce_event.core.model import ValidationEntry
from commerce_event.store.row_mapping import build
from commerce_event.store.sqlite.access import Access
from commerce_event.store.sqlite.sql import execute, fetch, fetch_value


class SqliteContract:
    """Validation modes, read whole."""

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
