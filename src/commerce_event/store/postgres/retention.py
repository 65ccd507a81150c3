"""Retention: events past their time go a week at a time, or one by one; every step is a commit of its own."""

from typing import Final

from commerce_event.core.clock import Clock
from commerce_event.core.ids import at_time
from commerce_event.store.postgres import maintenance, partitions
from commerce_event.store.postgres.executor import Calls
from commerce_event.store.postgres.partitions import Week

_START: Final = 0


class Retention:
    """Deletes old events."""

    def __init__(self, clock: Clock, calls: Calls) -> None:
        self._clock = clock
        self._calls = calls
        self._pass_ms = 0  # which time the present pass is about, and how far it got
        self._looked_to = _START

    async def expire(self, before_ms: int, limit: int) -> int:
        """Drop one whole week if one is past, else delete up to ``limit`` events; return how many events went."""
        return await self._drop_week(before_ms) or await self._delete_some(before_ms, limit)

    async def _drop_week(self, before_ms: int) -> int:
        for week in await self._calls.look(lambda c: partitions.unneeded(c, before_id=at_time(before_ms))):
            events = await self._forget_keys(week)
            if await self._drop(week) and events:
                return events
        return 0

    async def _forget_keys(self, week: Week) -> int:
        """Return how many events the week has. Done again after a break, it finds nothing to do and goes on."""
        events, after_id = 0, week.first_id - 1
        while some := await self._forget_some(week, after_id):
            count, after_id = some
            events += count
        return events

    async def _forget_some(self, week: Week, after_id: int) -> tuple[int, int] | None:
        return await self._calls.step(lambda c: partitions.forget_keys(c, week, after_id))

    async def _drop(self, week: Week) -> bool:
        return await self._calls.step(lambda c: partitions.drop(c, week))

    async def _delete_some(self, before_ms: int, limit: int) -> int:
        if before_ms != self._pass_ms:
            self._pass_ms, self._looked_to = before_ms, _START
        while ids := await self._expired(before_ms, limit):
            deleted = await self._delete(ids)
            # The next call goes on behind these: what is older is still needed. At the end it begins anew.
            self._looked_to = ids[-1] if len(ids) == limit else _START
            if deleted or len(ids) < limit:
                return deleted
        self._looked_to = _START
        return 0

    async def _expired(self, before_ms: int, limit: int) -> list[int]:
        now_ms, after_id = self._clock.now_ms(), self._looked_to
        return await self._calls.look(
            lambda c: maintenance.expired(c, before_ms=before_ms, after_id=after_id, limit=limit, now_ms=now_ms)
        )

    async def _delete(self, ids: list[int]) -> int:
        return await self._calls.change(lambda c: maintenance.delete(c, ids))
