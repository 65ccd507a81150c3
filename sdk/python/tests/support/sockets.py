"""Servers in threads, and requests over real sockets."""

from __future__ import annotations

import http.client
import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import uvicorn


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


def request(
    port: int,
    path: str,
    headers: dict[str, str],
    body: bytes | Iterable[bytes] = b"",
    *,
    method: str = "POST",
) -> Reply:
    """Send one request; a body in pieces is sent chunked."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, headers, encode_chunked=not isinstance(body, bytes))
        answer = connection.getresponse()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


@contextmanager
def asgi_server(app: Any, http: Literal["auto", "h11"] = "auto") -> Iterator[int]:
    """Serve an ASGI application with uvicorn, and return its port."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", http=http, lifespan="on")
    )
    started = threading.Event()

    class Thread(threading.Thread):
        def run(self) -> None:
            try:
                server.run()
            finally:
                started.set()

    startup = server.startup

    async def started_up(*arguments: Any, **keywords: Any) -> None:
        await startup(*arguments, **keywords)
        started.set()

    server.startup = started_up  # type: ignore[method-assign]
    thread = Thread(daemon=True)
    thread.start()
    assert started.wait(20)
    assert server.started, "the application did not start"
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the name is given
        pass


class _Threaded(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128  # of connections that wait; the default of 5 resets others


@contextmanager
def wsgi_server(app: Callable[..., Any]) -> Iterator[int]:
    """Serve a WSGI application with wsgiref, whose validator checks the application too, and return its port."""
    server = make_server("127.0.0.1", 0, app, _Threaded, _Silent)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join(20)


@contextmanager
def werkzeug_server(app: Callable[..., Any]) -> Iterator[int]:
    """Serve a WSGI application with Flask's own server, which reads chunked bodies, and return its port."""
    from werkzeug.serving import make_server as make_werkzeug_server

    server = make_werkzeug_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server.port
    server.shutdown()
    server.server_close()
    thread.join(20)
