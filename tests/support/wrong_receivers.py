"""Receivers on real sockets: one that does everything right, and others that each do one thing wrong."""
# ruff: noqa: ARG002 - each overrides one method, which need not use everything

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core.signatures import InvalidSignatureError, new_secret, verify

Headers = Mapping[str, str]


class RefusedError(Exception):
    """Ends a request with a status."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers


class ReadyReceiver:
    """Verifies, reads and does the work of each event once. ``disk`` survives ``restart``."""

    def __init__(self) -> None:
        self.secret = new_secret("hmac")
        self.url = ""
        self.effects = 0
        self.disk: set[str] = set()
        self.lock = threading.Lock()

    @contextmanager
    def running(self) -> Iterator["ReadyReceiver"]:
        """Serve on a port of its own."""
        server = _Server(("127.0.0.1", 0), _handler_of(self))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}/hook"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    async def restart(self) -> None:
        """Lose what is in memory."""

    async def count(self) -> int:
        return self.effects

    def get(self) -> str:
        raise RefusedError(405, "Send events with POST")

    def post(self, headers: Headers, request: "_Request") -> str:
        """Take an event; return what the answer says."""
        body = self.read(request)
        self.authenticate(headers, body)
        event = self.parse(body)
        event_type = headers.get("commerce-event-type", "")
        if self.is_known(event_type):
            self.validate(event_type, event)
            self.do_once(headers.get("webhook-id", "none"))
        return "thank you"

    def read(self, request: "_Request") -> bytes:
        return request.body()

    def authenticate(self, headers: Headers, body: bytes) -> None:
        try:
            self.verify(headers, body)
        except InvalidSignatureError as error:
            raise RefusedError(401, str(error)) from None

    def verify(self, headers: Headers, body: bytes) -> None:
        verify([self.secret], headers, body, time.time())

    def parse(self, body: bytes) -> dict[str, Any]:
        try:
            event = json.loads(body.decode())
        except ValueError:
            raise RefusedError(400, "not JSON") from None
        if not isinstance(event, dict) or not isinstance(event.get("ClientId"), int):
            raise RefusedError(400, "not an event")
        return event

    def is_known(self, event_type: str) -> bool:
        return event_type in EVENT_TYPES

    def validate(self, event_type: str, event: dict[str, Any]) -> None:
        """Refuse an event that this receiver cannot use."""

    def do_once(self, webhook_id: str) -> None:
        with self.lock:
            if webhook_id not in self.disk:
                self.disk.add(webhook_id)
                self.effects += 1


class _Request:
    """Reads the body of a request."""

    def __init__(self, connection: socket.socket, length: int, source: Any) -> None:
        self.connection = connection
        self.length = length
        self._source = source

    def body(self) -> bytes:
        body: bytes = self._source.read(self.length)
        return body


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that did not wait for the answer."""


