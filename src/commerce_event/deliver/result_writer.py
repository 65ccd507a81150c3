"""The result writer: collects the results of attempts and records many of them in one commit."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec
import structlog

from commerce_event.core.clock import Clock
from commerce_event.store.model import Claimed, Settlement
from commerce_event.store.port import Store, StoreError

_BATCH_MAX: Final = 512
_UNSETTLED_MAX: Final = 5_000
_FIRST_WAIT_S: Final = 0.05
_LONGEST_WAIT_S: Final = 2.0
_CLOCK_SET_MS: Final = 100  # a smaller change is the clock being steered, not set
_BULK_WAIT_S: Final = 0.01  # of results of bulk deliveries for others, so that they share a commit
_BEHIND_S: Final = 1.0  # well within what is left of a lease when its result arrives

log = structlog.get_logger(__name__)


class _Result(msgspec.Struct, frozen=True):
    settlement: Settlement
    offset_ms: float  # of the clock that the due time was computed with
    since: float


class ResultWriter:
    """Holds results until they are durable: a full disk delays them, it does not lose them."""

    def __init__(self, store: Store, clock: Clock, on_recorded: Callable[[Settlement], None]) -> None:
        """``on_recorded`` is called for every recorded result, not for those that came too late."""
        self._store = store
        self._clock = clock
        self._on_recorded = on_recorded
        self._results: list[_Result] = []
        self._released: list[Claimed] = []
        self._flushing: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()  # set while a result waits that is not of a bulk delivery

    @property
    def unsettled(self) -> int:
        """Results and released claims that are not recorded yet."""
        return len(self._results) + len(self._released)

    @property
    def is_full(self) -> bool:
        return self.unsettled >= _UNSETTLED_MAX

    @property
    def is_behind(self) -> bool:
        """Whether results may outlast their leases: a delivery claimed now might be one that was sent already."""
        return bool(self._results) and self._clock.monotonic() - self._results[0].since >= _BEHIND_S

    def put(self, settlement: Settlement, *, bulk: bool = False) -> None:
        """Record a result soon; that of a ``bulk`` delivery together with those of the next moment."""
        if not bulk:
            self._hurry.set()
        self._results.append(_Result(settlement, self._offset_ms(), self._clock.monotonic()))
        self._start()

    def release_claims(self, claimed: Claimed) -> None:
        """Release a claim that was not sent, soon; then any node may claim it."""
        self._hurry.set()
        self._released.append(claimed)
        self._start()

    async def close(self) -> None:
        """Return when everything is recorded."""
        self._hurry.set()
        if self._flushing is not None:
            await self._flushing

    def _start(self) -> None:
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        wait_s = _FIRST_WAIT_S
        await asyncio.sleep(0)  # let the results of this turn of the event loop join the batch
        while self._results or self._released:
            if not self._hurry.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(_BULK_WAIT_S):
                        await self._hurry.wait()
            self._hurry.clear()
            try:
                await self._record_batch()
                wait_s = _FIRST_WAIT_S
            except Exception as error:  # of any kind: later results must be recorded
                if not isinstance(error, StoreError):
                    log.exception("results could not be recorded; trying again")
                log.warning("results wait for the store", waiting=self.unsettled, error=str(error))
                await asyncio.sleep(wait_s)
                wait_s = min(_LONGEST_WAIT_S, wait_s * 2)
        self._flushing = None

    async def _record_batch(self) -> None:
        settlements = [self._adjusted(each) for each in self._results[:_BATCH_MAX]]
        released = self._released[:_BATCH_MAX]
        if settlements:
            recorded = await self._settle(settlements)
            del self._results[: len(settlements)]
            for settlement, is_recorded in zip(settlements, recorded, strict=True):
                if is_recorded:
                    self._on_recorded(settlement)
                else:
                    log.info("late result dropped", delivery=settlement.delivery_id, attempt=settlement.attempt.number)
        if released:
            await self._store.queue.release_claims(released, now_ms=self._clock.now_ms())
            del self._released[: len(released)]

    async def _settle(self, batch: Sequence[Settlement]) -> list[bool]:
        """Record a batch; when the store cannot take it as a whole, record each result alone."""
        try:
            return await self._store.queue.settle(batch)
        except StoreError:
            raise
        except Exception:
            log.exception("a batch of results cannot be recorded", results=len(batch))
            if len(batch) == 1:
                return [False]  # the delivery is sent again when its lease ends; the other results must not suffer
            return [recorded for settlement in batch for recorded in await self._settle([settlement])]

    def _adjusted(self, result: _Result) -> Settlement:
        """Return the settlement with its due time by the present clock, which may have been set meanwhile."""
        settlement, moved_ms = result.settlement, self._offset_ms() - result.offset_ms
        if settlement.due_ms is None or abs(moved_ms) < _CLOCK_SET_MS:
            return settlement
        return msgspec.structs.replace(settlement, due_ms=settlement.due_ms + round(moved_ms))

    def _offset_ms(self) -> float:
        return self._clock.now_ms() - self._clock.monotonic() * 1000
