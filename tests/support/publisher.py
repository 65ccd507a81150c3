"""A publisher that records what was acknowledged, and questions to servers and receivers."""

import asyncio
from typing import Any

import httpx
from processes import DEADLINE_S, LocalReceiver, ServerProcess


def order(number: int) -> dict[str, Any]:
    return {
        "ClientId": 1,
        "ApplicationId": 1,
        "OrderId": number,
        "OrderNo": f"SO-{number}",
        "ClientOrderRef": f"basket-{number}",
        "Source": "WEB",
    }


class Publisher:
    """Publishes numbered events; repeats an event without a clear answer, with the same key."""

    def __init__(self, server: ServerProcess, name: str = "order") -> None:
        self._server = server
        self._name = name
        self._next = 0
        self.acknowledged: dict[str, str] = {}  # key -> event id

    async def run(self, until: asyncio.Event) -> None:
        async with self._server.client() as client:
            while not until.is_set():
                self._next += 1
                await self._publish(client, self._next)

    async def _publish(self, client: httpx.AsyncClient, number: int) -> None:
        key = f"{self._name}-{number}"
        while True:
            try:
                answer = await client.post(
                    "/v1/events/OrderConfirmedEvent", json=order(number), headers={"Idempotency-Key": key}
                )
            except httpx.TransportError:
                await asyncio.sleep(0.02)  # the server is down; it comes back
                continue
            if answer.status_code == 503:
                assert answer.headers["retry-after"]
                await asyncio.sleep(0.02)
                continue
            assert answer.status_code in {200, 202}, answer.text
            self.acknowledged[key] = answer.json()["id"]
            return

    async def until_acknowledged(self, count: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while len(self.acknowledged) < count:
                await asyncio.sleep(0.01)


async def subscribe(server: ServerProcess, receiver: LocalReceiver, path: str, **options: Any) -> str:
    async with server.client() as client:
        wanted = {"client_id": 1, "url": receiver.url + path, "event_types": ["*"], **options}
        answer = await client.post("/v1/endpoints", json=wanted)
        assert answer.status_code == 201, answer.text
        receiver.add(path, answer.json()["secret"])
        endpoint_id: str = answer.json()["id"]
        return endpoint_id


async def until_arrived(receiver: LocalReceiver, path: str, event_ids: set[str]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not event_ids <= receiver.arrived[path].keys():
            await asyncio.sleep(0.05)


async def until_settled(server: ServerProcess) -> list[dict[str, Any]]:
    """Wait until nothing is pending; return the books."""
    async with server.client() as client, asyncio.timeout(DEADLINE_S):
        while True:
            books: list[dict[str, Any]] = (await client.get("/v1/books")).json()["items"]
            if all(book["pending"] == 0 for book in books):
                return books
            await asyncio.sleep(0.05)


async def sequences(server: ServerProcess) -> list[int]:
    """Return the sequences of client 1's events, as they are read for reconciliation."""
    seen: list[int] = []
    async with server.client() as client:
        while page := (await client.get("/v1/events", params={"client_id": 1, "after": len(seen)})).json()["items"]:
            seen += [event["sequence"] for event in page]
    return seen
