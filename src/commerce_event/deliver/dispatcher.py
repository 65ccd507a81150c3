"""The dispatcher: sends deliveries, within the slots of each endpoint, and records their outcomes.

New events are sent straight from memory: accepting calls ``reserve``, commits, then calls ``launch``. Everything else
is claimed from the store by the claim loop, which the dispatcher owns.
"""

import asyncio
import random
from typing import Final, Protocol

import structlog

from commerce_event.core.causes import cause_of
from commerce_event.core.clock import Clock
from commerce_event.core.delivery import Decision, Outcome, decide
from commerce_event.core.model import DeliveryKind, Endpoint
from commerce_event.deliver.claim_loop import ClaimLoop
from commerce_event.deliver.concurrency import Concurrency
from commerce_event.deliver.endpoint_state import EndpointState, NodeTreatment
from commerce_event.deliver.leases import RECORD_S, Leases
from commerce_event.deliver.pace import Pace
from commerce_event.deliver.payloads import weight_of
from commerce_event.deliver.result_writer import ResultWriter
from commerce_event.registry.registry import Registry
from commerce_event.store.model import Claimed, Settlement
from commerce_event.store.port import Store, StoreUnavailableError

_OWN_FAULTS_MAX: Final = 10_000  # deliveries whose internal faults are counted

log = structlog.get_logger(__name__)


class SendsEvents(Protocol):
    """The sender, as the dispatcher needs it."""

    async def send(self, endpoint: Endpoint, claimed: Claimed) -> Outcome: ...


class AttemptListener(Protocol):
    """Called for every answered attempt, for metrics."""

    def __call__(self, endpoint: Endpoint, outcome: Outcome, decision: Decision, /) -> None: ...


