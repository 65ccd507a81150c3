"""Run the API on a real socket in the test's own loop, with a receiver whose answers the test chooses."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast
from unittest.mock import patch

import httpx
import msgspec

from commerce_event.accept.publish import Publisher
from commerce_event.api.app import App
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core.model import Role
from commerce_event.deliver import connection_pool
from commerce_event.http.protocol import HttpProtocol, Limits
from commerce_event.http.uvicorn_server import http_server, listen
from commerce_event.server import Node
from commerce_event.settings import Settings

ADMIN_KEY = "the-operators-own-admin-key-of-the-tests"
DEADLINE_S = 60.0
MEDIA = {"Content-Type": "application/json"}
Json = dict[str, Any]
Message = MutableMapping[str, Any]
_DEFAULT_LIMITS = Limits()
_shared_tls = cache(connection_pool._default_tls)  # reading the system's certificates takes longer than most tests


class Arrival(msgspec.Struct, frozen=True):
    """A request as a receiver got it."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """Answers every request with ``status`` (by path, or for all) and keeps what came."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.statuses: dict[str, int] = {}
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = b""
        self.arrived: list[Arrival] = []
        self._held = asyncio.Event()
        self._held.set()

    def answer_with(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Answer every request with this."""
        self.status = status
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._body = body

    def hold(self) -> None:
        """Answer nothing until release."""
        self._held.clear()

    def release(self) -> None:
        self._held.set()

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.arrived.append(Arrival(scope["path"], headers, body))
        await self._held.wait()
        status = self.statuses.get(scope["path"], self.status)
        headers_out = [*self._headers, (b"content-length", b"%d" % len(self._body))]
        await send({"type": "http.response.start", "status": status, "headers": headers_out})
        await send({"type": "http.response.body", "body": self._body})


class Listening(NamedTuple):
    """Where an application is served, and who is connected to it."""

    host: str
    port: int
    connections: set[HttpProtocol]


class Api:
    """A running node and what tests ask of it."""

    def __init__(
        self, node: Node, place: Listening, admin: httpx.AsyncClient, receiver: Receiver, closing: AsyncExitStack
    ) -> None:
        self.node = node
        self.port = place.port
        self.connections = place.connections
        self.admin = admin
        self.receiver = receiver
        self._closing = closing

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def caller(self, token: str | None) -> httpx.AsyncClient:
        """Return a client that sends this key, or none."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        client = plain_client(self.url, headers)
        return await self._closing.enter_async_context(client)

    async def key(self, role: Role, *client_ids: int) -> tuple[httpx.AsyncClient, Json]:
        """Make a key; return a client that uses it, and what was answered."""
        wanted: Json = {"role": role, "name": f"{role} key"}
        if client_ids:
            wanted["client_ids"] = list(client_ids)
        made = expect(await self.admin.post("/v1/keys", json=wanted), 201)
        return await self.caller(made["key"]), made

    async def endpoint(self, client_id: int = 1, **fields: Any) -> Json:
        """Make an endpoint, at this test's receiver unless a URL is given."""
        wanted = {"client_id": client_id, "url": f"{self.receiver.url}/hook", "event_types": ["*"], **fields}
        return expect(await self.admin.post("/v1/endpoints", json=wanted), 201)

    async def publish(self, client_id: int = 1, type_: str = "OrderConfirmedEvent", **changes: Any) -> Json:
        """Publish a type's example for a client; return what was answered."""
        response = await self.admin.post(f"/v1/events/{type_}", json=example(type_, client_id, **changes))
        return expect(response, 202)

    async def deliveries(self, **query: Any) -> list[Json]:
        page = expect(await self.admin.get("/v1/deliveries", params={"limit": 200, **query}), 200)
        return cast("list[Json]", page["items"])

    async def until_state(self, state: str, **query: Any) -> list[Json]:
        """Return the deliveries once there are some and all are in that state."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                found = await self.deliveries(**query)
                if found and all(each["state"] == state for each in found):
                    return found
                await asyncio.sleep(0.005)

    async def until_finished(self, count: int) -> list[Json]:
        """Return the deliveries once so many of them are neither pending nor missing."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                found = [each for each in await self.deliveries() if each["state"] != "pending"]
                if len(found) >= count:
                    return found
                await asyncio.sleep(0.005)

    async def until_arrived(self, count: int) -> list[Arrival]:
        async with asyncio.timeout(DEADLINE_S):
            while len(self.receiver.arrived) < count:
                await asyncio.sleep(0.005)
        return self.receiver.arrived


def plain_client(url: str, headers: dict[str, str]) -> httpx.AsyncClient:
    """Return a client for http alone: reading the system's certificates would take longer than a test."""
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=DEADLINE_S, verify=False, trust_env=False)


