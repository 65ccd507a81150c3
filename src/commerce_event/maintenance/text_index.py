"""Index the text of new events, so that people can search for an order number."""

import asyncio
from typing import Final

from commerce_event.core.clock import Clock
from commerce_event.store.port import MaintenanceStore

EVENTS_PER_STEP: Final = 500
_BACKOFF_FACTOR: Final = 2.0  # pause between full steps, as a multiple of the last step's time: accepting goes first


async def index_text(store: MaintenanceStore, clock: Clock) -> None:
    """Index up to the end of the journal, in steps that leave the store to others for most of the time."""
    begin_s = clock.monotonic()
    while await store.index_text(EVENTS_PER_STEP) == EVENTS_PER_STEP:
        await asyncio.sleep((clock.monotonic() - begin_s) * _BACKOFF_FACTOR)
        begin_s = clock.monotonic()