class Dispatcher:
    """Delivers: moves due deliveries from the store to the sender, and their outcomes back."""

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
        self._schedule_s = retry_schedule_s
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._leases = Leases(clock, timeout_s)
        self._concurrency = Concurrency(
            store, registry, clock, max_in_flight=max_in_flight, circuit_failures=circuit_failures
        )
        self._results = ResultWriter(store, clock, self._on_recorded)
        self._claim_loop = ClaimLoop(
            store,
            registry,
            clock,
            concurrency=self._concurrency,
            leases=self._leases,
            results=self._results,
            launch=self.launch,
        )
        self._pace = Pace()
        self._workers: set[asyncio.Task[None]] = set()
        self._own_faults: dict[int, int] = {}  # in a row, by delivery; the latest last
        self._closing = False
        self.on_attempt: list[AttemptListener] = []

    # -- life

    def start(self) -> None:
        """Begin to claim and send."""
        self._claim_loop.start()

    @property
    def running(self) -> bool:
        return self._claim_loop.running

    def stop_sending(self) -> None:
        """Start no more requests, and release the claims that wait for their turn; ``close`` must follow."""
        self._closing = True
        self._claim_loop.stop()
        for state in self._concurrency.states:
            for claimed in state.take_all_ready():
                self._results.release_claims(claimed)
                self._concurrency.finish(state, claimed.kind)

    async def close(self, grace_s: float) -> None:
        """Stop claiming, let requests under way finish for at most ``grace_s``, and record the results."""
        self.stop_sending()
        await self._claim_loop.stopped()
        self.stop_sending()  # again, for what the last round claimed
        if self._workers:
            await asyncio.wait(self._workers, timeout=grace_s)
        for worker in list(self._workers):
            worker.cancel()
        if self._workers:
            await asyncio.wait(self._workers)
        await self._claim_loop.finished()
        try:
            async with asyncio.timeout(RECORD_S):
                await self._results.close()
        except TimeoutError:
            log.warning(
                "results were not recorded before shutdown; their deliveries are sent again when their leases end",
                results=self._results.unsettled,
            )

    # -- for accepting

    @property
    def run_id(self) -> int:
        return self._store.run_id

    def reserve(self, endpoint: Endpoint, *, bulk: bool = False) -> int | None:
        """Hold a slot for an event about to be committed; return the end of its lease (ms), None without a slot."""
        if not self._claim_loop.started or self._closing or self._results.is_full:
            return None
        return self._leases.until_ms((endpoint,)) if self._concurrency.reserve(endpoint, bulk=bulk) else None

    def release(self, endpoint_id: int, *, bulk: bool = False) -> None:
        """Free a reserved slot: the event was not new, or not stored."""
        self._concurrency.release(endpoint_id, bulk=bulk)

    def launch(self, claimed: Claimed) -> None:
        """Send a delivery that is durable and leased to this node."""
        state = self._concurrency.state(claimed.endpoint_id)
        state.add_ready(claimed)
        endpoint = self._registry.endpoint(claimed.endpoint_id)
        if state.workers < (1 if endpoint is None else self._concurrency.max_in_flight(state, endpoint)):
            state.workers += 1
            task = asyncio.create_task(self._work(state))
            self._workers.add(task)
            task.add_done_callback(self._workers.discard)

    def notice(self, endpoint_id: int, *, bulk: bool = False) -> None:
        """Take note of a first attempt that waits in the store."""
        if self._concurrency.notice(endpoint_id, DeliveryKind.of(1, bulk=bulk)):
            self._claim_loop.claim_now()

    # -- for people

    def wake(self) -> None:
        """Scan the store now: something was retried, replayed, resumed, switched on or deleted."""
        self._claim_loop.scan_now()

    def treatment(self, endpoint_id: int) -> NodeTreatment:
        """Return how this node treats an endpoint now."""
        return self._concurrency.state(endpoint_id).treatment(self._clock.monotonic())

    @property
    def in_flight(self) -> int:
        """Deliveries that were reserved or claimed, and are not answered yet."""
        return self._concurrency.in_flight

    @property
    def nodes(self) -> int:
        return self._store.nodes

    @property
    def unsettled(self) -> int:
        """Results that are not recorded yet."""
        return self._results.unsettled

    # -- sending

    async def _work(self, state: EndpointState) -> None:
        """Send an endpoint's ready deliveries, one after the other, until none is left."""
        try:
            while (claimed := state.take_ready()) is not None:
                state.sending_bulk += claimed.bulk
                try:
                    await self._send(state, claimed)
                except Exception:  # the delivery comes back when its lease ends; the others must not suffer
                    log.exception("an attempt failed by an internal error", delivery=claimed.delivery_id)
                finally:
                    state.sending_bulk -= claimed.bulk
                    if self._concurrency.finish(state, claimed.kind):
                        self._claim_loop.claim_now()
        finally:
            state.workers -= 1

    async def _send(self, state: EndpointState, claimed: Claimed) -> None:
        endpoint = self._registry.endpoint(claimed.endpoint_id)
        if endpoint is None or not endpoint.is_sending or self._closing or self._leases.is_too_short(endpoint, claimed):
            self._results.release_claims(claimed)
            return
        if not state.may_send(self._clock.monotonic()):
            state.put_back(claimed.kind)
            self._results.release_claims(claimed)
            return
        state.sending += 1
        try:
            weight = weight_of(endpoint, claimed)
            await self._pace.wait_for_turn(claimed.client_id, bulk=claimed.bulk, weight=weight)
            outcome = await self._sender.send(endpoint, claimed)
        finally:
            state.sending -= 1
        now = self._clock.monotonic()
        if not outcome.is_internal:
            self._concurrency.record(state, outcome)
        own_faults = self._own_faults.pop(claimed.delivery_id, 0)
        decision = decide(
            outcome,
            failure_count=claimed.failure_count,
            own_faults=own_faults,
            schedule_s=self._schedule_s if endpoint.retry_schedule_s is None else endpoint.retry_schedule_s,
            jitter=endpoint.jitter,
            jitter_draw=self._rng.random(),
            now_ms=self._clock.now_ms(),
        )
        if outcome.is_internal and decision.state == "pending":  # counted on this node, in this run
            self._own_faults[claimed.delivery_id] = own_faults + 1
            if len(self._own_faults) > _OWN_FAULTS_MAX:
                del self._own_faults[next(iter(self._own_faults))]
        if decision.pause_s is not None:
            state.paused_until = max(state.paused_until, now + decision.pause_s)
        self._results.put(_settlement(claimed, endpoint, outcome, decision), bulk=claimed.bulk)
        for listen in self.on_attempt:
            listen(endpoint, outcome, decision)
        if decision.gone:
            await self._switch_off(endpoint)

    async def _switch_off(self, endpoint: Endpoint) -> None:
        """Switch off an endpoint that answered 410, unless it was changed since the request was sent."""
        current = self._registry.endpoint(endpoint.id)
        if current is None or not current.live:
            return
        log.warning("endpoint switched off: it answered 410 Gone", endpoint=endpoint.id)
        try:
            await self._registry.switch_off(
                endpoint.id, "gone", self._clock.now_ms(), expected_revision=endpoint.revision
            )
        except StoreUnavailableError as error:
            log.warning("cannot switch the endpoint off now; its next 410 does", endpoint=endpoint.id, error=str(error))
        self.wake()

    def _on_recorded(self, settlement: Settlement) -> None:
        """Have the claim loop notice what a recorded result makes due."""
        if settlement.due_ms is not None:
            wait_s = (settlement.due_ms - self._clock.now_ms()) / 1000
            self._claim_loop.scan_by(self._clock.monotonic() + wait_s)
        elif settlement.has_order_key:  # the next delivery of the key is due, of any kind
            self._concurrency.mark_due(settlement.endpoint_id, DeliveryKind.RETRY)
            self._concurrency.notice(settlement.endpoint_id, DeliveryKind.FIRST)
            self._concurrency.notice(settlement.endpoint_id, DeliveryKind.BULK)
            self._claim_loop.claim_now()


def _settlement(claimed: Claimed, endpoint: Endpoint, outcome: Outcome, decision: Decision) -> Settlement:
    attempt = outcome.attempt(claimed.number)
    return Settlement(
        delivery_id=claimed.delivery_id,
        endpoint_id=claimed.endpoint_id,
        run_id=claimed.run_id,
        attempt=attempt,
        state=decision.state,
        failure_count=decision.failure_count,
        due_ms=decision.due_ms,
        reason=decision.reason,
        has_order_key=claimed.has_order_key,
        cause=None if outcome.delivered else cause_of(attempt, endpoint.signing),
        is_internal=outcome.is_internal,
    )
