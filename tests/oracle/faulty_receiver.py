"""Receivers of the oracle: an HTTP server in threads that behaves well or badly, by path."""

import random
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from typing import Any

from ledger import Arrival, Ledger
from recorder import noted, number_of
from subscriptions import AWAY, BADLY, CANCELLED, DELETED, GONE_FROM, LIMITED_S, NARROW, SHARING, dies

TRAP = "/trap"
_PATIENCE_S = 20.0  # no caller is kept longer
_DRIP_S = 0.1
_SLOW_S = 0.25  # so that requests overlap where they may, also when events come slowly
_THOUGHT_S = 0.2  # so that a kill finds some of them under way
_ENDLESS_BYTES = 64 << 20
_FORBIDDEN_HOST = "127.0.0.2"  # listened on, but no network that deliveries may reach
_OTHER_NAMES = ("127.0.0.2", "2130706434", "0x7f.2", "127.2", "[::ffff:127.0.0.2]", "0177.0.0.2", "somebody@127.0.0.2")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that a killed server leaves behind."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any
    arrival: Arrival | None  # what is being answered, when it is noted at all

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.arrival = None
        try:
            self.server.receivers.take(self, body)
        finally:
            self._end()

    def answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        with self.answering(status):
            self.end_headers()

    def _end(self) -> None:
        if self.arrival is not None:
            self.arrival.ended = time.monotonic()

    @contextmanager
    def answering(self, status: int) -> Iterator[None]:
        """Note the answer once it is written."""
        if self.arrival is not None:
            self.arrival.answered = time.monotonic()
        yield
        if self.arrival is not None:
            self.arrival.status = status

    def log_message(self, *_: Any) -> None:
        pass


