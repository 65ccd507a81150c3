"""A server on a real socket that answers publishers as Commerce Event does, or as a test says."""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DEADLINE_S = 30.0
KEY = "cek_the_key_of_the_tests"


class ScriptedServer:
    """Accepts every event unless told otherwise; an ``id`` that it knows is a duplicate."""

    def __init__(self) -> None:
        self.port = 0
        self.accepted: dict[str, dict[str, Any]] = {}  # items by id, in order
        self.requests: list[list[str]] = []  # the ids of each request
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.connection_count = 0
        self.refused_types: set[str] = set()
        self._script: deque[Callable[[Handler, list[dict[str, Any]]], None]] = deque()
        self.released = threading.Event()  # what hang() waits for
        self.hanging = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def then(self, *answers: Callable[[Handler, list[dict[str, Any]]], None]) -> None:
        """Answer the next requests with these, one after the other."""
        self._script.extend(answers)

    def answer(self, handler: Handler, items: list[dict[str, Any]]) -> None:
        if self._script:
            self._script.popleft()(handler, items)
        else:
            handler.json(200, {"items": self.store(items)})

    def store(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Store events; return the item of the answer for each."""
        return [self._result(index, each) for index, each in enumerate(items)]

    def _result(self, index: int, item: dict[str, Any]) -> dict[str, Any]:
        if item["type"] in self.refused_types:
            errors = [{"pointer": "/OrderId", "message": "is required"}]
            return {"index": index, "status": 422, "title": "Broken", "detail": "It is broken.", "errors": errors}
        is_known = item["id"] in self.accepted
        self.accepted.setdefault(item["id"], item)
        number = list(self.accepted).index(item["id"])
        return {
            "index": index,
            "status": 200 if is_known else 202,
            "id": f"evt_{number}",
            "duplicate": is_known,
            "deliveries": 0,
        }

    def hang(self, handler: Handler, _items: list[dict[str, Any]]) -> None:
        """Answer nothing until ``released``, then close."""
        self.hanging.set()
        self.released.wait(DEADLINE_S)
        handler.close_connection = True

    def cut(self, handler: Handler, items: list[dict[str, Any]]) -> None:
        """Store the events, and close in the middle of the answer."""
        body = json.dumps({"items": self.store(items)}).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        handler.wfile.write(head + body[: len(body) // 2])
        handler.close_connection = True

    def drop(self, handler: Handler, _items: list[dict[str, Any]]) -> None:
        """Store nothing, and close without an answer."""
        handler.close_connection = True

    def store_first(self, count: int) -> Callable[[Handler, list[dict[str, Any]]], None]:
        """Store the first events of a request, as a server does whose store fails in between."""

        def answer(handler: Handler, items: list[dict[str, Any]]) -> None:
            rest = [
                {"index": index, "status": 503, "title": "Unavailable", "detail": "The store is full."}
                for index in range(count, len(items))
            ]
            handler.json(200, {"items": [*self.store(items[:count]), *rest]})

        return answer


def problem(status: int, detail: str = "Told so.", **headers: str) -> Callable[[Handler, list[dict[str, Any]]], None]:
    """Answer the whole request with a problem."""

    def answer(handler: Handler, items: list[dict[str, Any]]) -> None:
        handler.json(status, {"title": "A problem", "status": status, "detail": detail}, **headers)

    return answer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    scripted: ScriptedServer

    def setup(self) -> None:
        super().setup()
        self.scripted.connection_count += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        items = [json.loads(line) for line in body.split(b"\n")]
        self.scripted.requests.append([each["id"] for each in items])
        self.scripted.headers.append(dict(self.headers))
        self.scripted.paths.append(self.path)
        self.scripted.answer(self, items)

    def json(self, status: int, content: Any, **headers: str) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is given
        """Stay silent."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that leave early are part of the tests."""


@contextmanager
def scripted_server(context: Any = None) -> Iterator[ScriptedServer]:
    """Run a scripted server; ``context`` is an SSL context for https."""
    scripted = ScriptedServer()
    server = _Server(("127.0.0.1", 0), type("ScriptedHandler", (Handler,), {"scripted": scripted}))
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scripted.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield scripted
    finally:
        scripted.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def unused_port() -> int:
    """Return a port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition that another thread fulfils."""
    waiting = threading.Event()
    for _ in range(int(DEADLINE_S / 0.01)):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not happen in time")
