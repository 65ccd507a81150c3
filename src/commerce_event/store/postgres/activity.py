"""What happened in each minute and hour, for plots."""

from collections.abc import Sequence

from commerce_event.core.model import Scope
from commerce_event.store.port import ACTIVITY_STEPS_S, Activity
from commerce_event.store.postgres.sql import Connection, columns, run


async def add(connection: Connection, rows: Sequence[Activity], *, now_ms: int) -> None:
    counts = columns([_row(row) for row in rows], 21)
    for step_s, kept_s in ACTIVITY_STEPS_S.items():
        await run(connection, "add_activity", step_s, *counts)
        await run(connection, "forget_activity", step_s, now_ms - kept_s * 1000)


async def read(
    connection: Connection, scope: Scope, *, step_s: int, since_ms: int, endpoint_id: int | None
) -> list[Activity]:
    return [
        Activity(
            start_ms=start_ms,
            client_id=0,
            endpoint_id=endpoint_id or 0,
            accepted=accepted,
            delivered=delivered,
            failed=failed,
            dead=dead,
            latency=tuple(latency),
            pending=pending,
            dead_letters=dead_letters,
            oldest_ms=oldest_ms,
        )
        for start_ms, accepted, delivered, failed, dead, *latency, pending, dead_letters, oldest_ms in await run(
            connection, "activity", step_s, since_ms, endpoint_id, _clients(scope)
        )
    ]


async def read_by_endpoint(connection: Connection, scope: Scope, *, step_s: int, since_ms: int) -> list[Activity]:
    return [
        Activity(
            start_ms=since_ms,
            client_id=client_id,
            endpoint_id=endpoint_id,
            accepted=accepted,
            delivered=delivered,
            failed=failed,
            dead=dead,
            latency=tuple(latency),
        )
        for endpoint_id, client_id, accepted, delivered, failed, dead, *latency in await run(
            connection, "activity_by_endpoint", step_s, since_ms, _clients(scope)
        )
    ]


def _clients(scope: Scope) -> list[int] | None:
    return None if scope.client_ids is None else sorted(scope.client_ids)


def _row(row: Activity) -> tuple[int, ...]:
    counts = (row.accepted, row.delivered, row.failed, row.dead, *row.latency)
    return (row.start_ms, row.client_id, row.endpoint_id, *counts, row.pending, row.dead_letters, row.oldest_ms)
