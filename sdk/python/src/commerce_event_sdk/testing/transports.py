"""Ways to hand a request to the receiver under test: in this process, or by HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import inspect
import io
import sys
import threading
from collections.abc import Callable, MutableMapping
from concurrent.futures import Future
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from commerce_event_sdk.answer import Answer
from commerce_event_sdk.receiver import Receiver

Headers = dict[str, str]
Message = MutableMapping[str, Any]
HOST: Final = "testserver"  # of applications in this process; the name that frameworks allow in their own tests


class Transport(Protocol):
    """Takes requests. Raises what the receiver under test raises, or OSError when a connection fails."""

    def post(self, path: str, headers: Headers, body: bytes) -> Answer: ...
    def close(self) -> None: ...


def transport_to(target: Any, timeout_s: float) -> Transport:
    """Return the transport to a Receiver, an ASGI or WSGI application, or a URL. Raises TypeError for others."""
    if isinstance(target, Receiver):
        return ReceiverTransport(target)
    if isinstance(target, str):
        return HttpTransport(target, timeout_s)
    if callable(target):
        call = target if inspect.isfunction(target) or inspect.ismethod(target) else type(target).__call__
        if inspect.iscoroutinefunction(call) or _takes(target, 3):
            return AsgiTransport(target)
        if _takes(target, 2):
            return WsgiTransport(target)
    raise TypeError(f"{target!r} is no Receiver, no ASGI or WSGI application, and no URL")


def _takes(function: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(function).bind(*range(count))
    except (TypeError, ValueError):
        return False
    return True


class ReceiverTransport:
    """Calls a receiver in the thread of the test."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def post(self, path: str, headers: Headers, body: bytes) -> Answer:
        """Return the answer of the receiver."""
        event_type = self._receiver.type_in_path(path)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._receiver.handle(headers, body, event_type=event_type)
        return _in_a_thread(lambda: self._receiver.handle(headers, body, event_type=event_type))  # an async test

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


class WsgiTransport:
    """Calls a WSGI application in the thread of the test."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app

    def post(self, path: str, headers: Headers, body: bytes) -> Answer:
        """Return the answer of the application."""
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, response_headers: list[tuple[str, str]], _exc_info: Any = None) -> Any:
            started.append((status, response_headers))
            return written.append

        written: list[bytes] = []

        pieces = self._app(_environ(path, headers, body), start_response)
        try:
            content = b"".join([*written, *pieces])
        finally:
            if hasattr(pieces, "close"):
                pieces.close()
        status, answered = started[-1]
        return Answer(int(status.split()[0]), {name.lower(): value for name, value in answered}, content)

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


def _environ(path: str, headers: Headers, body: bytes) -> dict[str, Any]:
    plain, _, query = path.partition("?")
    given = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    return {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": plain,
        "QUERY_STRING": query,
        "CONTENT_TYPE": headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": HOST,
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": HOST,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **given,
    }


class AsgiTransport:
    """Runs an ASGI application, with its lifespan, on an event loop in a thread of its own."""

    def __init__(self, app: Callable[..., Any]) -> None:
        """Starts the application. Raises what its startup raises."""
        self._app = app
        self._state: dict[str, Any] = {}
        self._started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._run, name="commerce-event-receiver", daemon=True)
        self._thread.start()
        self._loop, self._stop = self._started.result()

    def post(self, path: str, headers: Headers, body: bytes) -> Answer:
        """Return the answer of the application."""
        return asyncio.run_coroutine_threadsafe(self._post(path, headers, body), self._loop).result()

    def close(self) -> None:
        """Shut the application down."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _serve(self) -> None:
        stop = asyncio.Event()
        lifespan = asyncio.create_task(self._lifespan(stop))
        await stop.wait()
        await lifespan

    async def _lifespan(self, stop: asyncio.Event) -> None:
        """Send startup and, at the end of the test, shutdown. An application without lifespan raises, and runs."""
        sent_startup = False

        async def receive() -> Message:
            nonlocal sent_startup
            if sent_startup:
                await stop.wait()
                return {"type": "lifespan.shutdown"}
            sent_startup = True
            return {"type": "lifespan.startup"}

        async def send(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                self._started.set_exception(
                    RuntimeError(f"the application did not start: {message.get('message', '')}")
                )
                stop.set()
            elif message["type"] == "lifespan.startup.complete":
                self._started.set_result((asyncio.get_running_loop(), stop))

        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        with contextlib.suppress(Exception):
            await self._app(scope, receive, send)
        if not self._started.done():
            self._started.set_result((asyncio.get_running_loop(), stop))

    async def _post(self, path: str, headers: Headers, body: bytes) -> Answer:
        plain, _, query = path.partition("?")
        all_headers = {"host": HOST, "content-length": str(len(body)), **headers}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": plain,
            "raw_path": plain.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in all_headers.items()],
            "client": ("127.0.0.1", 50_000),
            "server": (HOST, 80),
            "state": dict(self._state),
        }
        requests = [{"type": "http.request", "body": body, "more_body": False}]
        messages: list[Message] = []
        is_complete = asyncio.Event()

        async def receive() -> Message:
            if requests:
                return requests.pop()
            await is_complete.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            messages.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                is_complete.set()

        await self._app(scope, receive, send)
        if not messages:
            raise ConnectionError("the application sent no answer")
        answered = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in messages[0]["headers"]}
        return Answer(messages[0]["status"], answered, b"".join(each.get("body", b"") for each in messages[1:]))


class HttpTransport:
    """Sends requests to a URL."""

    def __init__(self, url: str, timeout_s: float) -> None:
        """Raises ValueError for what is no http or https URL."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no http or https URL")
        self._connection_class = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._address = (parts.hostname, parts.port)
        self._timeout_s = timeout_s

    def post(self, path: str, headers: Headers, body: bytes) -> Answer:
        """Return the answer of the server."""
        connection = self._connection_class(*self._address, timeout=self._timeout_s)
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            answered = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, answered, response.read())
        finally:
            connection.close()

    def close(self) -> None:
        """Do nothing: each request has a connection of its own."""


def _in_a_thread(call: Callable[[], Answer]) -> Answer:
    result: Future[Answer] = Future()

    def run() -> None:
        try:
            result.set_result(call())
        except BaseException as error:
            result.set_exception(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return result.result()
