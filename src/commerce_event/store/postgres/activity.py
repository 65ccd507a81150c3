"""What happened in each minute and hour, for plots."""

from collections.abc import Sequence

from commerce_event.core.model import Scope
from commerce_event.store import row_mapping
from commerce_event.store.port import ACTIVITY_STEPS_S, Activity
from commerce_event.store.postgres.sql import Connection, columns, run


async def add(connection: Connection, counts: Sequence[Activity], *, now_ms: int) -> None:
    values = columns([row_mapping.of_activity(each) for each in counts], 21)
    for step_s, kept_s in ACTIVITY_STEPS_S.items():
        await run(connection, "add_activity", step_s, *values)
        await run(connection, "forget_activity", step_s, now_ms - kept_s * 1000)


async def read(
    connection: Connection, scope: Scope, *, step_s: int, since_ms: int, endpoint_id: int | None
) -> list[Activity]:
    found = await run(connection, "activity", step_s, since_ms, endpoint_id, scope.sorted_ids)
    return [row_mapping.activity(row, endpoint_id=endpoint_id or 0) for row in found]


async def read_by_endpoint(connection: Connection, scope: Scope, *, step_s: int, since_ms: int) -> list[Activity]:
    found = await run(connection, "activity_by_endpoint", step_s, since_ms, scope.sorted_ids)
    return [row_mapping.endpoint_activity(row, since_ms=since_ms) for row in found]
