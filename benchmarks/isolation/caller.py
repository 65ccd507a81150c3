"""Tenant A, or an anonymous caller: keys, endpoints, events, and loops of requests."""

import asyncio
import contextlib
import json
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from benchmarks.isolation.client import Answer, Connection, Request, call, connected
from benchmarks.isolation.receivers import Behaviour, Receivers

CLIENT_ID: Final = 1
ENDPOINTS_MAX: Final = 200  # of one client
CONDITIONS_MAX: Final = 50  # of one filter
BATCH_MAX: Final = 1_000  # events
BATCH_BYTES_MAX: Final = 16 * 1024 * 1024
EVENT_BYTES_MAX: Final = 256 * 1024
BODY_BYTES_MAX: Final = 256 * 1024  # of a management call
HEAD_BYTES_MAX: Final = 64 * 1024
URL_BYTES_MAX: Final = 16 * 1024
PAGE_MAX: Final = 200
SETUP_WORKERS: Final = 8
_PATIENCE_S: Final = 30.0
_PAUSE_S: Final = 0.05  # after a connection that was refused

EVENTS: Final = "/v1/events"
ORDER_CONFIRMED: Final = "/v1/events/OrderConfirmedEvent"
JSON_LINES: Final = "application/x-ndjson"


def order(number: int, **more: Any) -> dict[str, Any]:
    """Return the data of an event of the caller."""
    return {
        "ClientId": CLIENT_ID,
        "ApplicationId": 1,
        "OrderId": number,
        "OrderNo": f"A-{number}",
        "ClientOrderRef": "A",
        "Source": "WEB",
        **more,
    }


def batch(items: Iterable[dict[str, Any]]) -> bytes:
    """Return a body of JSON Lines."""
    return b"\n".join(json.dumps({"type": "OrderConfirmedEvent", "data": item}).encode() for item in items)


def batch_of(event: dict[str, Any]) -> bytes:
    """Return the largest batch of an event repeated that is accepted."""
    line = batch([event])
    return b"\n".join([line] * min(BATCH_MAX, BATCH_BYTES_MAX // (len(line) + 1)))


class Caller:
    """Who causes the trouble."""

    def __init__(self, port: int, admin_key: str, manage_key: str) -> None:
        self.port = port
        self.admin_key = admin_key
        self.key = manage_key  # reads, publishes and manages for one client
        self.receivers = Receivers()
        self._closed = socket.socket()
        self._closed.bind(("127.0.0.1", 0))  # and nothing listens
        self.closed_port = int(self._closed.getsockname()[1])
        self.answers: Counter[str] = Counter()

    def close(self) -> None:
        self.receivers.close()
        self._closed.close()

    # -- preparing

    async def made(self, request: Request) -> Any:
        """Make a request that has to succeed, and return its JSON."""
        answer = await call(self.port, request, _PATIENCE_S)
        if answer.status >= 300:
            raise RuntimeError(f"{request.method} {request.path}: {answer.status} {answer.body[:300]!r}")
        return answer.json()

    async def add_endpoints(self, count: int, port: int | None = None, **fields: Any) -> list[str]:
        """Make endpoints at a receiver on this machine, or where nothing listens; return their ids."""
        ids: list[str] = []
        waiting = [f"http://127.0.0.1:{port or self.closed_port}/{n}" for n in range(count)]

        async def work() -> None:
            while waiting:
                body = {"client_id": CLIENT_ID, "url": waiting.pop(), "event_types": ["*"], **fields}
                ids.append((await self.made(Request("POST", "/v1/endpoints", body, self.key)))["id"])

        await asyncio.gather(*(work() for _ in range(SETUP_WORKERS)))
        return ids

    async def publish(self, body: bytes) -> list[str]:
        """Publish a batch in JSON Lines; return the ids of its events."""
        answer = await self.made(Request("POST", EVENTS, body, self.key, JSON_LINES))
        refused = [item for item in answer["items"] if "id" not in item or item["id"] is None]
        if refused:
            raise RuntimeError(f"an event was refused: {refused[0]}")
        return [item["id"] for item in answer["items"]]

    async def receive(self, behave: Behaviour) -> int:
        """Open a receiver; return its port."""
        return await self.receivers.open(behave)

    # -- calling

    def count(self, outcome: object) -> None:
        """Take note of what the caller got."""
        self.answers[str(outcome)] += 1

    async def flood(self, workers: int, make: Callable[[int], Request | bytes], pause_s: float = 0.0) -> None:
        """Send the n-th request that ``make`` returns, again and again, on kept connections; runs until cancelled."""
        numbers = iter(range(10**9))

        async def work(connection: Connection) -> None:
            while True:
                answer = await connection.call(make(next(numbers)))
                self.count(answer.status)
                if answer.headers.get("connection") == "close":
                    return
                await asyncio.sleep(pause_s)

        await self.crowd(workers, work)

    async def crowd(self, workers: int, work: Callable[[Connection], Awaitable[None]]) -> None:
        """Open connections and do ``work`` on each; a connection that ends is replaced. Runs until cancelled."""

        async def keep_working() -> None:
            while True:
                try:
                    async with connected(self.port) as connection:
                        await work(connection)
                except (OSError, EOFError) as error:
                    self.count(type(error).__name__)
                    await asyncio.sleep(_PAUSE_S)

        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(keep_working())

    async def calls(self, workers: int, make: Callable[[], Awaitable[Answer]]) -> None:
        """Make calls that are longer than one request; runs until cancelled."""

        async def work() -> None:
            while True:
                with contextlib.suppress(OSError, EOFError, TimeoutError):
                    self.count((await make()).status)

        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work())
