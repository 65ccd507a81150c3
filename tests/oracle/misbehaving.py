"""The other end: threads of a plain HTTP server that behave well, badly or worse, by path."""

import base64
import hashlib
import hmac
import json
import random
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ledger import Arrival, Ledger

GOOD, FLAKY, CUT = "/good", "/flaky", "/cut"
TIMEOUT_S = 1.0  # of endpoints whose receiver may hang
_PATIENCE_S = 20.0  # no caller is kept longer
_DRIP_S = 0.1
_ENDLESS_BYTES = 64 << 20
_FORBIDDEN_HOST = "127.0.0.2"  # listened on, but no network that deliveries may reach


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

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.receivers.take(self, body)

    def answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class Receivers:
    """A server that notes what arrives, and which of a path's two ways it then took."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self.secrets: dict[str, str] = {}
        self._ledger = ledger
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._server = _Server(("", 0), _Handler)
        self._server.receivers = self  # type: ignore[attr-defined]
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, handler: _Handler, body: bytes) -> None:
        """Note the request, then answer it, well or badly."""
        path = handler.path
        if path.startswith("/hop"):
            self._hop(handler, body)
            return
        with self._lock:
            badly = self._chance.random() < _BADLY.get(path, 0.0)
        status, behave = _WAYS[path] if badly else (200, _well)
        if status is not None:
            self._note(path, handler, body, status)
        behave(handler)

    def _hop(self, handler: _Handler, body: bytes) -> None:
        """Where redirects lead: to an answer, to themselves, or to where nobody may be sent."""
        if handler.path == "/hop/loop":
            handler.answer(307, location="/hop/loop")
            return
        self._note("/moved" if handler.path == "/hop/moved" else handler.path, handler, body, 200)
        handler.answer(200)

    def _note(self, path: str, handler: _Handler, body: bytes, status: int) -> None:
        try:
            number = int(json.loads(body)["OrderId"])
        except (ValueError, KeyError):
            number = 0
        event_id = handler.headers.get("webhook-id", "")
        signed = self._is_signed(path, dict(handler.headers.items()), body)
        with self._lock:
            self._ledger.arrivals.append(Arrival(time.monotonic(), path, event_id, number, signed, status))

    def _is_signed(self, path: str, headers: dict[str, str], body: bytes) -> bool:
        secret = base64.b64decode(self.secrets.get(path, "whsec_").removeprefix("whsec_"))
        content = f"{headers.get('webhook-id')}.{headers.get('webhook-timestamp')}.".encode() + body
        expected = "v1," + base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()
        return any(hmac.compare_digest(expected, given) for given in headers.get("webhook-signature", "").split())


def _well(handler: _Handler) -> None:
    handler.answer(200)


def _busy(handler: _Handler) -> None:
    handler.answer(503)


def _cut(handler: _Handler) -> None:
    handler.close_connection = True


def _hang(handler: _Handler) -> None:
    select.select([handler.connection], [], [], _PATIENCE_S)  # until the caller gives up
    handler.close_connection = True


def _drip(handler: _Handler) -> None:
    """Send a head that never ends, byte by byte."""
    handler.close_connection = True
    end = time.monotonic() + _PATIENCE_S
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
    while time.monotonic() < end:
        handler.wfile.write(b"a")
        time.sleep(_DRIP_S)


def _reset(handler: _Handler) -> None:
    handler.close_connection = True
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def _garble(handler: _Handler) -> None:
    handler.close_connection = True
    handler.wfile.write(b"\x16\x03\x01SSH-2.0-receiver\r\n\0\0\0" * 50)


def _never_end(handler: _Handler) -> None:
    """Answer 200 with a body that goes on until the caller has had enough."""
    handler.close_connection = True
    handler.wfile.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    for _ in range(_ENDLESS_BYTES // len(chunk)):
        handler.wfile.write(chunk)


def _loop(handler: _Handler) -> None:
    handler.answer(307, location="/hop/loop")


def _inside(handler: _Handler) -> None:
    port = handler.connection.getsockname()[1]
    handler.answer(307, location=f"http://{_FORBIDDEN_HOST}:{port}/hop/inside")


def _moved(handler: _Handler) -> None:
    handler.answer(307, location="/hop/moved")


# path -> what is noted of the request when it is treated badly, and how. 0: no answer that counts; None: not noted here.
_WAYS: dict[str, tuple[int | None, Callable[[_Handler], None]]] = {
    FLAKY: (503, _busy),
    CUT: (0, _cut),
    "/hung": (0, _hang),
    "/loris": (0, _drip),
    "/reset": (0, _reset),
    "/garbage": (0, _garble),
    "/endless": (200, _never_end),
    "/loop": (307, _loop),
    "/inside": (307, _inside),
    "/moved": (None, _moved),
}
_BADLY = {FLAKY: 0.2, CUT: 0.2, "/hung": 0.1, "/loris": 0.1, "/moved": 1.0} | dict.fromkeys(
    ("/reset", "/garbage", "/endless", "/loop", "/inside"), 0.3
)
EVERY_EVENT = (GOOD, FLAKY, CUT)
ONE_APPLICATION_EACH = tuple(path for path in _WAYS if path not in EVERY_EVENT)
MAY_HANG = ("/hung", "/loris", "/endless")
