"""The settler: gathers what became of attempts and has it recorded, many in one commit."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog

from commerce_event.core.clock import Clock
from commerce_event.store.model import Claimed, Settlement
from commerce_event.store.port import Store, StoreError

_BATCH_MAX: Final = 512
_FIRST_WAIT_S: Final = 0.05
_LONGEST_WAIT_S: Final = 2.0
_CLOCK_SET_MS: Final = 100  # less than this is the clock being steered
_BEHIND_S: Final = 1.0  # well within what is left of a lease when its result is there

log = structlog.get_logger(__name__)


class _Result(msgspec.Struct, frozen=True):
    settlement: Settlement
    offset_ms: float  # the clock's, that its due time goes by
    since: float


class Settler:
    """Holds results until they are durable: a full disk delays them, it does not lose them."""

    def __init__(self, store: Store, clock: Clock, on_settled: Callable[[Settlement], None]) -> None:
        """``on_settled`` is called for every result that was recorded (not for those that were fenced off)."""
        self._store = store
        self._clock = clock
        self._on_settled = on_settled
        self._results: list[_Result] = []
        self._unsent: list[Claimed] = []
        self._flushing: asyncio.Task[None] | None = None

    @property
    def unsettled(self) -> int:
        return len(self._results) + len(self._unsent)

    @property
    def behind(self) -> bool:
        """Whether results wait that may outlast their leases: nothing may be claimed now, or it is sent again."""
        return bool(self._results) and self._clock.monotonic() - self._results[0].since >= _BEHIND_S

    def put(self, settlement: Settlement) -> None:
        """Take a result; it is recorded soon."""
        self._results.append(_Result(settlement, self._offset_ms(), self._clock.monotonic()))
        self._start()

    def release_claims(self, claimed: Claimed) -> None:
        """Take a claim that was not sent after all; whoever may send it gets it soon."""
        self._unsent.append(claimed)
        self._start()

    async def close(self) -> None:
        """Return when everything taken is recorded."""
        if self._flushing is not None:
            await self._flushing

    def _start(self) -> None:
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        wait_s = _FIRST_WAIT_S
        await asyncio.sleep(0)  # let whatever ended in this turn of the loop join the batch
        while self._results or self._unsent:
            try:
                await self._record_some()
                wait_s = _FIRST_WAIT_S
            except Exception as error:  # whatever it is, what comes later must be recorded
                if not isinstance(error, StoreError):
                    log.exception("results could not be recorded, and are tried again")
                log.warning("results wait for the store", waiting=self.unsettled, error=str(error))
                await asyncio.sleep(wait_s)
                wait_s = min(_LONGEST_WAIT_S, wait_s * 2)
        self._flushing = None

    async def _record_some(self) -> None:
        results = [self._restamped(each) for each in self._results[:_BATCH_MAX]]
        unsent = self._unsent[:_BATCH_MAX]
        if results:
            recorded = await self._settle(results)
            del self._results[: len(results)]
            for settlement, mine in zip(results, recorded, strict=True):
                if mine:
                    self._on_settled(settlement)
                else:
                    log.info("late result dropped", delivery=settlement.delivery_id, attempt=settlement.attempt.number)
        if unsent:
            await self._store.queue.release_claims(unsent, now_ms=self._clock.now_ms())
            del self._unsent[: len(unsent)]

    def _offset_ms(self) -> float:
        return self._clock.now_ms() - self._clock.monotonic() * 1000

    def _restamped(self, result: _Result) -> Settlement:
        """Return a result that goes by the clock as it is now: it may have been set meanwhile."""
        settlement, moved_ms = result.settlement, self._offset_ms() - result.offset_ms
        if settlement.due_ms is None or abs(moved_ms) < _CLOCK_SET_MS:
            return settlement
        return msgspec.structs.replace(settlement, due_ms=settlement.due_ms + round(moved_ms))

    async def _settle(self, batch: Sequence[Settlement]) -> list[bool]:
        try:
            return await self._store.queue.settle(batch)
        except StoreError:
            raise
        except Exception:
            log.exception("a batch of results cannot be recorded", results=len(batch))
            if len(batch) == 1:
                return [False]  # its lease runs out and it is repeated; the others must not suffer
            return [mine for settlement in batch for mine in await self._settle([settlement])]
