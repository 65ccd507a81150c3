"""What happened in each minute and hour, for plots."""

from collections.abc import Sequence

import apsw
import msgspec

from commerce_event.core.model import Scope
from commerce_event.store.port import ACTIVITY_STEPS_S, Activity
from commerce_event.store.sqlite.sql import run, write_rows


def add(connection: apsw.Connection, rows: Sequence[Activity], *, now_ms: int) -> None:
    for step_s, kept_s in ACTIVITY_STEPS_S.items():
        write_rows(connection, "add_activity", [_row(row, step_s) for row in rows])
        run(connection, "forget_activity", (step_s, now_ms - kept_s * 1000))


def read(
    connection: apsw.Connection, scope: Scope, *, step_s: int, since_ms: int, endpoint_id: int | None
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
        for start_ms, accepted, delivered, failed, dead, *latency, pending, dead_letters, oldest_ms in run(
            connection, "activity", (step_s, since_ms, endpoint_id, _clients(scope))
        )
    ]


def read_by_endpoint(connection: apsw.Connection, scope: Scope, *, step_s: int, since_ms: int) -> list[Activity]:
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
        for endpoint_id, client_id, accepted, delivered, failed, dead, *latency in run(
            connection, "activity_by_endpoint", (step_s, since_ms, _clients(scope))
        )
    ]


def _clients(scope: Scope) -> str | None:
    return None if scope.client_ids is None else msgspec.json.encode(sorted(scope.client_ids)).decode()


def _row(row: Activity, step_s: int) -> tuple[int, ...]:
    start_ms = row.start_ms - row.start_ms % (step_s * 1000)
    counts = (row.accepted, row.delivered, row.failed, row.dead, *row.latency)
    most = (row.pending, row.dead_letters, row.oldest_ms)
    return (step_s, start_ms, row.client_id, row.endpoint_id, *counts, *most)
