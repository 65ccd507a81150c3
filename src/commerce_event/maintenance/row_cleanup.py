"""Delete last known values of rows that no event setting asks for any more."""

import asyncio
from typing import Final

from commerce_event.core.clock import Clock
from commerce_event.registry.registry import Registry
from commerce_event.store.port import ChangeStore

_ROWS_PER_STEP: Final = 500
# Younger rows of an untracked entity stay: another node may have enabled a setting that this one has not read yet.
UNTRACKED_MS: Final = 60_000


class RowCleanup:
    """Deletes the rows of entities that are not tracked, and those from before they were tracked again."""

    def __init__(self, store: ChangeStore, registry: Registry, clock: Clock) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock

    async def forget(self) -> None:
        """Delete in steps that leave the store to others for half of the time."""
        for client_id, entity in await self._store.row_entities():
            since_ms = self._registry.tracked_since(client_id, entity)
            before_ms = self._clock.now_ms() - UNTRACKED_MS if since_ms is None else since_ms
            begin_s = self._clock.monotonic()
            while await self._store.forget_rows(client_id, entity, before_ms=before_ms, limit=_ROWS_PER_STEP):
                await asyncio.sleep(self._clock.monotonic() - begin_s)
                begin_s = self._clock.monotonic()
