"""The scheduler: who is due, who has a slot, who goes next.

Fresh events are sent straight from memory (`reserve`, then `launch` after their commit). Everything else — retries,
overflow, what a crash left — is claimed from the store, as far as there are free slots.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import Final, Protocol

import structlog

from commerce_event.core.clock import Clock
from commerce_event.core.delivery import Decision, Outcome, decide
from commerce_event.core.model import Attempt, DeliveryState, Endpoint
from commerce_event.deliver.concurrency import Slots
from commerce_event.deliver.endpoint_state import MANY, Health, Lane
from commerce_event.deliver.result_writer import Settler
from commerce_event.registry.registry import Registry
from commerce_event.store.model import Claimed, Settlement
from commerce_event.store.port import Store, StoreError, StoreUnavailableError

_LEASE_MARGIN_S: Final = 5.0
_RECORD_MARGIN_S: Final = 2.0  # of it: for recording what came of the attempt
_SCAN_EVERY_S: Final = 1.0  # a look at the store when nothing announced itself
_SCAN_GAP_S: Final = 0.05  # between two looks, whatever announces itself
_SCAN_REST: Final = 3.0  # the same, as a multiple of what the look took: it costs more with every endpoint
_UNSETTLED_MAX: Final = 5_000
_SWEEP: Final = 500
_SWEEPS: Final = 2  # endpoints at once whose waiting deliveries are finished
_STORE_WAIT_S: Final = 0.5
_OWN_FAULTS_MAX: Final = 10_000  # deliveries whose faults of ours are counted

log = structlog.get_logger(__name__)


class SendsEvents(Protocol):
    """The sender, as the scheduler needs it."""

    async def send(self, endpoint: Endpoint, claimed: Claimed) -> Outcome: ...


class AttemptListener(Protocol):
    """Told of every answered attempt, for metrics."""

    def __call__(self, endpoint: Endpoint, outcome: Outcome, decision: Decision, /) -> None: ...


class Scheduler:
    """Moves due deliveries from the store to the sender and their outcomes back."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        sender: SendsEvents,
        clock: Clock,
        *,
        timeout_s: float,
        retry_schedule_s: tuple[float, ...],
        max_in_flight: int,
        circuit_failures: int,
        rng: random.Random | None = None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._sender = sender
        self._clock = clock
        self._timeout_s = timeout_s
        self._schedule_s = retry_schedule_s
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._slots = Slots(store, registry, clock, max_in_flight=max_in_flight, circuit_failures=circuit_failures)
        self._settler = Settler(store, clock, self._settled)
        self._woken = asyncio.Event()
        self._next_scan = 0.0
        self._scan_from = 0.0  # not before
        self._workers: set[asyncio.Task[None]] = set()
        self._sweeps: dict[int, asyncio.Task[None]] = {}
        self._sweeping = asyncio.Semaphore(_SWEEPS)
        self._loop: asyncio.Task[None] | None = None
        self._own_faults: dict[int, int] = {}  # by delivery, the latest last
        self._closing = False
        self.on_attempt: list[AttemptListener] = []

    # -- life

    def start(self) -> None:
        """Begin to claim and send."""
        self._loop = asyncio.create_task(self._run())

    @property
    def running(self) -> bool:
        return self._loop is not None and not self._loop.done()

    def send_no_more(self) -> None:
        """Give back what was to be sent next; what is under way goes on. Closing is to follow."""
        self._closing = True
        self._woken.set()
        self._hand_back()

    def _hand_back(self) -> None:
        for lane in self._slots.lanes:
            while lane.ready:
                claimed = lane.ready.popleft()
                self._settler.release_claims(claimed)
                self._slots.free(lane, retrying=claimed.number > 1)

    async def close(self, grace_s: float) -> None:
        """Stop claiming, let what is in flight finish for at most ``grace_s``, record the results."""
        self.send_no_more()
        if self._loop is not None:
            await self._loop
        self._hand_back()
        if self._workers:
            await asyncio.wait(self._workers, timeout=grace_s)
        for worker in list(self._workers):
            worker.cancel()
        if self._workers:
            await asyncio.wait(self._workers)
        if self._sweeps:
            await asyncio.wait(list(self._sweeps.values()))
        try:
            async with asyncio.timeout(_RECORD_MARGIN_S):
                await self._settler.close()
        except TimeoutError:  # the store does not take them: those deliveries are repeated after their lease
            log.warning("results given up at shutdown", results=self._settler.unsettled)

    # -- asked by accepting

    @property
    def run_id(self) -> int:
        return self._store.run_id

    def reserve(self, endpoint: Endpoint) -> int | None:
        """Hold a slot for an event about to be committed; return the end of its lease, or None."""
        if self._loop is None or self._closing or self._settler.unsettled >= _UNSETTLED_MAX:
            return None
        if not self._slots.reserve(endpoint):
            return None
        return self._lease_until_ms((endpoint,))

    def release(self, endpoint_id: int) -> None:
        """Give a reservation back: the event was not new, or not stored."""
        self._slots.release(endpoint_id)

    def launch(self, claimed: Claimed) -> None:
        """Send a delivery that is durable and leased to us."""
        lane = self._slots.lane(claimed.endpoint_id)
        lane.ready.append(claimed)
        self._start_workers(lane, claimed.endpoint_id)

    def notice(self, endpoint_id: int) -> None:
        """A first try waits in the store."""
        lane = self._slots.lane(endpoint_id)
        if not lane.noticed:
            self._woken.set()
        lane.notice()

    # -- asked by people

    def wake(self) -> None:
        """Look at the store now: something was retried, replayed, switched on or deleted."""
        self._next_scan = 0.0
        self._woken.set()

    def health(self, endpoint_id: int) -> Health:
        return self._slots.lane(endpoint_id).health(self._clock.monotonic())

    @property
    def in_flight(self) -> int:
        return self._slots.held

    @property
    def nodes(self) -> int:
        return self._store.nodes

    @property
    def unsettled(self) -> int:
        return self._settler.unsettled

    # -- claiming

    async def _run(self) -> None:
        while not self._closing:
            self._woken.clear()
            try:
                await self._round()
            except StoreUnavailableError as error:
                log.warning("cannot claim now", error=str(error))
                await self._sleep(_STORE_WAIT_S)
                continue
            except StoreError as error:
                log.error("the store failed", error=str(error))
                return
            except Exception:
                log.exception("a round of claiming failed")
                self._next_scan = 0.0
                await self._sleep(_STORE_WAIT_S)
                continue
            await self._sleep(self._until_next(self._clock.monotonic()))

    async def _sleep(self, seconds: float) -> None:
        if seconds > 0 and not self._closing:
            try:
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
            except TimeoutError:
                return

    async def _round(self) -> None:
        if self._clock.monotonic() >= self._scan_at:
            await self._scan()
        wants = self._slots.wants() if self._may_claim else []
        if not wants:
            return
        endpoints = [e for want in wants if (e := self._registry.endpoint(want.endpoint_id)) is not None]
        try:
            claimed = await self._store.queue.claim(
                wants, now_ms=self._clock.now_ms(), lease_until_ms=self._lease_until_ms(endpoints)
            )
        except BaseException:
            self._slots.count_back(wants, ())
            self._next_scan = 0.0
            raise
        if self._slots.count_back(wants, claimed):
            self._next_scan = 0.0
        for delivery in claimed:
            self.launch(delivery)

    @property
    def _may_claim(self) -> bool:
        """False: more results wait than should, or for longer: what they are of must not be taken for lost."""
        return self._settler.unsettled < _UNSETTLED_MAX and not self._settler.behind

    @property
    def _scan_at(self) -> float:
        return max(self._next_scan, self._scan_from)

    async def _scan(self) -> None:
        """Learn from the store who has due work, and when the next of the rest is due."""
        now, now_ms = self._clock.monotonic(), self._clock.now_ms()
        self._next_scan = now + _SCAN_EVERY_S
        await self._registry.refresh()
        self._slots.forget_deleted()
        found = await self._store.queue.backlog()
        looked = self._clock.monotonic()
        self._scan_from = looked + max(_SCAN_GAP_S, min(_SCAN_EVERY_S, (looked - now) * _SCAN_REST))
        for waiting in found:
            endpoint = self._registry.endpoint(waiting.endpoint_id)
            if endpoint is None:
                continue  # made by another node a moment ago: the next look knows it
            if _ending(endpoint) is not None:
                self._start_sweep(waiting.endpoint_id)
            elif waiting.due_ms <= now_ms:
                self._slots.lane(waiting.endpoint_id).backlog[waiting.retrying] = MANY
            else:
                self._scan_by(now + (waiting.due_ms - now_ms) / 1000)

    def _start_sweep(self, endpoint_id: int) -> None:
        if endpoint_id not in self._sweeps:
            self._sweeps[endpoint_id] = asyncio.create_task(self._sweep(endpoint_id))

    async def _sweep(self, endpoint_id: int) -> None:
        """Finish what waits for an endpoint that is no more, in steps that let others write in between."""
        try:
            async with self._sweeping:
                while not self._closing and self._may_claim and await self._sweep_some(endpoint_id):
                    pass
        except StoreError as error:
            log.warning("the rest of an endpoint's deliveries is finished later", error=str(error))
        finally:
            del self._sweeps[endpoint_id]

    async def _sweep_some(self, endpoint_id: int) -> int:
        """Do a step, if the endpoint is still no more: a person may have switched it on meanwhile, on any node."""
        endpoint = self._registry.endpoint(endpoint_id)
        ending = None if endpoint is None else _ending(endpoint)
        if endpoint is None or ending is None:
            return 0
        state, reason = ending
        return await self._store.queue.finish_pending(
            endpoint_id,
            state=state,
            reason=reason,
            now_ms=self._clock.now_ms(),
            limit=_SWEEP,
            revision=endpoint.revision,
        )

    def _until_next(self, now: float) -> float:
        """Return the seconds until time alone gives something to do."""
        if not self._may_claim:
            return _STORE_WAIT_S
        opens_at = self._slots.opens_at(now)
        return (self._scan_at if opens_at is None else min(self._scan_at, opens_at)) - now

    def _scan_by(self, moment: float) -> None:
        """Look at the store at that moment at the latest."""
        if moment < self._next_scan:
            self._next_scan = moment
            self._woken.set()

    # -- sending

    def _start_workers(self, lane: Lane, endpoint_id: int) -> None:
        endpoint = self._registry.endpoint(endpoint_id)
        cap = self._slots.share(endpoint).max_in_flight if endpoint is not None else 1
        if lane.ready and lane.workers < cap:
            lane.workers += 1
            task = asyncio.create_task(self._work(lane))
            self._workers.add(task)
            task.add_done_callback(self._workers.discard)

    async def _work(self, lane: Lane) -> None:
        """Send what is ready in a lane, one after the other, until nothing is."""
        try:
            while lane.ready:
                claimed = lane.ready.popleft()
                retrying = claimed.number > 1
                try:
                    await self._send(lane, claimed)
                except Exception:  # it comes back when its lease ends; the others in the lane must not suffer
                    log.exception("an attempt ended in a fault of ours", delivery=claimed.delivery_id)
                finally:
                    if self._slots.free(lane, retrying=retrying):
                        self._woken.set()
        finally:
            lane.workers -= 1

    async def _send(self, lane: Lane, claimed: Claimed) -> None:
        endpoint = self._registry.endpoint(claimed.endpoint_id)
        if endpoint is None or not endpoint.live or self._closing or self._lease_too_short(endpoint, claimed):
            self._settler.release_claims(claimed)
            return
        if not lane.may_send(self._clock.monotonic()):
            lane.put_back(retrying=claimed.number > 1)
            self._settler.release_claims(claimed)
            return
        lane.sending += 1
        try:
            outcome = await self._sender.send(endpoint, claimed)
        finally:
            lane.sending -= 1
        now = self._clock.monotonic()
        if not outcome.is_internal:
            self._slots.record(lane, outcome)
        decision = decide(
            outcome,
            failure_count=claimed.failure_count,
            own_faults=self._own_faults.get(claimed.delivery_id, 0),
            schedule_s=self._schedule_s if endpoint.retry_schedule_s is None else endpoint.retry_schedule_s,
            jitter=endpoint.jitter,
            jitter_draw=self._rng.random(),
            now_ms=self._clock.now_ms(),
        )
        self._count_own_fault(claimed.delivery_id, counts=outcome.is_internal and decision.state == "pending")
        if decision.pause_s is not None:
            lane.paused_until = max(lane.paused_until, now + decision.pause_s)
        self._settler.put(_settlement(claimed, outcome, decision))
        for listen in self.on_attempt:
            listen(endpoint, outcome, decision)
        if decision.gone:
            await self._switch_off(endpoint)

    def _count_own_fault(self, delivery_id: int, *, counts: bool) -> None:
        """Remember faults of ours in a row, on this node and in this run; anything else begins anew."""
        before = self._own_faults.pop(delivery_id, 0)
        if counts:
            self._own_faults[delivery_id] = before + 1
            if len(self._own_faults) > _OWN_FAULTS_MAX:
                del self._own_faults[next(iter(self._own_faults))]

    def _lease_too_short(self, endpoint: Endpoint, claimed: Claimed) -> bool:
        needed_s = self._timeout_of(endpoint) + _RECORD_MARGIN_S
        return claimed.lease_until_ms - self._clock.now_ms() < needed_s * 1000

    def _settled(self, settlement: Settlement) -> None:
        if settlement.due_ms is not None:
            wait_s = (settlement.due_ms - self._clock.now_ms()) / 1000
            self._scan_by(self._clock.monotonic() + wait_s)
            return
        if settlement.has_order_key:
            self._next_of_key(settlement.endpoint_id)

    def _next_of_key(self, endpoint_id: int) -> None:
        """The next delivery of a key became due: a first try, or one that was tried before."""
        self._slots.lane(endpoint_id).backlog[True] = MANY
        self.notice(endpoint_id)
        self._woken.set()

    async def _switch_off(self, endpoint: Endpoint) -> None:
        """The receiver answered 410: it wants nothing more, unless somebody changed the endpoint since it was asked."""
        current = self._registry.endpoint(endpoint.id)
        if current is None or not current.live:
            return
        log.warning("endpoint switched off: it answered 410 Gone", endpoint=endpoint.id)
        try:
            await self._registry.switch_off(endpoint.id, "gone", self._clock.now_ms(), read=endpoint.revision)
        except StoreUnavailableError as error:  # its next 410 does it
            log.warning("cannot switch an endpoint off now", endpoint=endpoint.id, error=str(error))
        self.wake()

    def _timeout_of(self, endpoint: Endpoint) -> float:
        return self._timeout_s if endpoint.timeout_s is None else endpoint.timeout_s

    def _lease_until_ms(self, endpoints: Sequence[Endpoint]) -> int:
        """Long enough to wait for a slot as long as a request may take, and then to take that long."""
        longest = max(self._timeout_of(endpoint) for endpoint in endpoints)
        return self._clock.now_ms() + round((2 * longest + _LEASE_MARGIN_S) * 1000)


def _ending(endpoint: Endpoint) -> tuple[DeliveryState, str] | None:
    """Return how what waits for an endpoint ends, with the reason; None: it is sent or held."""
    if endpoint.deleted_ms is not None:
        return "cancelled", "endpoint_deleted"
    if endpoint.disabled_reason == "gone" and not endpoint.enabled:
        return "dead", "gone"
    return None


def _settlement(claimed: Claimed, outcome: Outcome, decision: Decision) -> Settlement:
    return Settlement(
        delivery_id=claimed.delivery_id,
        endpoint_id=claimed.endpoint_id,
        run_id=claimed.run_id,
        attempt=Attempt(
            number=claimed.number,
            started_ms=outcome.started_ms,
            duration_ms=outcome.duration_ms,
            status=outcome.status,
            error=outcome.error,
            response_headers=outcome.response_headers,
            response_body=outcome.response_body,
        ),
        state=decision.state,
        failure_count=decision.failure_count,
        due_ms=decision.due_ms,
        reason=decision.reason,
        has_order_key=claimed.has_order_key,
    )
