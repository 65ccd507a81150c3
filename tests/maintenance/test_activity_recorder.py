"""The activity recorder: what is worth a row, and that nothing counted gets lost between memory and store."""

from typing import cast

import pytest
from stores import START_MS, FakeClock

from commerce_event.maintenance.activity_recorder import MINUTE_MS, ActivityRecorder
from commerce_event.store.model import Activity, DeliveryCounts
from commerce_event.store.port import ActivityStore, StoreUnavailableError


class Rows:
    """A store that takes counts, or refuses from some call on."""

    def __init__(self) -> None:
        self.taken: list[Activity] = []
        self.calls = 0
        self.refuses_at: int | None = None

    async def add(self, rows: list[Activity], *, now_ms: int) -> None:  # noqa: ARG002
        self.calls += 1
        if self.calls == self.refuses_at:
            raise StoreUnavailableError("the disk is full")
        self.taken += rows


def counts(endpoint: int, *, pending: int = 0, dead: int = 0, oldest_due_ms: int | None = None) -> DeliveryCounts:
    return DeliveryCounts(
        endpoint_id=endpoint, client_id=1, matched=pending + dead, delivered=0, dead=dead, cancelled=0,
        pending=pending, oldest_due_ms=oldest_due_ms,
    )  # fmt: skip


async def test_endpoint_for_which_nothing_waits_and_nothing_is_dead_makes_no_row() -> None:
    rows, recorder = Rows(), ActivityRecorder(FakeClock())
    for endpoint in range(1, 100):
        recorder.queued(counts(endpoint))
    await recorder.flush(cast("ActivityStore", rows))

    assert rows.taken == []


async def test_what_was_seen_is_written_once_a_minute_unless_it_grows() -> None:
    clock, rows = FakeClock(), Rows()
    recorder, store = ActivityRecorder(clock), cast("ActivityStore", rows)
    seen = []
    for pending in (3, 3, 2, 5):
        recorder.queued(counts(7, pending=pending))
        await recorder.flush(store)
        seen.append([row.pending for row in rows.taken])
    clock.ms += MINUTE_MS
    recorder.queued(counts(7, pending=2))
    await recorder.flush(store)

    assert seen == [[3], [3], [3], [3, 5]]
    assert [(row.start_ms, row.pending) for row in rows.taken[2:]] == [(START_MS + MINUTE_MS, 2)]


async def test_many_counts_go_in_steps_and_what_was_refused_goes_later() -> None:
    rows, recorder = Rows(), ActivityRecorder(FakeClock())
    for client in range(600):
        recorder.accepted(client)
    rows.refuses_at = 2
    with pytest.raises(StoreUnavailableError):
        await recorder.flush(cast("ActivityStore", rows))
    assert 0 < len(rows.taken) < 600
    recorder.accepted(3)
    await recorder.flush(cast("ActivityStore", rows))

    taken: dict[int, int] = {}
    for row in rows.taken:
        taken[row.client_id] = taken.get(row.client_id, 0) + row.accepted
    assert taken == {client: 2 if client == 3 else 1 for client in range(600)}
