"""A whole node in this process, with endpoints at receivers that misbehave and short retry schedules."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from hostile_receiver import HostileServer
from stores import attempts_of

from commerce_event.accept.intake import PendingEvent
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core.model import Attempt, Delivery, Endpoint, Scope, Secret
from commerce_event.core.signatures import new_secret
from commerce_event.core.vault import new_key
from commerce_event.server import Node
from commerce_event.store.model import Accepted, DeliveryQuery, Page

EVERYONE = Scope.everyone()
DEADLINE_S = 60.0
SECRET_KEY = new_key()
ORDER = EVENT_TYPES["OrderConfirmedEvent"]


class Bench:
    """A node with endpoints at a hostile server."""

    def __init__(self, node: Node, hostile: HostileServer) -> None:
        self.node = node
        self.hostile = hostile

    async def endpoint(self, path: str, **fields: Any) -> Endpoint:
        now_ms = self.node.clock.now_ms()
        wanted: dict[str, Any] = {"retry_schedule_s": (0.05, 0.1, 0.15), "timeout_s": 0.3} | fields
        return await self.node.registry.save(
            Endpoint(
                id=self.node.dispatcher.run_id * 1_000_000
                + now_ms % 1_000_000
                + len(self.node.registry.endpoints(EVERYONE)),
                client_id=1,
                url=self.hostile.url + path,
                event_types=("*",),
                secrets=(Secret(new_secret("hmac")),),
                **wanted,
            )
        )

    async def publish(self, count: int = 1, reference: str = "B-1") -> list[Accepted]:
        pending_events = []
        for number in range(count):
            data = {**ORDER.example, "ClientId": 1, "OrderId": number, "ClientOrderRef": reference}
            pending_events.append(PendingEvent(1, ORDER, data.get("ApplicationId"), data, msgspec.json.encode(data)))
        return await self.node.intake.submit(pending_events)

    async def deliveries(self, **conditions: Any) -> list[Delivery]:
        return await self.node.store.history.deliveries(DeliveryQuery(scope=EVERYONE, **conditions), Page(1_000))

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not await condition():
                await asyncio.sleep(0.02)

    async def until_settled(self, **conditions: Any) -> list[Delivery]:
        async def settled() -> bool:
            found = await self.deliveries(**conditions)
            return bool(found) and all(each.state != "pending" for each in found)

        await self.until(settled)
        return await self.deliveries(**conditions)

    async def attempts(self, delivery: Delivery) -> list[Attempt]:
        return await attempts_of(self.node.store, delivery.id)

    def arrived(self, path: str) -> list[dict[str, Any]]:
        return [msgspec.json.decode(each.body) for each in self.hostile.received if each.path == path]
