"""Verify the delivery counts: recount pending deliveries in the queue, and check that the counts add up."""

from typing import Final

import msgspec
import structlog

from commerce_event.core.clock import Clock
from commerce_event.core.model import Scope
from commerce_event.maintenance.activity_recorder import ActivityRecorder
from commerce_event.store.model import DeliveryCounts
from commerce_event.store.port import Store

_EVENTS_PER_STEP: Final = 2_000

log = structlog.get_logger(__name__)


class CountsReport(msgspec.Struct, frozen=True):
    """The result of a recount: all counts, and the events whose deliveries do not add up."""

    counted_ms: int
    counts: tuple[DeliveryCounts, ...]
    wrong_events: tuple[int, ...]

    @property
    def balanced(self) -> bool:
        return not self.wrong_events and all(each.difference == 0 for each in self.counts)


class CountsVerifier:
    """Verifies all counts again and again. ``report`` is the last result, None before the first."""

    def __init__(self, store: Store, clock: Clock, recorder: ActivityRecorder) -> None:
        self._store = store
        self._clock = clock
        self._recorder = recorder
        self._verified_to_id = 0
        self._wrong_events: dict[int, None] = {}
        self.report: CountsReport | None = None

    async def verify(self) -> None:
        """Recount what is pending, compare the counts, and verify the next events of the journal."""
        found = await self._store.maintenance.verify_counts(after_id=self._verified_to_id, limit=_EVENTS_PER_STEP)
        self._verified_to_id = found.cursor
        self._wrong_events.update(dict.fromkeys(found.wrong))
        counts = tuple(await self._store.history.delivery_counts(Scope.everyone(), recount=True))
        for each in counts:
            self._recorder.queued(each)
        self.report = CountsReport(self._clock.now_ms(), counts, tuple(self._wrong_events))
        if not self.report.balanced:
            log.error(
                "the delivery counts do not balance: please report this with the output of `commerce-event doctor`",
                endpoints=[each.endpoint_id for each in counts if each.difference],
                events=list(self._wrong_events)[:20],
            )
