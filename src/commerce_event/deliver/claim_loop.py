"""The claim loop: takes due deliveries from the store, as far as there is capacity.

Retries, overflow, replays and what a crash left behind come this way. New events with a free slot do not: accepting
hands them to the dispatcher from memory.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from commerce_event.core.clock import Clock
from commerce_event.core.model import DeliveryState, Endpoint
from commerce_event.deliver.concurrency import Concurrency
from commerce_event.deliver.leases import Leases
from commerce_event.deliver.result_writer import ResultWriter
from commerce_event.registry.registry import Registry
from commerce_event.store.model import Claimed
from commerce_event.store.port import Store, StoreError, StoreUnavailableError

_SCAN_INTERVAL_S: Final = 1.0  # between two scans of the store when nothing is announced
_SCAN_GAP_S: Final = 0.05  # at least, between two scans
_BACKOFF_FACTOR: Final = 3.0  # the gap as a multiple of a scan's duration, which grows with the number of endpoints
_STORE_WAIT_S: Final = 0.5  # until the next try after the store failed
_FINISH_BATCH: Final = 500  # deliveries of an ended endpoint that are finished in one commit
_FINISH_TASKS_MAX: Final = 2  # ended endpoints whose deliveries are finished at once

log = structlog.get_logger(__name__)


class ClaimLoop:
    """Learns from the store who has due deliveries, claims them, and finishes those of endpoints that ended."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        clock: Clock,
        *,
        concurrency: Concurrency,
        leases: Leases,
        results: ResultWriter,
        launch: Callable[[Claimed], None],
    ) -> None:
        """``launch`` is called for each claimed delivery."""
        self._store = store
        self._registry = registry
        self._clock = clock
        self._concurrency = concurrency
        self._leases = leases
        self._results = results
        self._launch = launch
        self._wake = asyncio.Event()
        self._next_scan = 0.0  # when the store is to be scanned,
        self._scan_not_before = 0.0  # but not earlier than this
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._finishing: dict[int, asyncio.Task[None]] = {}  # by endpoint
        self._finish_slots = asyncio.Semaphore(_FINISH_TASKS_MAX)

    @property
    def started(self) -> bool:
        return self._task is not None

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    def stop(self) -> None:
        """Claim nothing more; ``stopped`` waits for the end of the round under way."""
        self._closing = True
        self._wake.set()

    async def stopped(self) -> None:
        """Return when the last round has ended."""
        if self._task is not None:
            await self._task

    async def finished(self) -> None:
        """Return when the steps under way for ended endpoints are done."""
        if self._finishing:
            await asyncio.wait(list(self._finishing.values()))

    def claim_now(self) -> None:
        """Start a round: slots became free, or something became due."""
        self._wake.set()

    def scan_now(self) -> None:
        """Scan the store and start a round: something was retried, replayed, resumed, switched on or deleted."""
        self._next_scan = 0.0
        self._wake.set()

    def scan_by(self, moment: float) -> None:
        """Scan the store at that moment (monotonic seconds) at the latest."""
        if moment < self._next_scan:
            self._next_scan = moment
            self._wake.set()

    async def _run(self) -> None:
        while not self._closing:
            self._wake.clear()
            try:
                await self._claim()
            except StoreUnavailableError as error:
                log.warning("cannot claim deliveries now; trying again", error=str(error))
                await self._sleep(_STORE_WAIT_S)
            except StoreError as error:
                log.error("the store failed; claiming has stopped", error=str(error))
                return
            except Exception:
                log.exception("claiming deliveries failed; trying again")
                self._next_scan = 0.0
                await self._sleep(_STORE_WAIT_S)
            else:
                await self._sleep(self._until_next(self._clock.monotonic()))

    async def _sleep(self, seconds: float) -> None:
        """Wait until the loop is woken, at most for ``seconds``."""
        if seconds > 0 and not self._closing:
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            except TimeoutError:
                return

    def _until_next(self, now: float) -> float:
        """Return the seconds until time alone gives the loop something to do."""
        if not self._may_claim:
            return _STORE_WAIT_S
        opening = self._concurrency.next_opening(now)
        return (self._scan_at if opening is None else min(self._scan_at, opening)) - now

    @property
    def _may_claim(self) -> bool:
        """False while results wait for the store: their deliveries look lost there and would be claimed again."""
        return not self._results.is_full and not self._results.is_behind

    @property
    def _scan_at(self) -> float:
        return max(self._next_scan, self._scan_not_before)

    async def _claim(self) -> None:
        if self._clock.monotonic() >= self._scan_at:
            await self._scan()
        requests = self._concurrency.claim_requests() if self._may_claim else []
        if not requests:
            return
        endpoints = [e for request in requests if (e := self._registry.endpoint(request.endpoint_id)) is not None]
        try:
            claimed = await self._store.queue.claim(
                requests, now_ms=self._clock.now_ms(), lease_until_ms=self._leases.until_ms(endpoints)
            )
        except BaseException:
            self._concurrency.claimed(requests, ())
            self._next_scan = 0.0
            raise
        if self._concurrency.claimed(requests, claimed):
            self._next_scan = 0.0
        for delivery in claimed:
            self._launch(delivery)
        if self._concurrency.may_claim_more:
            self.claim_now()

    async def _scan(self) -> None:
        """Learn from the store who has due deliveries, and when the next of the others is due."""
        now, now_ms = self._clock.monotonic(), self._clock.now_ms()
        self._next_scan = now + _SCAN_INTERVAL_S
        await self._registry.refresh()
        self._concurrency.forget_deleted()
        backlogs = await self._store.queue.backlog()
        done = self._clock.monotonic()
        self._scan_not_before = done + max(_SCAN_GAP_S, min(_SCAN_INTERVAL_S, (done - now) * _BACKOFF_FACTOR))
        for backlog in backlogs:
            endpoint = self._registry.endpoint(backlog.endpoint_id)
            if endpoint is None:
                continue  # added by another node after the refresh; the next scan knows it
            if _final_state(endpoint) is not None:
                self._start_finishing(backlog.endpoint_id)
            elif backlog.due_ms <= now_ms:
                self._concurrency.mark_due(backlog.endpoint_id, backlog.kind)
            else:
                self.scan_by(now + (backlog.due_ms - now_ms) / 1000)

    def _start_finishing(self, endpoint_id: int) -> None:
        if endpoint_id not in self._finishing:
            self._finishing[endpoint_id] = asyncio.create_task(self._finish(endpoint_id))

    async def _finish(self, endpoint_id: int) -> None:
        """Finish the pending deliveries of an ended endpoint, in small commits that let others write in between."""
        try:
            async with self._finish_slots:
                while not self._closing and self._may_claim:
                    endpoint = self._registry.endpoint(endpoint_id)
                    final = None if endpoint is None else _final_state(endpoint)
                    if endpoint is None or final is None:  # switched on again meanwhile, on any node
                        return
                    state, reason = final
                    finished = await self._store.queue.finish_pending(
                        endpoint_id,
                        state=state,
                        reason=reason,
                        now_ms=self._clock.now_ms(),
                        limit=_FINISH_BATCH,
                        revision=endpoint.revision,
                    )
                    if not finished:
                        return
        except StoreError as error:
            log.warning("cannot finish the deliveries of an ended endpoint now; trying again later", error=str(error))
        finally:
            del self._finishing[endpoint_id]


def _final_state(endpoint: Endpoint) -> tuple[DeliveryState, str] | None:
    """Return the state and reason that an ended endpoint's pending deliveries get; None for one that has not ended."""
    if endpoint.deleted_ms is not None:
        return "cancelled", "endpoint_deleted"
    if endpoint.disabled_reason == "gone" and not endpoint.enabled:
        return "dead", "gone"
    return None
