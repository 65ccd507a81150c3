"""The tally: what happened in each minute, counted in memory and added to the store every few seconds.

It is for plots: a crash loses the last seconds of it, never of the accounts.
"""

from bisect import bisect_left
from typing import Final

from commerce_event.core.clock import Clock
from commerce_event.core.delivery import Decision, Outcome
from commerce_event.core.model import Endpoint
from commerce_event.store.port import LATENCY_BOUNDS_MS, Activity, Book, Store

MINUTE_MS: Final = 60_000
_ACCEPTED, _DELIVERED, _FAILED, _DEAD, _LATENCY = range(5)
_MOST: Final = _LATENCY + len(LATENCY_BOUNDS_MS) + 1  # from here on the largest counts, not the sum
_PENDING, _DEAD_LETTERS, _OLDEST = range(_MOST, _MOST + 3)
_WIDTH: Final = _OLDEST + 1


class Tally:
    """Counts for each client and endpoint since the last flush."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: dict[tuple[int, int, int], list[int]] = {}

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

    def queued(self, book: Book) -> None:
        """Take a look at what waits for an endpoint, and what is dead."""
        row = self._row(book.client_id, book.endpoint_id)
        age_ms = 0 if book.oldest_due_ms is None else max(0, self._clock.now_ms() - book.oldest_due_ms)
        for column, value in ((_PENDING, book.pending), (_DEAD_LETTERS, book.dead), (_OLDEST, age_ms)):
            row[column] = max(row[column], value)

    async def flush(self, store: Store) -> None:
        """Add what was counted to the store; what cannot be added now is kept for the next time."""
        counts, self._counts = self._counts, {}
        rows = [
            Activity(
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
            for (start_ms, client_id, endpoint_id), row in counts.items()
        ]
        if not rows:
            return
        try:
            await store.add_activity(rows, now_ms=self._clock.now_ms())
        except BaseException:
            for key, row in counts.items():
                kept = self._counts.setdefault(key, [0] * _WIDTH)
                for column, value in enumerate(row):
                    kept[column] = kept[column] + value if column < _MOST else max(kept[column], value)
            raise

    def _row(self, client_id: int, endpoint_id: int) -> list[int]:
        now_ms = self._clock.now_ms()
        key = (now_ms - now_ms % MINUTE_MS, client_id, endpoint_id)
        row = self._counts.get(key)
        if row is None:
            row = self._counts[key] = [0] * _WIDTH
        return row