def example(type_: str = "OrderConfirmedEvent", client_id: int = 1, **changes: Any) -> Json:
    """Return a type's example made out for a client; a change to None leaves the property out."""
    data = {**EVENT_TYPES[type_].example, "ClientId": client_id, **changes}
    return {name: value for name, value in data.items() if value is not None}


def expect(response: httpx.Response, status: int) -> Json:
    """Return the JSON of an answer that must have this status."""
    assert response.status_code == status, (response.request.method, str(response.url), response.text)
    return cast("Json", response.json()) if response.content else {}


def _place(fault: Json) -> str:
    """Return the pointer of a fault, or a question mark and its parameter."""
    return f"?{fault['parameter']}" if "parameter" in fault else cast("str", fault["pointer"])


def expect_problem(response: httpx.Response, status: int, *pointers: str) -> Json:
    """Return a problem that must have this status and point at exactly these places."""
    problem = expect(response, status)
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["type"].startswith("/problems/")
    assert problem["title"]
    assert problem["detail"]
    assert [_place(fault) for fault in problem.get("errors", [])] == list(pointers), problem
    return problem


@asynccontextmanager
async def listening(app: object, limits: Limits = _DEFAULT_LIMITS, port: int = 0) -> AsyncIterator[Listening]:
    """Serve an ASGI application at a port of this machine, a free one by default; closes without uvicorn's pauses."""
    listener = listen("127.0.0.1", port)
    server = http_server(app, limits)
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup(sockets=[listener])
    host, port = listener.getsockname()
    try:
        yield Listening(host, port, cast("set[HttpProtocol]", server.server_state.connections))
    finally:
        for each in server.servers:
            each.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
            cast("HttpProtocol", connection).refuse_incomplete()
        async with asyncio.timeout(DEADLINE_S):
            while server.server_state.connections or server.server_state.tasks:
                await asyncio.sleep(0)


@asynccontextmanager
async def running_receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    async with listening(receiver) as place:
        receiver.url = f"http://127.0.0.1:{place.port}"
        yield receiver


class _Later:
    """An application that is made once the address it is served at is known."""

    app: App

    @property
    def publisher(self) -> Publisher:
        return self.app.publisher

    def count_unreadable(self) -> None:
        self.app.count_unreadable()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@asynccontextmanager
async def running_api(
    folder: Path,
    *,
    limits: Limits = _DEFAULT_LIMITS,
    at_port: int = 0,
    receiver: Receiver | None = None,
    **settings: Any,
) -> AsyncIterator[Api]:
    """Run a node on a store in this folder, unless the settings name another one.

    A ``receiver`` that is given listens already; by default there is one that lives as long as the node.
    """
    chosen: Json = {
        "store": f"sqlite:///{folder / 'events.db'}",
        "admin_key": ADMIN_KEY,
        "allow_networks": ("127.0.0.0/8",),
        "retry_schedule_s": (0.01,),
        "circuit_failures": 0,
        **settings,
    }
    node = Node(Settings(**chosen))
    async with AsyncExitStack() as closing:
        if receiver is None:
            receiver = await closing.enter_async_context(running_receiver())
        app = _Later()
        place = await closing.enter_async_context(listening(app, limits, at_port))
        with patch.object(connection_pool, "_default_tls", _shared_tls):
            await node.start(own_addresses=frozenset({(place.host, place.port)}))
        closing.push_async_callback(node.stop)
        closing.callback(receiver.release)
        app.app = node.app
        clients = await closing.enter_async_context(AsyncExitStack())
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        admin = plain_client(f"http://127.0.0.1:{place.port}", headers)
        await clients.enter_async_context(admin)
        yield Api(node, place, admin, receiver, clients)
