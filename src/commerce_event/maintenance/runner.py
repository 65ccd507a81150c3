"""The keeper: what must happen beside the flow — other nodes' changes, clock, text index, retention, recount."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import msgspec
import structlog

from commerce_event.core.clock import SystemClock
from commerce_event.core.model import Scope
from commerce_event.maintenance.activity_recorder import ActivityRecorder
from commerce_event.registry.registry import Registry
from commerce_event.store.model import DeliveryCounts, StoreInfo
from commerce_event.store.port import Store, StoreError

_LEARN_EVERY_S: Final = 0.5  # a key revoked on another node must not open anything here for longer
_CLOCK_EVERY_S: Final = 1.0
_CLOCK_JUMP_MS: Final = 250  # less than this is the clock being steered, and simply followed
_INDEX_EVERY_S: Final = 0.25
_INDEX_STEP: Final = 500
_INDEX_REST: Final = 2.0  # between full steps, as a multiple of what a step took: accepting goes first
_RECOUNT_EVERY_S: Final = 10.0
_RECOUNT_REST: Final = 20.0  # as a multiple of what it took: it costs by what waits
_AUDIT_STEP: Final = 2_000
_EXPIRE_EVERY_S: Final = 30.0
_TALLY_EVERY_S: Final = 2.0
_INFO_EVERY_S: Final = 10.0
_LITTLE_BYTES: Final = 1024**3  # free beside the store: time to look after it
_EXPIRE_STEP: Final = 200
_CATCH_UP: Final = 10  # times as fast as time itself: a clock set a year ahead leaves days to notice it

log = structlog.get_logger(__name__)


class Accounts(msgspec.Struct, frozen=True):
    """The last recount: the accounts with pending counted from the queue, and events whose deliveries do not add up."""

    counted_ms: int
    books: tuple[DeliveryCounts, ...]
    wrong_events: tuple[int, ...]

    @property
    def balanced(self) -> bool:
        return not self.wrong_events and all(book.difference == 0 for book in self.books)


class Maintenance:
    """Runs the upkeep of a store, each task at its own pace, none of them in the way of an event."""

    def __init__(
        self, store: Store, registry: Registry, clock: SystemClock, recorder: ActivityRecorder, *, retention_s: float
    ) -> None:
        """``retention_s`` is how long finished events are kept; 0 keeps them for ever."""
        self._store = store
        self._registry = registry
        self._clock = clock
        self._recorder = recorder
        self._retention_s = retention_s
        self._audited_to = 0
        self._wrong: dict[int, None] = {}
        self._horizon_ms: int | None = None  # what was accepted before it may be deleted
        self._horizon_at_s = 0.0
        self._owed_ms = 0  # by which due times are still to be moved
        self._tasks: list[asyncio.Task[None]] = []
        self.accounts: Accounts | None = None
        self.store_info: StoreInfo | None = None
        self.clock_jumps = 0

    def start(self) -> None:
        chores = [
            (self.learn_changes, _LEARN_EVERY_S),
            (self.watch_clock, _CLOCK_EVERY_S),
            (self.index, _INDEX_EVERY_S),
            (self._recount_and_rest, _RECOUNT_EVERY_S),
            (self.write_activity, _TALLY_EVERY_S),
            (self.look_at_store, _INFO_EVERY_S),
        ]
        if self._retention_s > 0:
            chores.append((self.expire, _EXPIRE_EVERY_S))
        self._tasks = [asyncio.create_task(self._repeat(chore, every_s)) for chore, every_s in chores]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
            with suppress(Exception):  # plots; closing goes on
                await self.write_activity()

    async def write_activity(self) -> None:
        """Add what was counted for the plots to the store."""
        await self._recorder.flush(self._store)

    async def index(self) -> None:
        """Take the text index to the journal's end, in steps that leave the store to others for most of the time."""
        begin_s = self._clock.monotonic()
        while await self._store.maintenance.index_text(_INDEX_STEP) == _INDEX_STEP:
            await asyncio.sleep((self._clock.monotonic() - begin_s) * _INDEX_REST)
            begin_s = self._clock.monotonic()

    async def learn_changes(self) -> None:
        """Read what other nodes changed of endpoints and keys, also while this one sends nothing."""
        await self._registry.refresh()

    async def watch_clock(self) -> None:
        """Follow the machine's wall clock; when it was set, take the stored due times along, so that delays stay."""
        drift_ms = self._clock.drift_ms()
        if abs(drift_ms) < _CLOCK_JUMP_MS:
            self._clock.follow(drift_ms)
        else:
            log.warning("the wall clock was set", by_s=drift_ms / 1000)
            self.clock_jumps += 1
            self._clock.follow(drift_ms)
            self._owed_ms += drift_ms
        if self._owed_ms:  # asked for before anybody reads the clock anew; what the store refuses is tried again
            await self._store.maintenance.shift_due(self._owed_ms)
            self._owed_ms = 0

    async def look_at_store(self) -> None:
        """Look how large the store is, and whether its disk is about to be full."""
        before, self.store_info = self.store_info, await self._store.info()
        if _is_short(self.store_info) and not _is_short(before):
            log.warning("the disk of the store is nearly full", free_bytes=self.store_info.free_bytes)

    async def recount(self) -> None:
        """Count what is pending, compare the accounts, and look at the next stretch of the journal."""
        audit = await self._store.maintenance.verify_counts(after_id=self._audited_to, limit=_AUDIT_STEP)
        self._audited_to = audit.cursor
        self._wrong.update(dict.fromkeys(audit.wrong))
        books = tuple(await self._store.history.delivery_counts(Scope.everyone(), recount=True))
        for book in books:
            self._recorder.queued(book)
        self.accounts = Accounts(self._clock.now_ms(), books, tuple(self._wrong))
        if not self.accounts.balanced:
            log.error(
                "the books do not balance: please report this with the output of `commerce-event doctor`",
                endpoints=[book.endpoint_id for book in books if book.difference],
                events=list(self._wrong)[:20],
            )

    async def _recount_and_rest(self) -> None:
        begin_s = self._clock.monotonic()
        await self.recount()
        await asyncio.sleep((self._clock.monotonic() - begin_s) * _RECOUNT_REST)

    async def expire(self) -> None:
        """Delete finished events that are older than the retention, the oldest first and no faster than they came."""
        before_ms = await self._horizon()
        begin_s = self._clock.monotonic()
        while await self._store.maintenance.expire(
            before_ms=before_ms, limit=_EXPIRE_STEP
        ):  # every step is a commit of its own
            await asyncio.sleep(self._clock.monotonic() - begin_s)
            begin_s = self._clock.monotonic()

    async def _horizon(self) -> int:
        """Return the time before which events may go: it starts at the oldest event and never jumps with a clock."""
        wanted_ms = self._clock.now_ms() - round(self._retention_s * 1000)
        now_s = self._clock.monotonic()
        if self._horizon_ms is None:
            oldest_ms = await self._store.maintenance.oldest_ms()
            reached_ms = wanted_ms if oldest_ms is None else oldest_ms
        else:
            reached_ms = self._horizon_ms + round((now_s - self._horizon_at_s) * 1000 * _CATCH_UP)
        self._horizon_ms, self._horizon_at_s = min(wanted_ms, reached_ms), now_s
        return self._horizon_ms

    async def _repeat(self, chore: Callable[[], Awaitable[None]], every_s: float) -> None:
        while True:
            try:
                await chore()
            except StoreError as error:
                log.warning("upkeep is put off", chore=chore.__name__, error=str(error))
            except Exception:
                log.exception("upkeep failed", chore=chore.__name__)
            await asyncio.sleep(every_s)


def _is_short(info: StoreInfo | None) -> bool:
    return info is not None and info.free_bytes is not None and info.free_bytes < _LITTLE_BYTES