def _handler_of(receiver: ReadyReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(receiver.get)

        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = _Request(self.connection, int(headers.get("content-length", "0")), self.rfile)
            self._answer(lambda: receiver.post(headers, request))

        def _answer(self, work: Callable[[], str]) -> None:
            extra: Mapping[str, str] = {}
            try:
                status, text = 200, work()
            except RefusedError as refused:
                status, text, extra = refused.status, str(refused), refused.headers
            except Exception as error:
                status, text = 500, f"{type(error).__name__}: {error}"
            self.send_response(status)
            for name, value in extra.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is given
            pass

    return Handler


class VerifiesNothing(ReadyReceiver):
    def verify(self, headers: Headers, body: bytes) -> None:
        pass


class VerifiesOnlyWhatIsSigned(ReadyReceiver):
    def verify(self, headers: Headers, body: bytes) -> None:
        if "webhook-signature" in headers:
            super().verify(headers, body)


class IgnoresAge(ReadyReceiver):
    def verify(self, headers: Headers, body: bytes) -> None:
        verify([self.secret], headers, body, float(headers.get("webhook-timestamp", "0")))


class FailsOnWrongSignature(ReadyReceiver):
    """Refuses with 500, which is a warning only."""

    def authenticate(self, headers: Headers, body: bytes) -> None:
        self.verify(headers, body)


class VerifiesSerialisedAgain(ReadyReceiver):
    def verify(self, headers: Headers, body: bytes) -> None:
        try:
            body = json.dumps(json.loads(body.decode()), ensure_ascii=False, separators=(",", ":")).encode()
        except ValueError:
            raise RefusedError(400, "not JSON") from None
        super().verify(headers, body)


class VerifiesFirstSignature(ReadyReceiver):
    def verify(self, headers: Headers, body: bytes) -> None:
        first = headers.get("webhook-signature", "").partition(" ")[0]
        super().verify({**headers, "webhook-signature": first}, body)


class RefusesRepeats(ReadyReceiver):
    def do_once(self, webhook_id: str) -> None:
        with self.lock:
            if webhook_id in self.disk:
                raise RefusedError(409, "this event was received before")
            self.disk.add(webhook_id)
            self.effects += 1


class WorksAgain(ReadyReceiver):
    def do_once(self, webhook_id: str) -> None:
        with self.lock:
            self.effects += 1


class ForgetsIdsAtRestart(ReadyReceiver):
    async def restart(self) -> None:
        self.disk.clear()


class LooksBeforeItInserts(ReadyReceiver):
    """Does the work between looking for the id and recording it."""

    def do_once(self, webhook_id: str) -> None:
        is_repeat = webhook_id in self.disk
        time.sleep(0.1)
        if not is_repeat:
            with self.lock:
                self.effects += 1
                self.disk.add(webhook_id)


class LosesEvents(ReadyReceiver):
    """Answers, and does nothing."""

    def do_once(self, webhook_id: str) -> None:
        pass


class WorksBeforeItAnswers(ReadyReceiver):
    work_s = 1.3

    def do_once(self, webhook_id: str) -> None:
        if webhook_id not in self.disk:
            time.sleep(self.work_s)
        super().do_once(webhook_id)


class HandlesOneAtATime(ReadyReceiver):
    work_s = 0.15

    def do_once(self, webhook_id: str) -> None:
        with self.lock:
            if webhook_id not in self.disk:
                time.sleep(self.work_s)
                self.disk.add(webhook_id)
                self.effects += 1


class RejectsUnknownProperties(ReadyReceiver):
    def validate(self, event_type: str, event: dict[str, Any]) -> None:
        unknown = event.keys() - EVENT_TYPES[event_type].properties
        if unknown:
            raise RefusedError(400, f"unknown: {sorted(unknown)}")


class RejectsUnknownValues(ReadyReceiver):
    def validate(self, event_type: str, event: dict[str, Any]) -> None:
        for each in EVENT_TYPES[event_type].fields:
            if each.values and event.get(each.name) not in each.values:
                raise RefusedError(422, f"{each.name} has an unknown value")


class FailsOnUnknownTypes(ReadyReceiver):
    def is_known(self, event_type: str) -> bool:
        return EVENT_TYPES[event_type].name == event_type


class RejectsEventsOutOfOrder(ReadyReceiver):
    def __init__(self) -> None:
        super().__init__()
        self.orders: set[int] = set()

    def validate(self, event_type: str, event: dict[str, Any]) -> None:
        if event_type == "OrderConfirmedEvent":
            self.orders.add(event["OrderId"])
        if event_type == "OrderDeliveredEvent" and event["OrderId"] not in self.orders:
            raise RefusedError(404, "this order does not exist")


class ReadsSmallNumbers(ReadyReceiver):
    def validate(self, event_type: str, event: dict[str, Any]) -> None:
        event.get("OrderId", 0).to_bytes(4, "big", signed=True)


class FailsOnMalformedBodies(ReadyReceiver):
    def parse(self, body: bytes) -> dict[str, Any]:
        event = json.loads(body)
        return event if event["ClientId"] + 1 else {}


class TakesEveryBody(ReadyReceiver):
    """Queues bodies without parsing, which is a warning only."""

    def parse(self, body: bytes) -> dict[str, Any]:
        return {}


class AnswersGet(ReadyReceiver):
    def get(self) -> str:
        return "hello"


class RefusesHugeBodies(ReadyReceiver):
    status = 500

    def read(self, request: _Request) -> bytes:
        body = super().read(request)
        if len(body) > 100_000:
            raise RefusedError(self.status, "too large")
        return body


class RefusesHugeBodiesClearly(RefusesHugeBodies):
    status = 413


class ReadsImpatiently(ReadyReceiver):
    """Gives the body half a second."""

    def read(self, request: _Request) -> bytes:
        deadline = time.monotonic() + 0.5
        body = super().read(request)
        if time.monotonic() > deadline:
            raise RefusedError(408, "too slow")
        return body


class Redirects(ReadyReceiver):
    def post(self, headers: Headers, request: _Request) -> str:
        request.body()
        raise RefusedError(308, "elsewhere", Location="https://user:secret@shop.example/\x1b[31mlogin")


class TakesStaticHeader(ReadyReceiver):
    """A receiver of a sender without signatures."""

    header = ("X-Api-Key", "a-static-value")

    def authenticate(self, headers: Headers, body: bytes) -> None:
        if headers.get(self.header[0].lower()) != self.header[1]:
            raise RefusedError(401, "the key is wrong")


class TakesAnyStaticHeader(TakesStaticHeader):
    def authenticate(self, headers: Headers, body: bytes) -> None:
        if self.header[0].lower() not in headers:
            raise RefusedError(401, "the key is missing")
