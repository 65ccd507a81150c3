"""The settler: gathers what became of attempts and has it recorded, many in one commit."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from commerce_event.store.port import Settlement, Store, StoreUnavailableError

_BATCH_MAX: Final = 512
_FIRST_WAIT_S: Final = 0.05
_LONGEST_WAIT_S: Final = 2.0

log = structlog.get_logger(__name__)


class Settler:
    """Holds results until they are durable: a full disk delays them, it does not lose them."""

    def __init__(self, store: Store, on_settled: Callable[[Settlement], None]) -> None:
        """``on_settled`` is called for every result that was recorded (not for those that were fenced off)."""
        self._store = store
        self._on_settled = on_settled
        self._waiting: list[Settlement] = []
        self._flushing: asyncio.Task[None] | None = None

    @property
    def unsettled(self) -> int:
        return len(self._waiting)

    def put(self, settlement: Settlement) -> None:
        """Take a result; it is recorded soon."""
        self._waiting.append(settlement)
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())

    async def close(self) -> None:
        """Return when everything taken is recorded."""
        if self._flushing is not None:
            await self._flushing

    async def _flush(self) -> None:
        wait_s = _FIRST_WAIT_S
        await asyncio.sleep(0)
        while self._waiting:
            batch = self._waiting[:_BATCH_MAX]
            try:
                ours = await self._store.settle(batch)
            except StoreUnavailableError as error:
                log.warning("results wait for the store", waiting=len(self._waiting), error=str(error))
                await asyncio.sleep(wait_s)
                wait_s = min(_LONGEST_WAIT_S, wait_s * 2)
                continue
            wait_s = _FIRST_WAIT_S
            del self._waiting[: len(batch)]
            for settlement, mine in zip(batch, ours, strict=True):
                if mine:
                    self._on_settled(settlement)
                else:
                    log.info("late result dropped", delivery=settlement.delivery_id, attempt=settlement.attempt.number)
        self._flushing = None
