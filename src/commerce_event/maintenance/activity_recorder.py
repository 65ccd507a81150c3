"""Record activity: counts of each minute, kept in memory and added to the store every few seconds.

They are for charts: a crash loses the last seconds of them. Delivery counts are never lost.
"""

from bisect import bisect_left
from typing import Final

from commerce_event.core.clock import Clock
from commerce_event.core.delivery import Decision, Outcome
from commerce_event.core.model import Endpoint
from commerce_event.store.model import LATENCY_BOUNDS_MS, Activity, DeliveryCounts
from commerce_event.store.port import Store

MINUTE_MS: Final = 60_000
_ACCEPTED, _DELIVERED, _FAILED, _DEAD, _LATENCY = range(5)
_MAXIMA: Final = _LATENCY + len(LATENCY_BOUNDS_MS) + 1  # columns from here on keep the largest value, not the sum
_PENDING, _DEAD_LETTERS, _OLDEST = range(_MAXIMA, _MAXIMA + 3)
_WIDTH: Final = _OLDEST + 1
_ROWS_PER_COMMIT: Final = 250
_Key = tuple[int, int, int]  # start of the minute, client, endpoint


class ActivityRecorder:
    """The counts of each client and endpoint since the last flush."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: dict[_Key, list[int]] = {}
        self._seen: dict[int, tuple[int, int, int, int]] = {}  # by endpoint: the minute, and the largest values in it

    def accepted(self, client_id: int) -> None:
        """Count an event that was accepted."""
        self._row(client_id, 0)[_ACCEPTED] += 1

    def attempted(self, endpoint: Endpoint, outcome: Outcome, decision: Decision) -> None:
        """Count a finished attempt."""
        row = self._row(endpoint.client_id, endpoint.id)
        row[_DELIVERED if outcome.delivered else _FAILED] += 1
        if decision.state == "dead":
            row[_DEAD] += 1
        if outcome.status is not None:
            row[_LATENCY + bisect_left(LATENCY_BOUNDS_MS, outcome.duration_ms)] += 1

    def queued(self, counts: DeliveryCounts) -> None:
        """Record how many deliveries are pending and dead, when a value is the largest of the minute."""
        now_ms = self._clock.now_ms()
        age_ms = 0 if counts.oldest_due_ms is None else max(0, now_ms - counts.oldest_due_ms)
        seen = (now_ms - now_ms % MINUTE_MS, counts.pending, counts.dead, age_ms)
        minute, *most = self._seen.get(counts.endpoint_id, (0, 0, 0, 0))
        if minute != seen[0]:
            most = [0, 0, 0]
        if all(value <= known for value, known in zip(seen[1:], most, strict=True)):
            return
        self._seen[counts.endpoint_id] = seen
        row = self._row(counts.client_id, counts.endpoint_id)
        for column, value in zip((_PENDING, _DEAD_LETTERS, _OLDEST), seen[1:], strict=True):
            row[column] = max(row[column], value)

    async def flush(self, store: Store) -> None:
        """Add the counts to the store, in steps so that others can write in between.

        Counts that cannot be added are kept for the next flush.
        """
        counts, self._counts = self._counts, {}
        keys = list(counts)
        while keys:
            step = keys[-_ROWS_PER_COMMIT:]
            try:
                await store.activity.add([_activity(key, counts[key]) for key in step], now_ms=self._clock.now_ms())
            except BaseException:
                self._keep({key: counts[key] for key in keys})
                raise
            del keys[-_ROWS_PER_COMMIT:]

    def _keep(self, counts: dict[_Key, list[int]]) -> None:
        for key, row in counts.items():
            kept = self._counts.setdefault(key, [0] * _WIDTH)
            for column, value in enumerate(row):
                kept[column] = kept[column] + value if column < _MAXIMA else max(kept[column], value)

    def _row(self, client_id: int, endpoint_id: int) -> list[int]:
        now_ms = self._clock.now_ms()
        key = (now_ms - now_ms % MINUTE_MS, client_id, endpoint_id)
        row = self._counts.get(key)
        if row is None:
            row = self._counts[key] = [0] * _WIDTH
        return row


def _activity(key: _Key, row: list[int]) -> Activity:
    start_ms, client_id, endpoint_id = key
    return Activity(
        start_ms=start_ms,
        client_id=client_id,
        endpoint_id=endpoint_id,
        accepted=row[_ACCEPTED],
        delivered=row[_DELIVERED],
        failed=row[_FAILED],
        dead=row[_DEAD],
        latency=tuple(row[_LATENCY:_MAXIMA]),
        pending=row[_PENDING],
        dead_letters=row[_DEAD_LETTERS],
        oldest_ms=row[_OLDEST],
    )
