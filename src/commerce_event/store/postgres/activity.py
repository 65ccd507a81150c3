"""What happened in each minute and hour, for plots."""

from collections.abc import Sequence

from commerce_event.core.model import Scope
from commerce_event.store import row_mapping
from commerce_event.store.model import ACTIVITY_STEPS_S, Activity
from commerce_event.store.postgres.executor import Executor
from commerce_event.store.postgres.sql import Connection, columns, execute, fetch


class PostgresActivity:
    """Counts by minute and hour."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def add(self, counts: Sequence[Activity], *, now_ms: int) -> None:
        values = columns([row_mapping.activity_row(each) for each in counts], 21)

        async def work(connection: Connection) -> None:
            for step_s, kept_s in ACTIVITY_STEPS_S.items():
                await execute(connection, "add_activity", step_s, *values)
                await execute(connection, "delete_old_activity", step_s, now_ms - kept_s * 1000)

        await self._executor.write(work)

    async def by_step(
        self, scope: Scope, *, step_s: int, since_ms: int, endpoint_id: int | None = None
    ) -> list[Activity]:
        values = (step_s, since_ms, endpoint_id, scope.sorted_ids)
        rows = await self._executor.read(lambda connection: fetch(connection, "activity_by_step", *values))
        return [row_mapping.activity(row, client_id=0, endpoint_id=endpoint_id or 0) for row in rows]

    async def by_endpoint(self, scope: Scope, *, step_s: int, since_ms: int) -> list[Activity]:
        values = (step_s, since_ms, scope.sorted_ids)
        rows = await self._executor.read(lambda connection: fetch(connection, "activity_by_endpoint", *values))
        return [row_mapping.activity(row, start_ms=since_ms) for row in rows]
