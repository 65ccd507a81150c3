"""What happened in each minute and hour, for plots."""

from collections.abc import Sequence

import apsw

from commerce_event.core.model import Scope
from commerce_event.store import row_mapping
from commerce_event.store.port import ACTIVITY_STEPS_S, Activity
from commerce_event.store.sqlite.sql import as_json, run, write_rows


def add(connection: apsw.Connection, counts: Sequence[Activity], *, now_ms: int) -> None:
    for step_s, kept_s in ACTIVITY_STEPS_S.items():
        write_rows(connection, "add_activity", [_row(each, step_s) for each in counts])
        run(connection, "forget_activity", (step_s, now_ms - kept_s * 1000))


def read(
    connection: apsw.Connection, scope: Scope, *, step_s: int, since_ms: int, endpoint_id: int | None
) -> list[Activity]:
    found = run(connection, "activity", (step_s, since_ms, endpoint_id, as_json(scope.sorted_ids)))
    return [row_mapping.activity(row, endpoint_id=endpoint_id or 0) for row in found]


def read_by_endpoint(connection: apsw.Connection, scope: Scope, *, step_s: int, since_ms: int) -> list[Activity]:
    found = run(connection, "activity_by_endpoint", (step_s, since_ms, as_json(scope.sorted_ids)))
    return [row_mapping.endpoint_activity(row, since_ms=since_ms) for row in found]


def _row(counts: Activity, step_s: int) -> tuple[int, ...]:
    start_ms, *rest = row_mapping.of_activity(counts)
    return (step_s, start_ms - start_ms % (step_s * 1000), *rest)
