"""The tally: what happened in each minute, counted in memory and added to the store every few seconds.

It is for plots: a crash loses the last seconds of it, never of the accounts.
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
_MOST: Final = _LATENCY + len(LATENCY_BOUNDS_MS) + 1  # from here on the largest counts, not the sum
_PENDING, _DEAD_LETTERS, _OLDEST = range(_MOST, _MOST + 3)
_WIDTH: Final = _OLDEST + 1
_STEP: Final = 250  # rows in one commit
_Key = tuple[int, int, int]  # start of the minute, client, endpoint


class ActivityRecorder:
    """Counts for each client and endpoint since the last flush."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: dict[_Key, list[int]] = {}
        self._seen: dict[int, tuple[int, int, int, int]] = {}  # of each endpoint: the minute, and the most seen in it

    def accepted(self, client_id: int) -> None:
        """An event is durable."""
        self._row(client_id, 0)[_ACCEPTED] += 1

    def attempted(self, endpoint: Endpoint, outcome: Outcome, decision: Decision) -> None:
        """An attempt was answered, or failed."""
        row = self._row(endpoint.client_id, endpoint.id)
        row[_DELIVERED if outcome.delivered else _FAILED] += 1
        if decision.state == "dead":
            row[_DEAD] += 1
        if outcome.status is not None:
            row[_LATENCY + bisect_left(LATENCY_BOUNDS_MS, outcome.duration_ms)] += 1

    def queued(self, book: DeliveryCounts) -> None:
        """Take a look at what waits for an endpoint, and what is dead; nothing, and no more than before, is no news."""
        now_ms = self._clock.now_ms()
        age_ms = 0 if book.oldest_due_ms is None else max(0, now_ms - book.oldest_due_ms)
        seen = (now_ms - now_ms % MINUTE_MS, book.pending, book.dead, age_ms)
        minute, *most = self._seen.get(book.endpoint_id, (0, 0, 0, 0))
        if minute != seen[0]:
            most = [0, 0, 0]
        if all(value <= known for value, known in zip(seen[1:], most, strict=True)):
            return
        self._seen[book.endpoint_id] = seen
        row = self._row(book.client_id, book.endpoint_id)
        for column, value in zip((_PENDING, _DEAD_LETTERS, _OLDEST), seen[1:], strict=True):
            row[column] = max(row[column], value)

    async def flush(self, store: Store) -> None:
        """Add what was counted to the store, in steps that let others write in between.

        What cannot be added now is kept for the next time.
        """
        counts, self._counts = self._counts, {}
        keys = list(counts)
        while keys:
            step = keys[-_STEP:]
            try:
                await store.activity.add([_activity(key, counts[key]) for key in step], now_ms=self._clock.now_ms())
            except BaseException:
                self._keep({key: counts[key] for key in keys})
                raise
            del keys[-_STEP:]

    def _keep(self, counts: dict[_Key, list[int]]) -> None:
        for key, row in counts.items():
            kept = self._counts.setdefault(key, [0] * _WIDTH)
            for column, value in enumerate(row):
                kept[column] = kept[column] + value if column < _MOST else max(kept[column], value)

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
        latency=tuple(row[_LATENCY:_MOST]),
        pending=row[_PENDING],
        dead_letters=row[_DEAD_LETTERS],
        oldest_ms=row[_OLDEST],
    )
