"""Seeded bugs, one in each node; the judge must find every one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest.mock import patch

import msgspec
from simulated_node import Node

from commerce_event.core.clock import Clock
from commerce_event.core.delivery import Outcome
from commerce_event.core.model import Attempt, DeliveryKind, Endpoint, Scope
from commerce_event.deliver.concurrency import Concurrency
from commerce_event.deliver.dispatcher import Dispatcher, SendsEvents
from commerce_event.registry.registry import Registry
from commerce_event.store.model import Claimed, ClaimRequest, Settlement
from commerce_event.store.port import Store


@contextmanager
def _sending_while_paused() -> Iterator[None]:
    with patch.object(Endpoint, "is_sending", property(lambda endpoint: endpoint.live)):
        yield


def _last(dispatcher: Dispatcher) -> Settlement | None:
    """The newest result that waits to be recorded."""
    results = dispatcher._results._results
    return results[-1].settlement if results else None


def _change_last(dispatcher: Dispatcher, **changes: Any) -> None:
    results = dispatcher._results._results
    settlement = msgspec.structs.replace(results[-1].settlement, **changes)
    results[-1] = msgspec.structs.replace(results[-1], settlement=settlement)


class _EarlyDispatcher(Dispatcher):
    """Tries again a second too early."""

    async def _send(self, state: Any, claimed: Claimed) -> None:
        await super()._send(state, claimed)
        last = _last(self)
        if last is not None and last.due_ms is not None:
            _change_last(self, due_ms=last.due_ms - 1_000)


class _ForgetfulDispatcher(Dispatcher):
    """Calls every twentieth failure a success."""

    count = 0

    async def _send(self, state: Any, claimed: Claimed) -> None:
        await super()._send(state, claimed)
        last = _last(self)
        if last is not None and last.state == "pending":
            self.count += 1
            if self.count % 20 == 0:
                _change_last(self, state="delivered", due_ms=None)


class _DroppingDispatcher(Dispatcher):
    """Takes some of the first tries for sent."""

    count = 0

    def launch(self, claimed: Claimed) -> None:
        self.count += 1
        if self.count % 20:
            super().launch(claimed)
            return
        self.release(claimed.endpoint_id)
        attempt = Attempt(
            number=claimed.number, started_ms=self._clock.now_ms(), duration_ms=1.0, status=200, error=None
        )
        self._results.put(
            Settlement(
                delivery_id=claimed.delivery_id,
                endpoint_id=claimed.endpoint_id,
                run_id=claimed.run_id,
                attempt=attempt,
                state="delivered",
                failure_count=0,
                due_ms=None,
                reason=None,
            )
        )


class _TirelessDispatcher(Dispatcher):
    """Makes one attempt more than the schedule has."""

    spared = 0

    async def _send(self, state: Any, claimed: Claimed) -> None:
        await super()._send(state, claimed)
        last = _last(self)
        if last is not None and last.reason == "attempts_exhausted" and self.spared != claimed.delivery_id:
            self.spared = claimed.delivery_id
            _change_last(self, state="pending", reason=None, due_ms=self._clock.now_ms() + 60_000)


class _TwofoldDispatcher(Dispatcher):
    """Sends some deliveries twice."""

    async def _send(self, state: Any, claimed: Claimed) -> None:
        endpoint = self._registry.endpoint(claimed.endpoint_id)
        if endpoint is not None and endpoint.live and claimed.number == 1:
            await self._sender.send(endpoint, claimed)
        await super()._send(state, claimed)


class _RestlessConcurrency(Concurrency):
    """Claims due deliveries of paused endpoints as well."""

    def _claim_for(self, state: Any, now: float, requests: list[ClaimRequest]) -> None:
        with _sending_while_paused():
            super()._claim_for(state, now, requests)


class _RestlessDispatcher(Dispatcher):
    """Sends to paused endpoints."""

    def __init__(self, store: Store, registry: Registry, sender: SendsEvents, clock: Clock, **more: Any) -> None:
        super().__init__(store, registry, sender, clock, **more)
        self._concurrency.__class__ = _RestlessConcurrency

    async def _send(self, state: Any, claimed: Claimed) -> None:
        endpoint = self._registry.endpoint(claimed.endpoint_id)
        if endpoint is not None and endpoint.paused:
            await self._sender.send(endpoint, claimed)
        await super()._send(state, claimed)


class _LeakyConcurrency(Concurrency):
    """Never gives the slots of retries back."""

    def _take(self, state: Any, count: int, kind: DeliveryKind) -> None:
        super()._take(state, count, kind)
        if kind is DeliveryKind.RETRY and count > 0:
            self._node.in_flight += 1


class _LeakyDispatcher(Dispatcher):
    def __init__(self, store: Store, registry: Registry, sender: SendsEvents, clock: Clock, **more: Any) -> None:
        super().__init__(store, registry, sender, clock, **more)
        self._concurrency.__class__ = _LeakyConcurrency


class _StraySender:
    """Sends some deliveries to another endpoint."""

    def __init__(self, sender: SendsEvents, registry: Registry) -> None:
        self._sender = sender
        self._registry = registry
        self._count = 0

    async def send(self, endpoint: Endpoint, claimed: Claimed) -> Outcome:
        self._count += 1
        others = [each for each in self._registry.endpoints(Scope.everyone()) if each.id != endpoint.id]
        misdirected = self._count % 20 == 0 and others
        return await self._sender.send(others[0] if misdirected else endpoint, claimed)


class _StrayDispatcher(Dispatcher):
    def __init__(self, store: Store, registry: Registry, sender: SendsEvents, clock: Clock, **more: Any) -> None:
        super().__init__(store, registry, _StraySender(sender, registry), clock, **more)


class _BlamingSender:
    """Takes faults of the node for the receiver's."""

    def __init__(self, sender: SendsEvents) -> None:
        self._sender = sender

    async def send(self, endpoint: Endpoint, claimed: Claimed) -> Outcome:
        return msgspec.structs.replace(await self._sender.send(endpoint, claimed), is_internal=False)


class _BlamingDispatcher(Dispatcher):
    def __init__(self, store: Store, registry: Registry, sender: SendsEvents, clock: Clock, **more: Any) -> None:
        super().__init__(store, registry, _BlamingSender(sender), clock, **more)


def node_with(bug: type[Dispatcher]) -> type[Node]:
    """Return a kind of node that has the bug."""
    return type("NodeWithBug", (Node,), {"dispatcher_type": bug})


BUGS: Final[dict[str, tuple[type[Dispatcher], str]]] = {
    "tries again a second early": (_EarlyDispatcher, " s after, not "),
    "calls a failure a success": (_ForgetfulDispatcher, "no receiver took it"),
    "takes a delivery for sent": (_DroppingDispatcher, "no receiver took it"),
    "makes one attempt too many": (_TirelessDispatcher, "one too many"),
    "sends to a wrong endpoint": (_StrayDispatcher, "a wrong one"),
    "sends twice": (_TwofoldDispatcher, "sent twice under one number"),
    "sends to a paused endpoint": (_RestlessDispatcher, "to a paused endpoint"),
    "leaks slots": (_LeakyDispatcher, "slots held"),
    "blames the receiver for its own faults": (_BlamingDispatcher, "before its schedule ended"),
}
