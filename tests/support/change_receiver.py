"""A server that takes changes of a capture as ours does: it stores them with the position, or neither."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

from commerce_event.http.uvicorn_server import http_server, listen

Message = MutableMapping[str, Any]
SOURCE = "shop"


class ChangeReceiver:
    """An ASGI application with one source."""

    def __init__(self) -> None:
        self.url = ""
        self.tables: dict[str, dict[str, Any]] = {}
        self.client_id: Any = 1
        self.position: str | None = None
        self.positions: list[str] = []
        self.rows: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []  # only the last one
        self.requests: list[int] = []  # how many rows each one had
        self.known: set[str] = set()  # rows without position
        self.reports: list[dict[str, Any]] = []
        self.failures: list[int] = []  # statuses of the next answers, without storing anything
        self.lost_answers = 0  # how many of the next requests are stored, and answered with 500
        self.gate = asyncio.Event()  # answers wait until it is set
        self.gate.set()
        self.held = asyncio.Event()  # set once an answer waits
        self.arrived = asyncio.Condition()

    def map_table(self, table: str, *columns: str) -> None:
        self.tables[table] = {
            "entity": "tClientCustomer",
            "key": {"CustomerId": "id"},
            "fields": {c: c for c in columns},
        }

    async def until(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        """Wait until something that the receiver was told makes the condition true."""
        async with asyncio.timeout(seconds), self.arrived:
            await self.arrived.wait_for(condition)

    async def until_rows(self, count: int) -> list[dict[str, Any]]:
        await self.until(lambda: len(self.rows) >= count)
        return self.rows

    def values(self, column: str = "id") -> list[Any]:
        """Return a column of all rows, in the order in which they came."""
        return [(row["after"] or row["before"] or {}).get(column) for row in self.rows]

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        assert scope["type"] == "http"
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        if not self.gate.is_set():
            self.held.set()
        await self.gate.wait()
        query = parse_qs(scope["query_string"].decode(), keep_blank_values=True)
        status, content = self._answer(scope["path"], query, body)
        async with self.arrived:
            self.arrived.notify_all()
        encoded = json.dumps(content).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(encoded)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": encoded})

    def _answer(self, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, Any]:
        if path == f"/v1/change-sources/{SOURCE}/status":
            self.reports.append(json.loads(body))
            return 200, {}
        if path == f"/v1/change-sources/{SOURCE}":
            return 200, {"name": SOURCE, "client_id": self.client_id, "tables": self.tables, "position": self.position}
        if path != "/v1/changes/debezium" or query["source"] != [SOURCE]:
            return 404, {"detail": "There is no such source", "status": 404}
        if self.failures:
            return self.failures.pop(0), {"detail": "not now"}
        rows = json.loads(body)
        self.bodies = [body]
        assert len(rows) <= 1_000
        assert len(body) <= 16 * 1024**2
        return self._take_rows(rows) if "position" not in query else self._take_changes(rows, query)

    def _take_rows(self, rows: list[dict[str, Any]]) -> tuple[int, Any]:
        new = {json.dumps([row["op"], row["source"]["lsn"], row["after"]]): row for row in rows}
        self._store([row for key, row in new.items() if key not in self.known])
        self.known |= new.keys()
        return self._stored()

    def _take_changes(self, rows: list[dict[str, Any]], query: dict[str, list[str]]) -> tuple[int, Any]:
        if query["after"] != [self.position or ""]:
            return 409, {"detail": "another position", "position": self.position}
        (self.position,) = query["position"]
        self.positions.append(self.position)
        self._store(rows)
        return self._stored()

    def _stored(self) -> tuple[int, Any]:
        if self.lost_answers:
            self.lost_answers -= 1
            return 500, {"detail": "lost"}
        return 202, {}

    def _store(self, rows: list[dict[str, Any]]) -> None:
        self.rows += rows
        self.requests.append(len(rows))


@asynccontextmanager
async def running_change_receiver(
    receiver: ChangeReceiver | None = None, port: int = 0
) -> AsyncIterator[ChangeReceiver]:
    receiver = receiver or ChangeReceiver()
    listener = listen("127.0.0.1", port)
    receiver.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    http = http_server(receiver)
    serving = asyncio.create_task(http.serve(sockets=[listener]))
    try:
        yield receiver
    finally:
        receiver.gate.set()
        http.should_exit = True
        await serving
