"""Users of the simulated node: producers, operators, and faults at random times."""

import asyncio
import random
from typing import Any, Literal

import msgspec
from inline_store import Disk
from receivers import Receivers, behaviours
from record import Act, Published, Record
from simulated_node import Node, NodeDownError
from virtual_time import VirtualLoop

from commerce_event.accept.intake import PendingEvent
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core.model import Delivery, DeliveryState, Endpoint, Scope
from commerce_event.store.model import DeliveryQuery, Page
from commerce_event.store.port import StoreUnavailableError

HOUR_S = 3_600.0
TYPES = tuple(EVENT_TYPES[n] for n in ("OrderConfirmedEvent", "OrderDeliveredEvent", "CustomerChangedNotification"))
_WANTED: tuple[tuple[str, ...], ...] = (
    ("*",),
    ("Order",),
    ("OrderConfirmedEvent", "Customer"),
    ("OrderDeliveredEvent",),
)
_SCHEDULES = (None, None, None, (1.0, 5.0, 5.0), (60.0,) * 6, ())
_CLIENTS = (1, 2)


class Actors:
    """Everything that happens to a node from outside, at seeded times."""

    def __init__(
        self, loop: VirtualLoop, node: Node, receivers: Receivers, disk: Disk, record: Record, rng: random.Random
    ) -> None:
        self._loop = loop
        self._node = node
        self._receivers = receivers
        self._disk = disk
        self._record = record
        self._rng = rng

    # -- endpoints

    async def make_endpoints(self, trouble_ends_s: float) -> None:
        rng = self._rng
        for number in range(1, rng.randint(3, 8) + 1):
            endpoint = Endpoint(
                id=number,
                client_id=rng.choice(_CLIENTS),
                url=f"https://receiver-{number}.example/",
                event_types=rng.choice(_WANTED),
                filter={"OrderId": {"lt": 40}} if rng.random() < 0.15 else None,
                timeout_s=rng.choice((None, None, 1.0, 20.0)),
                retry_schedule_s=rng.choice(_SCHEDULES),
                jitter=rng.choice((0.0, 0.0, 0.2)),
                max_in_flight=rng.choice((1, 2, 8, 32)),
                rate_limit=rng.choice((None, None, None, 0.5, 5.0)),
                ordering="key" if rng.random() < 0.25 else "none",
            )
            self._receivers.add(number, behaviours(rng, trouble_ends_s))
            saved = await self._node.registry.save(endpoint)
            self._record.note_form(saved, self._loop.time(), self._loop.time())

    async def change(self, endpoint_id: int, kind: str, **fields: Any) -> None:
        """Change an endpoint as a person does, and write down what is known of it from then on."""
        now = self._loop.time
        act = Act(kind=kind, endpoint_id=endpoint_id, begin_s=now())
        self._record.acts.append(act)

        def changed(endpoint: Endpoint) -> Endpoint:
            return msgspec.structs.replace(endpoint, **fields)

        try:
            saved = await self._node.call(self._node.registry.change(endpoint_id, changed))
        except StoreUnavailableError:
            act.done, act.end_s = False, now()
            return
        except NodeDownError:
            return  # noted when the node starts again
        act.done, act.end_s = saved is not None, now()
        if saved is not None:
            self._record.note_form(saved, act.begin_s, now())
        if self._node.up:
            self._node.dispatcher.wake()

    # -- producers

    async def publish(self, count: int, over_s: float) -> None:
        """Publish events in bursts spread over the time."""
        made = 0
        while made < count:
            await asyncio.sleep(self._rng.expovariate(count / over_s / 3))
            burst = self._rng.choice((1, 1, 2, 4, 8))
            for _ in range(min(burst, count - made)):
                made += 1
                self._node.outside(self._publish_one(made))

    async def _publish_one(self, number: int) -> None:
        kind, client = self._rng.choice(TYPES), self._rng.choice(_CLIENTS)
        order = self._rng.randint(1, 80)
        data = {"ClientId": client, "OrderId": order, "ClientOrderRef": f"B-{order % 7}", "CustomerId": order % 7}
        event = Published(
            key=f"key-{number}", client_id=client, type=kind.name, category=kind.category,
            body=msgspec.json.encode({**data, "Number": number}), order_id=order, begin_s=self._loop.time(),
        )  # fmt: skip
        self._record.published.append(event)
        pending_event = PendingEvent(
            client, kind, None, data, event.body, idempotency_key=event.key, bulk=number % 3 == 0
        )
        wait_s = 1.0
        while event.event_id is None:
            try:
                [answer] = await self._node.call(self._node.intake.submit([pending_event]))
                event.event_id, event.deliveries, event.end_s = answer.id, answer.deliveries, self._loop.time()
                self._record.trace(event.end_s, "accepted", event=answer.id, outcome=answer.outcome)
            except (StoreUnavailableError, NodeDownError):
                wait_s = min(60.0, wait_s * 2)
                await asyncio.sleep(wait_s)

    # -- people

    async def act_now_and_then(self, over_s: float) -> None:
        """Do what people do, a dozen times or so."""
        until_s = self._loop.time() + over_s
        acts = (
            self._edit, self._edit, self._hold, self._pause, self._delete, self._retry, self._retry, self.cancel,
            self._replay,
        )  # fmt: skip
        while self._loop.time() < until_s:
            await asyncio.sleep(self._rng.expovariate(14 / over_s))
            act, endpoint_id = self._rng.choice(acts), self._rng.choice(sorted(self._record.forms))
            if self._node.up and not self._just_gone(endpoint_id):
                self._record.trace(self._loop.time(), "act", kind=act.__name__, endpoint=endpoint_id)
                await act(endpoint_id)

    def _just_gone(self, endpoint_id: int) -> bool:
        """Whether the node may be about to switch the endpoint off by itself: who was first could not be told."""
        now_s = self._loop.time()
        recent = [a for a in self._record.arrivals[-200:] if a.endpoint.id == endpoint_id and now_s - a.begin_s < 60]
        return any(a.status == 410 or a.end_s > now_s for a in recent)

    async def _edit(self, endpoint_id: int) -> None:
        options: tuple[dict[str, Any], ...] = (
            {"retry_schedule_s": self._rng.choice(_SCHEDULES)},
            {"rate_limit": self._rng.choice((None, 0.5, 5.0))},
            {"event_types": self._rng.choice(_WANTED)},
            {"except_types": self._rng.choice(((), ("Customer",), ("OrderDeliveredEvent",)))},
            {"timeout_s": self._rng.choice((None, 1.0, 20.0)), "max_in_flight": self._rng.choice((1, 4, 32))},
            {"ordering": self._rng.choice(("none", "key"))},
        )
        await self.change(endpoint_id, "edit", **self._rng.choice(options))

    async def _hold(self, endpoint_id: int) -> None:
        await self.change(endpoint_id, "pause", paused=True)
        await asyncio.sleep(self._rng.choice((60.0, HOUR_S, 20 * HOUR_S)))
        await self.change(endpoint_id, "resume", paused=False)

    async def _pause(self, endpoint_id: int) -> None:
        await self.change(endpoint_id, "off", enabled=False)
        await asyncio.sleep(self._rng.choice((60.0, HOUR_S, 20 * HOUR_S)))
        if not self._just_gone(endpoint_id):
            await self.change(endpoint_id, "on", enabled=True, disabled_reason=None)

    async def _delete(self, endpoint_id: int) -> None:
        if self._rng.random() < 0.3:
            await self.change(endpoint_id, "delete", deleted_ms=self._node.clock.now_ms(), secrets=(), headers={})

    async def _retry(self, endpoint_id: int) -> None:
        await self.retry(endpoint_id, self._rng.choice(("pending", "dead", "cancelled")))

    async def retry(self, endpoint_id: int, state: DeliveryState) -> None:
        found = await self._some_delivery(endpoint_id, state)
        if found is not None:
            store, now_ms = self._node.store, self._node.clock.now_ms()
            await self._on_delivery("retry", found, lambda: store.queue.requeue([found.id], now_ms=now_ms))

    async def cancel(self, endpoint_id: int) -> None:
        found = await self._some_delivery(endpoint_id, "pending")
        if found is not None:
            store, now_ms = self._node.store, self._node.clock.now_ms()
            await self._on_delivery(
                "cancel", found, lambda: store.queue.cancel([found.id], reason="cancelled_by_user", now_ms=now_ms)
            )

    async def _on_delivery(self, kind: str, found: Delivery, work: Any) -> None:
        act = Act(kind=kind, endpoint_id=found.endpoint_id, delivery_id=found.id, begin_s=self._loop.time())
        self._record.acts.append(act)
        try:
            act.done = await self._node.call(work()) > 0
        except StoreUnavailableError:
            act.done = False
        except NodeDownError:
            return
        act.end_s = self._loop.time()
        if self._node.up:
            self._node.dispatcher.wake()

    async def _replay(self, endpoint_id: int) -> None:
        endpoint = self._node.registry.endpoint(endpoint_id)
        if endpoint is None or endpoint.deleted_ms is not None:
            return
        only: Literal["failed", "all"] = self._rng.choice(("failed", "failed", "all"))
        await self.replay(endpoint, only, self._rng.choice((1, 12, 48)))

    async def replay(self, endpoint: Endpoint, only: Literal["failed", "all"], hours: int) -> None:
        """Have the events of the last hours sent again."""
        since_ms = self._node.clock.now_ms() - round(hours * HOUR_S * 1000)
        act = Act(kind=f"replay {only}", endpoint_id=endpoint.id, begin_s=self._loop.time())
        self._record.acts.append(act)
        try:
            await self._node.call(self._node.replays.start(endpoint, since_ms, self._node.clock.now_ms(), (), only))
            act.done = True
        except (StoreUnavailableError, NodeDownError):
            return

    async def _some_delivery(self, endpoint_id: int, state: DeliveryState) -> Delivery | None:
        query = DeliveryQuery(scope=Scope.everyone(), endpoint_id=endpoint_id, state=state)
        try:
            found = await self._node.call(self._node.store.history.deliveries(query, Page(20)))
        except NodeDownError:
            return None
        return self._rng.choice(found) if found else None

    # -- faults

    async def go_wrong_now_and_then(self, over_s: float) -> None:
        """Crash the node, fill the disk and set the clock, a few times each."""
        until_s = self._loop.time() + over_s
        setting = self._node.outside(self._set_clock_now_and_then(over_s))
        while self._loop.time() < until_s:
            await asyncio.sleep(self._rng.expovariate(7 / over_s))
            await self._rng.choice((self._crash, self._crash, self._fill_disk))()
        await setting

    async def _crash(self) -> None:
        begin_s = self._loop.time()
        if self._rng.random() < 0.7:
            begin_s = await self._until_busy()
        self._record.trace(begin_s, "crash")
        await self._node.crash()
        await asyncio.sleep(self._rng.choice((0.5, 5.0, 600.0, 7 * HOUR_S)))
        await self._node.start()
        self._record.outages.append((begin_s, self._loop.time()))
        self.look_again()

    async def _until_busy(self) -> float:
        """Wait for the middle of some work: a crash in idle hours proves little."""
        for _ in range(2_000):
            if self._node.dispatcher.in_flight or self._node.dispatcher.unsettled:
                await asyncio.sleep(self._rng.uniform(0.0, 0.02))
                break
            await asyncio.sleep(self._rng.uniform(0.5, 5.0))
        return self._loop.time()

    def look_again(self) -> None:
        """Acts whose answer the crash swallowed may have worked: see what they left."""
        now_s = self._loop.time()
        for act in self._record.acts:
            if act.end_s > now_s and act.done is None:
                act.end_s = now_s
                form = self._node.registry.endpoint(act.endpoint_id)
                assert form is not None
                self._record.note_form(form, act.begin_s, now_s)

    async def _fill_disk(self) -> None:
        begin_s = await self._until_busy()
        self._record.trace(begin_s, "disk full")
        self._disk.full = True
        await asyncio.sleep(self._rng.choice((1.0, 20.0, 120.0)))
        self._disk.full = False
        self._record.outages.append((begin_s, self._loop.time()))

    async def _set_clock_now_and_then(self, over_s: float) -> None:
        until_s = self._loop.time() + over_s
        while self._loop.time() < until_s:
            await asyncio.sleep(self._rng.expovariate(3 / over_s))
            await self._set_clock()

    async def _set_clock(self) -> None:
        by_ms = self._rng.choice((2 * 86_400_000, -3 * 3_600_000, 3 * 3_600_000, -2 * 86_400_000, 400))
        if self._rng.random() < 0.6:
            await self._until_busy()
        self._record.trace(self._loop.time(), "clock set", by_ms=by_ms)
        self._node.machine.set_by_ms += by_ms
        await asyncio.sleep(self._rng.uniform(0.0, 1.0))
        while True:  # as maintenance does each second
            try:
                await self._node.call(self._node.maintenance.clock_watcher.check())
                return
            except (StoreUnavailableError, NodeDownError):
                await asyncio.sleep(1.0)
