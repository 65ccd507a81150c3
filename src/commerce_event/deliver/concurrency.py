"""The slots of a node: how many deliveries are in flight over all endpoints, and which client's endpoint claims next.

How many slots an endpoint may have is decided by ``core.capacity``; this module counts them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from commerce_event.core.capacity import ClientLoad, NodeLoad, capacity, client_room, next_opening
from commerce_event.core.circuit import Circuit
from commerce_event.core.clock import Clock
from commerce_event.core.delivery import Outcome
from commerce_event.core.model import DeliveryKind, Endpoint
from commerce_event.deliver.endpoint_state import MANY, EndpointState
from commerce_event.registry.registry import Registry
from commerce_event.store.model import Claimed, ClaimRequest
from commerce_event.store.port import Store

_REQUESTS_MAX: Final = 128  # in one round of claiming; the next round begins at once
_FEW_BULK: Final = 0.7  # of the slots: held by bulk deliveries, so it is worth to claim more, up to three quarters


class Concurrency:
    """Gives slots to deliveries and takes them back."""

    def __init__(
        self, store: Store, registry: Registry, clock: Clock, *, max_in_flight: int, circuit_failures: int
    ) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._circuit_failures = circuit_failures
        self._node = NodeLoad(max_in_flight)
        self._states: dict[int, EndpointState] = {}
        self._clients: dict[int, ClientLoad] = {}
        self._due: dict[ClientLoad, dict[EndpointState, None]] = {}
        """Endpoints with deliveries due in the store, by client; the next in turn first, in both."""
        self._registry_version = 0
        self._starved = False  # an endpoint had due deliveries and would allow more, but there was no slot for it
        self._starved_bulk = False  # the same for bulk deliveries
        self._may_claim_more = False  # see may_claim_more

    @property
    def in_flight(self) -> int:
        """The slots that are held."""
        return self._node.in_flight

    @property
    def states(self) -> Iterable[EndpointState]:
        return self._states.values()

    def state(self, endpoint_id: int) -> EndpointState:
        """Return the state of an endpoint; a new one if the node does not know the endpoint yet."""
        state = self._states.get(endpoint_id)
        if state is None:
            endpoint = self._registry.endpoint(endpoint_id)
            client = self._clients.setdefault(0 if endpoint is None else endpoint.client_id, ClientLoad())
            circuit = Circuit(threshold=self._circuit_failures)
            state = EndpointState(endpoint_id, circuit, self._clock.monotonic(), client)
            self._states[endpoint_id] = state
        return state

    def max_in_flight(self, state: EndpointState, endpoint: Endpoint) -> int:
        """Return how many requests this node may have under way to an endpoint."""
        return state.limits(endpoint, self._store.nodes).max_in_flight

    def forget_deleted(self) -> None:
        """Drop the states of deleted endpoints that have nothing in flight."""
        if self._registry.version == self._registry_version:
            return
        self._registry_version = self._registry.version
        for endpoint_id, state in list(self._states.items()):
            endpoint = self._registry.endpoint(endpoint_id)
            if state.is_idle and (endpoint is None or endpoint.deleted_ms is not None):
                del self._states[endpoint_id]
                self._unmark(state)
        clients = {state.client for state in self._states.values()}
        self._clients = {number: client for number, client in self._clients.items() if client in clients}

    # -- due deliveries in the store

    def mark_due(self, endpoint_id: int, kind: DeliveryKind) -> None:
        """Record that the store has due deliveries of a kind for an endpoint, of unknown number."""
        state = self.state(endpoint_id)
        state.due[kind] = MANY
        self._mark(state)

    def notice(self, endpoint_id: int, kind: DeliveryKind) -> bool:
        """Count a delivery that was put into the store; return whether it is the first of its kind since a claim."""
        state = self.state(endpoint_id)
        state.notice(kind)
        self._mark(state)
        return state.noticed[kind] == 1

    def _mark(self, state: EndpointState) -> None:
        self._due.setdefault(state.client, {}).setdefault(state)

    def _unmark(self, state: EndpointState) -> None:
        states = self._due.get(state.client)
        if states is not None:
            states.pop(state, None)
            if not states:
                del self._due[state.client]

    # -- taking slots

    def reserve(self, endpoint: Endpoint, *, bulk: bool = False) -> bool:
        """Hold a slot for the delivery of a new event, unless deliveries that are due in the store need it.

        A paused endpoint gets none: its deliveries wait in the store.
        """
        if not endpoint.is_sending:
            return False
        state = self.state(endpoint.id)
        kind = DeliveryKind.of(1, bulk=bulk)
        if state.due[kind] >= self._node.limit:
            return False
        now = self._clock.monotonic()
        limits = state.limits(endpoint, self._store.nodes)
        load = state.load(limits, now)
        found = capacity(limits, load, state.client, self._node, now, with_fresh_bulk=bulk)
        self._starved = self._starved or found.starved
        if (found.fresh_bulk if bulk else found.fresh) == 0:
            return False
        self._take(state, 1, kind)
        return True

    def release(self, endpoint_id: int, *, bulk: bool = False) -> None:
        """Free a reserved slot that is not used."""
        self._take(self._states[endpoint_id], -1, DeliveryKind.of(1, bulk=bulk))

    def claim_requests(self) -> list[ClaimRequest]:
        """Hold the free slots for endpoints with due deliveries, and return what to claim for them.

        Clients take turns, one endpoint of each at a time. The clients, and the endpoints of a client, that got slots
        come last in the next call, so every endpoint has its turn.
        """
        requests: list[ClaimRequest] = []
        self._node.round += 1
        self._may_claim_more = False
        now = self._clock.monotonic()
        waiting = {client: list(states) for client, states in self._due.items()}
        for states in waiting.values():
            states.reverse()  # the next in turn is taken from the end
        while waiting:
            for client in list(waiting):
                if self._node.in_flight >= self._node.limit:
                    self._starved = True
                    return requests
                if len(requests) >= _REQUESTS_MAX:
                    self._may_claim_more = True
                    return requests
                if client_room(client, self._node, trusted=True) <= 0:
                    self._starved = True
                    del waiting[client]
                    continue
                self._claim_for(waiting[client].pop(), now, requests)
                if not waiting[client]:
                    del waiting[client]
        return requests

    @property
    def may_claim_more(self) -> bool:
        """Whether the last round left slots: for endpoints that had no turn, or for another kind of an endpoint."""
        return self._may_claim_more

    def _claim_for(self, state: EndpointState, now: float, requests: list[ClaimRequest]) -> None:
        """Hold slots for one endpoint's due deliveries, and add what to claim for it."""
        endpoint = self._registry.endpoint(state.endpoint_id) if state.has_due else None
        if endpoint is None or not endpoint.is_sending:
            self._unmark(state)  # until it has some again, or the next scan after it was resumed
            return
        limits = state.limits(endpoint, self._store.nodes)
        load = state.load(limits, now)
        found = capacity(limits, load, state.client, self._node, now, with_fresh_bulk=False)
        self._starved = self._starved or found.starved
        self._starved_bulk = self._starved_bulk or found.starved_bulk
        counts = (found.first_tries, found.retries, found.bulk)
        for kind, count in zip(DeliveryKind, counts, strict=True):
            if count:
                state.noticed[kind] = 0
                self._take(state, count, kind)
                requests.append(ClaimRequest(endpoint.id, kind, count))
        if any(counts):
            states = self._due[state.client] = self._due.pop(state.client)
            states[state] = states.pop(state)

    def _take(self, state: EndpointState, count: int, kind: DeliveryKind) -> None:
        """Hold slots; a negative count frees them unused."""
        state.take(count, kind)
        self._count(state, count, kind)

    def _count(self, state: EndpointState, count: int, kind: DeliveryKind) -> None:
        """Count slots of an endpoint for the node and for its client."""
        bulk = count * (kind is DeliveryKind.BULK)
        self._node.in_flight += count
        self._node.retries += count * (kind is DeliveryKind.RETRY)
        self._node.bulk += bulk
        state.client.in_flight += count
        state.client.bulk += bulk
        if not state.trusted:
            self._node.untrusted += count
            state.client.untrusted += count
            state.client.untrusted_bulk += bulk

    # -- freeing slots

    def claimed(self, requests: Sequence[ClaimRequest], deliveries: Sequence[Claimed]) -> bool:
        """Free the slots that a claim did not fill.

        Return whether an endpoint's due retries or bulk deliveries are exhausted: only the store knows when its next
        one is due.
        """
        counts = Counter((delivery.endpoint_id, delivery.kind) for delivery in deliveries)
        exhausted = False
        for request in requests:
            count = counts[request.endpoint_id, request.kind]
            state = self._states[request.endpoint_id]
            self._take(state, count - request.limit, request.kind)
            is_last = state.claimed(request.kind, count, request.limit)
            exhausted = exhausted or (is_last and request.kind is not DeliveryKind.FIRST)
            if count < request.limit and state.has_due:
                self._may_claim_more = True
        return exhausted

    def finish(self, state: EndpointState, kind: DeliveryKind) -> bool:
        """Free the slot of a delivery that was answered; return whether it is time to claim more.

        An endpoint claims again when half of its workers run out of ready deliveries, not for each single slot. For
        bulk deliveries, it also waits until the node has room for a good number of them, or it holds none any more.
        """
        state.finish(kind)
        self._count(state, -1, kind)
        if state.has_due:
            self._mark(state)
        is_time = self._starved or state.is_running_out
        if not is_time and (state.bulk == 0 or self._node.bulk <= self._node.limit * _FEW_BULK):
            is_time = self._starved_bulk or state.is_running_out_of_bulk
        if is_time:
            self._starved = self._starved_bulk = False
        return is_time

    def record(self, state: EndpointState, outcome: Outcome) -> None:
        """Record an answer in the endpoint's circuit breaker, and whether the endpoint is trusted now."""
        state.circuit.record(outcome.delivered, self._clock.monotonic())
        if outcome.delivered != state.trusted:
            state.trusted = outcome.delivered
            sign = -1 if state.trusted else 1
            self._node.untrusted += sign * state.in_flight
            state.client.untrusted += sign * state.in_flight
            state.client.untrusted_bulk += sign * state.bulk

    # -- time

    def next_opening(self, now: float) -> float | None:
        """Return when time alone gives an endpoint with due deliveries room; None when only an answer can."""
        if self._node.in_flight >= self._node.limit:
            return None
        moments = []
        for endpoint, state in self._endpoints_due():
            limits = state.limits(endpoint, self._store.nodes)
            moments.append(next_opening(limits, state.load(limits, now), now))
        return min((moment for moment in moments if moment is not None), default=None)

    def _endpoints_due(self) -> Iterator[tuple[Endpoint, EndpointState]]:
        """Yield the endpoints with due deliveries; forget the others until they have some again."""
        for state in [state for states in self._due.values() for state in states]:
            endpoint = self._registry.endpoint(state.endpoint_id) if state.has_due else None
            if endpoint is not None and endpoint.is_sending:
                yield endpoint, state
            else:
                self._unmark(state)