class Receivers:
    """Servers that note what arrives, and which of a path's ways it then took."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self.secrets: dict[str, list[str]] = {}  # by path, the newest last
        self.gone_from = GONE_FROM
        self._ledger = ledger
        self._rng = random.Random(seed)
        self._lock = threading.Lock()
        self._names = cycle(_OTHER_NAMES)
        self._gone_seen = 0
        self._server, self._elsewhere = _Server(("127.0.0.1", 0), _Handler), _Server(("127.0.0.1", 0), _Handler)
        for server in (self._server, self._elsewhere):
            server.receivers = self  # type: ignore[attr-defined]
            threading.Thread(target=server.serve_forever, daemon=True).start()
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._trap = socket.create_server((_FORBIDDEN_HOST, self.port))
        threading.Thread(target=self._watch_trap, daemon=True).start()

    def close(self) -> None:
        self._trap.close()
        for server in (self._server, self._elsewhere):
            server.shutdown()
            server.server_close()

    @property
    def forbidden_urls(self) -> list[str]:
        """Ways to write an address of ours that is not delivered to."""
        return [f"http://{name}:{self.port}{TRAP}" for name in _OTHER_NAMES]

    def take(self, handler: _Handler, body: bytes) -> None:
        """Note the request, then answer it, well or badly."""
        path = handler.path
        if path.startswith("/hop"):
            self._hop(handler, body)
            return
        noted, behave = self._way(path, body)
        if noted:
            self._note(path, handler, body)
        behave(self, handler)

    def elsewhere(self, path: str) -> str:
        return f"http://127.0.0.1:{self._elsewhere.server_address[1]}{path}"

    def inside(self) -> str:
        """Return the next spelling of an address that deliveries must not reach."""
        with self._lock:
            return f"http://{next(self._names)}:{self.port}/hop/inside"

    def is_gone(self) -> bool:
        with self._lock:
            self._gone_seen += 1
            return self._gone_seen > self.gone_from

    def _way(self, path: str, body: bytes) -> "_Way":
        if path == "/dying" and dies(number_of(body)):
            return True, _fail
        with self._lock:
            badly = self._rng.random() < (BADLY | SHARING).get(path, 0.0)
        return _WAYS[path] if badly else (True, _well)

    def _hop(self, handler: _Handler, body: bytes) -> None:
        """Answer a redirected request: with 200, with a redirect to itself, or to a forbidden address."""
        if handler.path == "/hop/loop":
            handler.answer(307, location="/hop/loop")
            return
        self._note(handler.path.removeprefix("/hop"), handler, body)
        handler.answer(200)

    def _note(self, path: str, handler: _Handler, body: bytes) -> None:
        handler.arrival = noted(
            path, dict(handler.headers.items()), body, self.secrets.get(path, ()), handler.path != path
        )
        with self._lock:
            self._ledger.arrivals.append(handler.arrival)

    def _watch_trap(self) -> None:
        while True:
            try:
                caller, _ = self._trap.accept()
            except OSError:
                return
            self._ledger.trapped.append("a connection reached an address that is not allowed")
            caller.close()


_Behave = Callable[[Receivers, _Handler], None]
_Way = tuple[bool, _Behave]  # is the request noted here, and what is done with it


def _well(_: Receivers, handler: _Handler) -> None:
    if handler.path == "/cut":  # on a connection that was used before, a cut does not count as a failure
        handler.answer(200, connection="close")
    else:
        handler.answer(200)


def _busy(_: Receivers, handler: _Handler) -> None:
    handler.answer(503)


def _take_slowly(_: Receivers, handler: _Handler) -> None:
    time.sleep(_SLOW_S)
    handler.answer(200)


def _refuse(_: Receivers, handler: _Handler) -> None:
    handler.answer(500)


def _not_modified(_: Receivers, handler: _Handler) -> None:
    handler.answer(304)


def _fail(_: Receivers, handler: _Handler) -> None:
    time.sleep(_THOUGHT_S)
    handler.answer(500)


def _wait(_: Receivers, handler: _Handler) -> None:
    assert handler.arrival is not None
    handler.arrival.asked_to_wait_s = LIMITED_S
    handler.answer(429, retry_after=f"{LIMITED_S:.0f}")


def _gone(receivers: Receivers, handler: _Handler) -> None:
    handler.answer(410 if receivers.is_gone() else 200)


def _cut(_: Receivers, handler: _Handler) -> None:
    handler.close_connection = True


def _hang(_: Receivers, handler: _Handler) -> None:
    select.select([handler.connection], [], [], _PATIENCE_S)  # until the caller gives up
    handler.close_connection = True


def _drip(_: Receivers, handler: _Handler) -> None:
    """Send a head that never ends, byte by byte."""
    handler.close_connection = True
    end = time.monotonic() + _PATIENCE_S
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
    while time.monotonic() < end:
        handler.wfile.write(b"a")
        time.sleep(_DRIP_S)


def _reset(_: Receivers, handler: _Handler) -> None:
    handler.close_connection = True
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def _garble(_: Receivers, handler: _Handler) -> None:
    handler.close_connection = True
    handler.wfile.write(b"\x16\x03\x01SSH-2.0-receiver\r\n\0\0\0" * 50)


def _never_end(_: Receivers, handler: _Handler) -> None:
    """Answer 200 with a body that goes on until the caller has had enough."""
    handler.close_connection = True
    with handler.answering(200):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    for _turn in range(_ENDLESS_BYTES // len(chunk)):
        handler.wfile.write(chunk)


def _loop(_: Receivers, handler: _Handler) -> None:
    handler.answer(307, location="/hop/loop")


def _inside(receivers: Receivers, handler: _Handler) -> None:
    handler.answer(307, location=receivers.inside())


def _moved(_: Receivers, handler: _Handler) -> None:
    handler.answer(307, location="/hop/moved")


def _away(receivers: Receivers, handler: _Handler) -> None:
    handler.answer(307, location=receivers.elsewhere(f"/hop{AWAY}"))


_WAYS: dict[str, _Way] = {
    "/flaky": (True, _busy),
    "/cut": (True, _cut),
    "/hung": (True, _hang),
    "/loris": (True, _drip),
    "/reset": (True, _reset),
    "/garbage": (True, _garble),
    "/endless": (True, _never_end),
    "/loop": (True, _loop),
    "/inside": (True, _inside),
    "/limited": (True, _wait),
    "/gone": (True, _gone),
    "/moved": (False, _moved),
    AWAY: (False, _away),
    "/unmodified": (True, _not_modified),
    NARROW: (True, _take_slowly),
    "/ordered": (True, _busy),
    CANCELLED: (True, _refuse),
    DELETED: (True, _refuse),
}
