"""What happened in each minute and hour, for plots."""

from collections.abc import Sequence

import apsw

from commerce_event.core.model import Scope
from commerce_event.store import row_mapping
from commerce_event.store.model import ACTIVITY_STEPS_S, Activity
from commerce_event.store.sqlite.access import Access
from commerce_event.store.sqlite.sql import as_json, execute, fetch, write_rows


class SqliteActivity:
    """Counts by minute and hour."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def add(self, counts: Sequence[Activity], *, now_ms: int) -> None:
        def work(connection: apsw.Connection) -> None:
            for step_s, kept_s in ACTIVITY_STEPS_S.items():
                rows = []
                for each in counts:
                    start_ms, *others = row_mapping.activity_row(each)
                    rows.append((step_s, start_ms - start_ms % (step_s * 1000), *others))
                write_rows(connection, "add_activity", rows)
                execute(connection, "delete_old_activity", step_s, now_ms - kept_s * 1000)

        await self._access.write(work)

    async def by_step(
        self, scope: Scope, *, step_s: int, since_ms: int, endpoint_id: int | None = None
    ) -> list[Activity]:
        values = (step_s, since_ms, endpoint_id, as_json(scope.sorted_ids))
        return await self._access.read(
            lambda connection: [
                row_mapping.activity(row, client_id=0, endpoint_id=endpoint_id or 0)
                for row in fetch(connection, "activity_by_step", *values)
            ]
        )

    async def by_endpoint(self, scope: Scope, *, step_s: int, since_ms: int) -> list[Activity]:
        values = (step_s, since_ms, as_json(scope.sorted_ids))
        return await self._access.read(
            lambda connection: [
                row_mapping.activity(row, start_ms=since_ms)
                for row in fetch(connection, "activity_by_endpoint", *values)
            ]
        )
