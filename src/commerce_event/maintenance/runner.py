"""Run the background jobs of a node, each at its own pace."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final

import structlog

from commerce_event.core.clock import SystemClock
from commerce_event.maintenance.activity_recorder import ActivityRecorder
from commerce_event.maintenance.clock_watcher import ClockWatcher
from commerce_event.maintenance.counts import CountsVerifier
from commerce_event.maintenance.retention import Retention
from commerce_event.maintenance.row_cleanup import RowCleanup
from commerce_event.maintenance.text_index import index_text
from commerce_event.registry.registry import Registry
from commerce_event.store.model import StoreInfo
from commerce_event.store.port import Store, StoreError

_REFRESH_EVERY_S: Final = 0.5  # a key revoked on another node stops working here within this time
_CLOCK_EVERY_S: Final = 1.0
_INDEX_EVERY_S: Final = 0.25
_VERIFY_EVERY_S: Final = 10.0
_VERIFY_BACKOFF_FACTOR: Final = 20.0  # pause as a multiple of the time it took: it costs more the more is pending
_ACTIVITY_EVERY_S: Final = 2.0
_DISK_EVERY_S: Final = 10.0
_EXPIRE_EVERY_S: Final = 30.0
_KEY_USES_EVERY_S: Final = 60.0
_FREE_DISK_MIN_BYTES: Final = 1024**3  # less is warned of

log = structlog.get_logger(__name__)


class Maintenance:
    """The background jobs of a node; none of them delays an event."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        clock: SystemClock,
        recorder: ActivityRecorder,
        *,
        retention_s: float,
        refusal_retention_s: float,
        change_retention_s: float,
    ) -> None:
        """How long finished events, refused events and data changes are kept; 0: for ever."""
        self._store = store
        self._registry = registry
        self._clock = clock
        self._recorder = recorder
        self._retention = Retention(store.maintenance, clock, retention_s) if retention_s > 0 else None
        self._refusal_retention = (
            Retention(store.refusals, clock, refusal_retention_s) if refusal_retention_s > 0 else None
        )
        self._change_retention = Retention(store.changes, clock, change_retention_s) if change_retention_s > 0 else None
        self._row_cleanup = RowCleanup(store.changes, registry, clock)
        self._index_text = partial(index_text, store.maintenance, clock)
        self._tasks: list[asyncio.Task[None]] = []
        self.counts = CountsVerifier(store, clock, recorder)
        self.clock_watcher = ClockWatcher(store.maintenance, clock)
        self.store_info: StoreInfo | None = None

    def start(self) -> None:
        jobs: dict[str, tuple[Callable[[], Awaitable[None]], float]] = {
            "refresh registry": (self._registry.refresh, _REFRESH_EVERY_S),  # other nodes' changes, also while idle
            "check clock": (self.clock_watcher.check, _CLOCK_EVERY_S),
            "index text": (self._index_text, _INDEX_EVERY_S),
            "verify counts": (self._verify_counts_and_rest, _VERIFY_EVERY_S),
            "write activity": (self.write_activity, _ACTIVITY_EVERY_S),
            "check disk": (self._check_disk, _DISK_EVERY_S),
            "write key uses": (self._registry.flush_key_uses, _KEY_USES_EVERY_S),
            "forget rows": (self._row_cleanup.forget, _EXPIRE_EVERY_S),
        }
        if self._retention is not None:
            jobs["expire events"] = (self._retention.expire, _EXPIRE_EVERY_S)
        if self._refusal_retention is not None:
            jobs["expire refused events"] = (self._refusal_retention.expire, _EXPIRE_EVERY_S)
        if self._change_retention is not None:
            jobs["expire changes"] = (self._change_retention.expire, _EXPIRE_EVERY_S)
        self._tasks = [asyncio.create_task(_repeat(name, job, every_s)) for name, (job, every_s) in jobs.items()]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
            with suppress(Exception):  # it is only for charts; closing goes on
                await self.write_activity()
            with suppress(Exception):  # the last minute of them
                await self._registry.flush_key_uses()

    async def write_activity(self) -> None:
        """Write the recorded activity to the store."""
        await self._recorder.flush(self._store.activity)

    async def _verify_counts_and_rest(self) -> None:
        begin_s = self._clock.monotonic()
        await self.counts.verify()
        await asyncio.sleep((self._clock.monotonic() - begin_s) * _VERIFY_BACKOFF_FACTOR)

    async def _check_disk(self) -> None:
        """Read the size of the store, and warn once when its disk is nearly full."""
        before, self.store_info = self.store_info, await self._store.info()
        if _is_disk_low(self.store_info) and not _is_disk_low(before):
            log.warning("the disk of the store is nearly full", free_bytes=self.store_info.free_bytes)


async def _repeat(name: str, job: Callable[[], Awaitable[None]], every_s: float) -> None:
    while True:
        try:
            await job()
        except StoreError as error:
            log.warning("a background job is postponed", job=name, error=str(error))
        except Exception:
            log.exception("a background job failed", job=name)
        await asyncio.sleep(every_s)


def _is_disk_low(info: StoreInfo | None) -> bool:
    return info is not None and info.free_bytes is not None and info.free_bytes < _FREE_DISK_MIN_BYTES
