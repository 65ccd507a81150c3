"""A short trial of one server: everything is published, received and noted from outside, with a kill in the middle.

Knows the product by its command line and its HTTP API alone. What it saw goes to `verdict`.
"""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from ports import free_port

KEY = "the-key-of-the-trial-itself"
SCHEDULE_S = (0.15, 0.15, 0.15)
DEADLINE_S = 90.0
QUIET_S = 6.0  # in which nothing comes of what is pending
STATIC = ("x-shop", "seventh street")
ORDER = "/v1/events/OrderConfirmedEvent"
# Who wants every event of client 1, and how each answers; see `Receivers.answer`.
WANTING = (
    "good", "flaky", "cut", "hung", "not-modified", "broken", "gone", "limited", "headers", "narrow", "ordered", "rotated",
    "cancelled", "deleted",
)  # fmt: skip
UNWANTING: dict[str, dict[str, Any]] = {
    "other-client": {"client_id": 2},
    "other-type": {"event_types": ["Product"]},
    "other-application": {"application_id": 9},
    "filtered": {"filter": {"Source": "POS"}},
    "off": {"enabled": False},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "hung": {"timeout_s": 0.3},
    "headers": {"headers": dict([STATIC])},
    "narrow": {"max_in_flight": 1},
    "ordered": {"ordering": "key"},
    "cancelled": {"retry_schedule": ["1h"]},
    "deleted": {"retry_schedule": ["1h"]},
    **UNWANTING,
}
_ALWAYS = {"broken": 500, "cancelled": 500, "deleted": 500, "gone": 410}
_AT_FIRST = {
    "flaky": (503, ""),
    "ordered": (503, ""),
    "cut": (0, ""),  # no answer, the connection is closed
    "hung": (0, ""),
    "not-modified": (304, ""),
    "limited": (429, "retry-after: 1\r\n"),
}
_WELL = {("limited", number) for number in range(100) if number != 24}  # sequences that are taken at first, too
_WELL |= {("ordered", number) for number in range(100) if number % 5}


@dataclass
class Arrival:
    """A request that a receiver saw. Times are seconds of one clock; ``status`` 0: no answer was given."""

    path: str
    headers: dict[str, str]
    body: bytes
    begun: float
    wall: float
    ended: float = 0.0
    status: int = 0

    @property
    def event_id(self) -> str:
        return self.headers.get("webhook-id", "")

    @property
    def number(self) -> int:
        return int(self.headers.get("commerce-event-attempt", "0"))


@dataclass
class Record:
    """What happened, as those outside saw it, and what the server says of itself in the end."""

    bodies: dict[str, bytes] = field(default_factory=dict)  # event id -> what was published
    secrets: dict[str, list[str]] = field(default_factory=dict)  # path -> secrets, the newest last
    before_rotation: set[str] = field(default_factory=set)  # events; those that came later need the new secret
    killed_at: float = float("inf")
    up_again_at: float = float("inf")
    dropped_at: dict[str, float] = field(
        default_factory=dict
    )  # path -> when it was deleted or its deliveries cancelled
    replayed_at: float = float("inf")
    arrivals: list[Arrival] = field(default_factory=list)
    wrong_answers: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    deliveries: list[dict[str, Any]] = field(default_factory=list)  # with attempts, and their endpoint's path
    dead: list[dict[str, Any]] = field(default_factory=list)
    endpoints: list[dict[str, Any]] = field(default_factory=list)
    books: list[dict[str, Any]] = field(default_factory=list)
    balanced: bool = False
    metrics: str = ""
    replay: dict[str, Any] = field(default_factory=dict)
    left: str = ""


