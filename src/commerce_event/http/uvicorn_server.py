"""Listen on a socket, and run uvicorn on it with our protocol."""

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, cast

import uvicorn

from commerce_event.http.fast_path import FastPathProtocol
from commerce_event.http.protocol import HttpProtocol, Limits

_GRACE_S: Final = 5  # for requests in flight at shutdown
_BODY_GRACE_S: Final = 2.0  # the first part of it, for requests that have not arrived completely
_BACKLOG: Final = 2_048  # connections that wait to be accepted
_TICKS_PER_S: Final = 10
_DEFAULT_LIMITS: Final = Limits()


class HttpServer(uvicorn.Server):
    """uvicorn without its signal handlers: after a signal, the node finishes deliveries in flight.

    Checks the timeouts of its connections every second.
    """

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_PER_S == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                cast("HttpProtocol", connection).check_timeouts(now)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish the requests in flight; after ``_BODY_GRACE_S``, refuse those that have not arrived completely."""
        timer = asyncio.get_running_loop().call_later(_BODY_GRACE_S, self._refuse_incomplete)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()

    def _refuse_incomplete(self) -> None:
        for connection in list(self.server_state.connections):
            cast("HttpProtocol", connection).refuse_incomplete()


class ListenError(Exception):
    """The address cannot be listened on; the message says what to do."""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises ListenError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)  # now, so that no other process has the port once the node says that it is ready
    except OSError as error:
        listener.close()
        other = "--host" if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL else "--port"
        raise ListenError(f"cannot listen on {host}:{port} ({error.strerror}); choose another {other}") from None
    listener.setblocking(False)
    return listener


def http_server(app: object, limits: Limits = _DEFAULT_LIMITS) -> HttpServer:
    """Return the HTTP server for an ASGI application."""
    return HttpServer(
        uvicorn.Config(
            app,  # type: ignore[arg-type]
            http=partial(FastPathProtocol, limits=limits),  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE_S,
            backlog=_BACKLOG,
        )
    )