class Receivers:
    """The other end: answers by path, well, badly or not at all."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._seen: Counter[tuple[str, str]] = Counter()
        self._open = 0
        self._alone = asyncio.Event()
        self._alone.set()

    async def __aenter__(self) -> "Receivers":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """The server is gone, and so are its connections in a moment."""
        self._server.close()
        async with asyncio.timeout(DEADLINE_S):
            await self._alone.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        self._alone.clear()
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, EOFError):
            pass
        finally:
            writer.close()
            self._open -= 1
            if not self._open:
                self._alone.set()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        arrival = Arrival(head[0].split(" ")[1].strip("/"), headers, body, time.monotonic(), time.time())
        self._record.arrivals.append(arrival)
        self._seen[arrival.path, arrival.event_id] += 1
        status, more = await self._answer(arrival, reader)
        arrival.ended = time.monotonic()
        if not status:
            return False
        once = arrival.path == "cut"  # a cut of a connection that was used before would be nobody's fault
        more += "connection: close\r\n" if once else ""
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n{more}\r\n".encode())
        await writer.drain()
        arrival.status = status
        return not once

    async def _answer(self, arrival: Arrival, reader: asyncio.StreamReader) -> tuple[int, str]:
        if arrival.path in _ALWAYS:
            return _ALWAYS[arrival.path], ""
        if arrival.path == "narrow":
            await asyncio.sleep(0.01)
        first = self._seen[arrival.path, arrival.event_id] == 1
        sequence = int(arrival.headers.get("commerce-event-sequence", "0"))
        if not first or (arrival.path, sequence) in _WELL or arrival.path not in _AT_FIRST:
            return 200, ""
        if arrival.path == "hung":
            await reader.read(1)  # until the other side has had enough
        return _AT_FIRST[arrival.path]


class Server:
    """`commerce-event serve`, with or without a bug, on a store that outlives it."""

    def __init__(self, folder: Path, bug: str) -> None:
        self._log = folder / "log"
        self._bug = bug
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("COMMERCE_EVENT_")},
            "COMMERCE_EVENT_STORE": f"sqlite:///{folder / 'events.db'}",
            "COMMERCE_EVENT_PORT": str(port),
            "COMMERCE_EVENT_ADMIN_KEY": KEY,
            "COMMERCE_EVENT_ALLOW_NETWORKS": "127.0.0.0/8",
            "COMMERCE_EVENT_RETRY_SCHEDULE": ",".join(f"{delay_s}s" for delay_s in SCHEDULE_S),
        }
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("launch_seeded.py")), self._bug, "serve"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        async with httpx.AsyncClient(base_url=self.url) as client, asyncio.timeout(DEADLINE_S):
            while True:
                if self._process.poll() is not None:
                    raise RuntimeError(f"the server ended by itself: {self._log.read_text()[-2000:]}")
                try:
                    if (await client.get("/readyz")).status_code == 200:
                        return
                except httpx.TransportError:
                    await asyncio.sleep(0.02)  # until it listens

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def api(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=20)


class Trial:
    """One server, one life, one record."""

    def __init__(self, server: Server, receivers: Receivers, record: Record) -> None:
        self._server = server
        self._receivers = receivers
        self._record = record
        self._numbers = itertools.count(1)
        self._paths: dict[str, str] = {}  # endpoint id -> path

    async def run(self) -> None:
        await self._server.start()
        async with self._server.api() as self._api:
            await self._subscribe()
            await self._publish_many(12)
            await asyncio.gather(self._publish_many(6), self._kill_soon())
            await self._batch()
            await self._ask_twice()
            await self._rotate()
            await self._publish_many(4)
            await self._quiet_but_for({"cancelled", "deleted"})
            await self._drop()
            await self._replay()
            await self._quiet_but_for(set())
            await self._read()

    async def _subscribe(self) -> None:
        for path in (*WANTING, *UNWANTING):
            wanted = {
                "client_id": 1,
                "url": f"{self._receivers.url}/{path}",
                "event_types": ["*"],
                **OPTIONS.get(path, {}),
            }
            made = (await self._api.post("/v1/endpoints", json=wanted)).raise_for_status().json()
            self._record.secrets[path] = [made["secret"]]
            self._paths[made["id"]] = path

    def _body(self) -> bytes:
        """An event whose bytes tell whether anybody read and wrote it anew."""
        number = next(self._numbers)
        shared = number % 3
        return (
            f'{{ "OrderNo":"SO-{shared}",  "ClientId":1,"OrderId":{shared + 1}, "ApplicationId":1,"Source":"WEB",'
            f'"ClientOrderRef":"B-{shared}","Extra":{{"Sum":1.50,"Name":"\\u00c5sa","Number":{number}}}}}'
        ).encode()

    async def _publish_many(self, count: int) -> None:
        for _ in range(count):
            body = self._body()
            key = f"key-{len(self._record.bodies)}-{body.hex()[-8:]}"
            answer = await self._publish(body, key)
            if answer is not None:
                self._record.bodies[answer["id"]] = body
                self._last = (key, body, answer["id"])

    async def _publish(self, body: bytes, key: str) -> dict[str, Any] | None:
        """Publish until there is an answer, with the same key."""
        headers = {"Idempotency-Key": key, "content-type": "application/json"}
        while True:
            try:
                answer = await self._api.post(ORDER, content=body, headers=headers)
            except httpx.TransportError:
                await asyncio.sleep(0.02)  # the server is down; it comes back
                continue
            if answer.status_code in {200, 202}:
                said: dict[str, Any] = answer.json()
                return said
            if answer.status_code != 503:
                self._record.wrong_answers.append(f"a good event was refused: {answer.status_code} {answer.text}")
                return None
            await asyncio.sleep(0.02)

    async def _kill_soon(self) -> None:
        enough = len(self._record.bodies) + 2
        while len(self._record.bodies) < enough:
            await asyncio.sleep(0.001)
        self._record.killed_at = time.monotonic()
        self._server.kill()
        await self._server.start()
        self._record.up_again_at = time.monotonic()

    async def _batch(self) -> None:
        bodies = [self._body() for _ in range(4)]
        bad = b'{"ClientId":1,"OrderId":"no number"}'
        lines = [b'{"type":"OrderConfirmedEvent","data":%b}' % body for body in (*bodies[:2], bad, *bodies[2:])]
        headers = {"content-type": "application/x-ndjson"}
        answer = await self._api.post("/v1/events", content=b"\n".join(lines), headers=headers)
        results = answer.json()["items"]
        good = [each for each in results if each.get("id")]
        if len(results) != 5 or len(good) != 4 or results[2].get("id"):
            self._record.wrong_answers.append(f"the batch was answered with {answer.status_code} {answer.text[:300]}")
        for each, body in zip(good, bodies, strict=False):
            self._record.bodies[each["id"]] = body

    async def _ask_twice(self) -> None:
        key, body, event_id = self._last
        again = await self._publish(body, key)
        if again is None or (again["id"], again["duplicate"]) != (event_id, True):
            self._record.wrong_answers.append(f"a repeat with the same key was answered with {again}")
        headers = {"Idempotency-Key": key, "content-type": "application/json"}
        for wrong, status in ((self._body(), 409), (b'{"ClientId":1,"OrderId":-1.5}', 422), (b'{"ClientId":', 400)):
            sent = headers if status == 409 else {"content-type": "application/json"}
            answer = await self._api.post(ORDER, content=wrong, headers=sent)
            if answer.status_code != status:
                self._record.wrong_answers.append(f"{answer.status_code} where {status} belongs: {answer.text[:200]}")

    async def _rotate(self) -> None:
        [endpoint_id] = [each for each, path in self._paths.items() if path == "rotated"]
        answer = await self._api.post(f"/v1/endpoints/{endpoint_id}/rotate-secret", json={})
        self._record.secrets["rotated"].append(answer.raise_for_status().json()["secret"])
        self._record.before_rotation = set(self._record.bodies)

    async def _quiet_but_for(self, waiting: set[str]) -> None:
        """Wait until nothing is pending that is not to wait; once that failed, nothing is waited for any more."""
        if self._record.left:
            return
        seen, since = -1, time.monotonic()
        while pending := [path for path in await self._pending_paths() if path not in waiting]:
            if (happened := len(self._record.arrivals) - len(pending)) != seen:
                seen, since = happened, time.monotonic()
            if time.monotonic() - since > QUIET_S:
                self._record.left = f"still pending: {', '.join(sorted(set(pending)))}"
                return
            await asyncio.sleep(0.03)

    async def _drop(self) -> None:
        for each in await self._list(state="pending"):
            if self._paths[each["endpoint_id"]] == "cancelled":
                await self._api.post(f"/v1/deliveries/{each['id']}/cancel")
        self._record.dropped_at["cancelled"] = time.monotonic()
        [endpoint_id] = [each for each, path in self._paths.items() if path == "deleted"]
        (await self._api.delete(f"/v1/endpoints/{endpoint_id}")).raise_for_status()
        self._record.dropped_at["deleted"] = time.monotonic()
        await self._quiet_but_for(set())

    async def _replay(self) -> None:
        [endpoint_id] = [each for each, path in self._paths.items() if path == "good"]
        self._record.replayed_at = time.monotonic()
        wanted = {"endpoint_id": endpoint_id, "since": "2020-01-01T00:00:00Z", "only": "all"}
        replay = (await self._api.post("/v1/replays", json=wanted)).raise_for_status().json()
        async with asyncio.timeout(DEADLINE_S):
            while replay["finished_at"] is None:
                replay = (await self._api.get(f"/v1/replays/{replay['id']}")).raise_for_status().json()
                await asyncio.sleep(0.02)
        self._record.replay = replay

    async def _pending_paths(self) -> list[str]:
        return [self._paths[each["endpoint_id"]] for each in await self._list(state="pending")]

    async def _list(self, **query: str) -> list[dict[str, Any]]:
        return await self._all("/v1/deliveries", **query)

    async def _all(self, address: str, **query: Any) -> list[dict[str, Any]]:
        found, cursor = [], None
        while True:
            params = {**query, "limit": 200, **({"cursor": cursor} if cursor else {})}
            page = (await self._api.get(address, params=params)).raise_for_status().json()
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    async def _read(self) -> None:
        record = self._record
        record.events = (await self._api.get("/v1/events", params={"client_id": 1, "after": 0, "limit": 200})).json()[
            "items"
        ]
        listed = await self._list()
        details = await asyncio.gather(*(self._api.get(f"/v1/deliveries/{each['id']}") for each in listed))
        record.deliveries = [
            {**each.json(), "path": self._paths[each.json()["endpoint_id"]]} for each in details if each.is_success
        ]
        record.dead = await self._list(state="dead")
        record.endpoints = await self._all("/v1/endpoints")
        async with asyncio.timeout(DEADLINE_S):  # until the accounts are counted after the last change
            while True:
                books = (await self._api.get("/v1/books")).json()
                if books["counted_at"] is not None:
                    break
                await asyncio.sleep(0.1)
        record.books, record.balanced = books["items"], books["balanced"]
        record.metrics = (await self._api.get("/metrics")).text


async def tried(folder: Path, bug: str) -> Record:
    """Run a trial of a server with a bug; "none" is one without."""
    record = Record()
    server = Server(folder, bug)
    async with Receivers(record) as receivers:
        try:
            async with asyncio.timeout(DEADLINE_S):
                await Trial(server, receivers, record).run()
        finally:
            server.kill()
    return record


if __name__ == "__main__":
    import tempfile

    from verdict import breaches

    with tempfile.TemporaryDirectory() as place:
        for line in breaches(asyncio.run(tried(Path(place), sys.argv[1]))):
            print(json.dumps(line))
