"""The HTTP/1.1 client: pooled connections to checked addresses, with one deadline for a whole request.

Why our own: docs/decisions/0003-own-http-sender.md.
"""

import asyncio
import socket
import ssl
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import structlog

from commerce_event.core.file_shares import IDLE_MAX
from commerce_event.core.model import Phase
from commerce_event.core.urls import Target
from commerce_event.deliver.connection import STALE, Connection, Response
from commerce_event.deliver.resolver import INTERNAL_ERRNOS, Resolver, TransportError
from commerce_event.deliver.tls_errors import tls_failure

_IDLE_MAX_S: Final = 3.0  # many servers close after 5 s, and a connection about to be closed must not be reused
_AGE_MAX_S: Final = 60.0  # then the name, the address rules and the certificate are looked at again
_LEARNED_S: Final = 60.0  # for how long it is known that a receiver closes its connections earlier
_LEARNED_MAX: Final = 10_000
_LEARNED_SHARE: Final = 0.5  # of the idle time after which one was closed: its news travels, and its timers vary
_IDLE_MAX: Final = IDLE_MAX
OPEN_MAX: Final = 100_000
_NEXT_ADDRESS_S: Final = 0.25  # until the next of several addresses is tried as well
_RACING_MAX: Final = 4  # addresses tried at the same time for one request
_WARNING_GAP_S: Final = 60.0

_Key = tuple[int, tuple[str, str, int]]

log = structlog.get_logger(__name__)


class ConnectionPool:
    """Idle connections by endpoint and origin: endpoints never share a connection."""

    def __init__(self, resolver: Resolver, *, tls: ssl.SSLContext | None = None, open_max: int = OPEN_MAX) -> None:
        """Keep at most ``open_max`` connections open: idle ones are closed to make room for new ones."""
        self._resolver = resolver
        self._tls = tls or _default_tls()
        self._idle: OrderedDict[Connection, _Key] = OrderedDict()  # the longest idle first
        self._by_key: dict[_Key, list[Connection]] = {}
        self._learned: dict[_Key, tuple[float, float]] = {}  # idle seconds after which one closes; known until
        self._timer: asyncio.TimerHandle | None = None
        self._open_max = open_max
        self._opened: set[object] = set()  # one for each connection that is open or being opened
        self._warn_after = 0.0

    async def post(
        self,
        target: Target,
        *,
        key: int,
        headers: bytes,
        body: bytes,
        deadline: float,
        client: int = 0,
        force_new: bool = False,
    ) -> Response:
        """POST and return the response; everything, name lookup and TLS included, ends at ``deadline`` (loop time).

        ``client`` is the one that name lookups count for. ``headers`` are complete lines; host and content-length are
        added before them. ``force_new`` asks for a connection that was not used before. Raises TransportError, with
        the code STALE when a reused connection was closed before an answer: then one more post with ``force_new``
        decides.
        """
        pool_key = (key, target.origin)
        idle = None if force_new else self._take(pool_key, target, client)
        connection = idle or await self._connect(target, deadline, client)
        request = b"POST %b HTTP/1.1\r\nhost: %b\r\ncontent-length: %d\r\n%b\r\n%b" % (
            target.path.encode(),
            target.authority.encode(),
            len(body),
            headers,
            body,
        )
        try:
            response = await connection.send_request(request, deadline)
        except BaseException as error:  # also when cancelled just as the response was complete
            connection.close()
            if isinstance(error, TransportError) and error.code == STALE:
                self._learn(pool_key, connection.idle_s)
                for each in list(self._by_key.get(pool_key, ())):
                    self._drop(each)  # a receiver that closes one idle connection closes the others
            raise
        if connection.reusable:
            self._put(pool_key, connection)
        return response

    def close(self) -> None:
        """Close every idle connection."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for connection in list(self._idle):
            connection.close()
        self._idle.clear()
        self._by_key.clear()

    def _take(self, key: _Key, target: Target, client: int) -> Connection | None:
        """Return a connection that may be used again, and close those that may not."""
        idle = self._by_key.get(key)
        now = asyncio.get_running_loop().time()
        idle_max_s = self._idle_max_s(key, now)
        while idle:
            connection = idle.pop()
            if not idle:
                del self._by_key[key]
            del self._idle[connection]
            connection.on_idle_close = None
            connection.idle_s = now - connection.idle_since
            if (
                connection.reusable
                and connection.idle_s < idle_max_s
                and connection.opened_at > now - _AGE_MAX_S
                and (target.literal or not self._resolver.has_moved(target.host, connection.address, client=client))
            ):
                return connection
            connection.close()
        return None

    def _put(self, key: _Key, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        connection.on_idle_close = self._on_idle_close
        self._by_key.setdefault(key, []).append(connection)
        self._idle[connection] = key
        if len(self._idle) > _IDLE_MAX:
            self._drop(next(iter(self._idle)))
        if self._timer is None:
            self._timer = loop.call_later(_IDLE_MAX_S, self._drop_old, loop)

    def _on_idle_close(self, connection: Connection) -> None:
        """Take note that the receiver closed a connection that waited for its next request."""
        key = self._idle[connection]
        self._drop(connection)
        self._learn(key, asyncio.get_running_loop().time() - connection.idle_since)

    def _learn(self, key: _Key, idle_s: float) -> None:
        """Reuse connections of an endpoint only while they are younger than one that the receiver closed."""
        now = asyncio.get_running_loop().time()
        idle_max_s = min(idle_s * _LEARNED_SHARE, self._idle_max_s(key, now))
        if len(self._learned) >= _LEARNED_MAX:
            self._learned.clear()
        self._learned[key] = (idle_max_s, now + _LEARNED_S)

    def _idle_max_s(self, key: _Key, now: float) -> float:
        learned = self._learned.get(key)
        if learned is None:
            return _IDLE_MAX_S
        if now < learned[1]:
            return learned[0]
        del self._learned[key]
        return _IDLE_MAX_S

    def _drop_old(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close connections that have been idle for too long, and set the timer for the next one."""
        self._timer = None
        while self._idle:
            oldest = next(iter(self._idle))
            ends = oldest.idle_since + _IDLE_MAX_S
            if oldest.reusable and ends > loop.time():
                self._timer = loop.call_at(ends, self._drop_old, loop)
                return
            self._drop(oldest)

    def _drop(self, connection: Connection) -> None:
        key = self._idle.pop(connection)
        self._by_key[key].remove(connection)
        if not self._by_key[key]:
            del self._by_key[key]
        connection.close()

    async def _connect(self, target: Target, deadline: float, client: int) -> Connection:
        timeout_s = deadline - asyncio.get_running_loop().time()
        try:
            addresses = await self._resolver.addresses(target.host, target.port, timeout_s, client=client)
        except TransportError as failure:
            failure.phase = "connect" if target.literal else "name"
            raise
        if len(addresses) == 1:
            return await self._open(target, addresses[0], deadline)
        return await self._race(target, addresses, deadline)

    async def _race(self, target: Target, addresses: Sequence[str], deadline: float) -> Connection:
        """Try each address shortly after the one before it; return the first connection (after RFC 8305)."""
        attempts: list[asyncio.Task[Connection]] = []
        running: set[asyncio.Task[Connection]] = set()
        try:
            while True:
                if len(attempts) < len(addresses) and (not running or self._has_room()):
                    if len(running) >= _RACING_MAX:
                        slowest = next(attempt for attempt in attempts if attempt in running)
                        running.remove(slowest)
                        slowest.cancel()
                    attempts.append(asyncio.create_task(self._open(target, addresses[len(attempts)], deadline)))
                    running.add(attempts[-1])
                wait_s = _NEXT_ADDRESS_S if len(attempts) < len(addresses) else None
                ended, running = await asyncio.wait(running, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                last = not running and wait_s is None
                for attempt in sorted(ended, key=_has_failed):
                    if last or not _has_failed(attempt) or _is_tls(attempt.exception()):
                        attempts.remove(attempt)
                        return attempt.result()
        finally:
            for attempt in attempts:
                attempt.cancel()
                attempt.add_done_callback(_close_late)

    def _has_room(self) -> bool:
        return len(self._opened) < self._open_max or bool(self._idle)

    async def _open(self, target: Target, address: str, deadline: float) -> Connection:
        """Open a connection; at the limit, close the one that is idle the longest first."""
        while len(self._opened) >= self._open_max and self._idle:
            self._drop(next(iter(self._idle)))
            now = asyncio.get_running_loop().time()
            if now >= self._warn_after:
                self._warn_after = now + _WARNING_GAP_S
                log.warning(
                    "connections to receivers are closed early to make room; raise the limit of open files",
                    open=len(self._opened),
                    open_max=self._open_max,
                )
        place = object()
        self._opened.add(place)
        try:
            return await self._open_counted(target, address, deadline, partial(self._opened.discard, place))
        except BaseException:
            self._opened.discard(place)
            raise

    async def _open_counted(
        self, target: Target, address: str, deadline: float, on_end: Callable[[], None]
    ) -> Connection:
        loop = asyncio.get_running_loop()
        make = partial(Connection, address, on_end)
        phase: Phase = "connect"
        try:
            async with asyncio.timeout_at(deadline):
                if target.scheme == "http":
                    _, connection = await loop.create_connection(make, address, target.port)
                    return connection
                connected = await _connected(loop, address, target.port)
                phase = "tls"
                _, connection = await loop.create_connection(
                    make, sock=connected, ssl=self._tls, server_hostname=target.host
                )
                return connection
        except OSError as error:
            failure = _open_failure(error)
            failure.phase, failure.address = failure.phase or phase, address
            raise failure from None


async def _connected(loop: asyncio.AbstractEventLoop, address: str, port: int) -> socket.socket:
    """Return a TCP connection without TLS, so that it is known which of the two failed."""
    opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        await loop.sock_connect(opened, (address, port))
    except BaseException:
        opened.close()
        raise
    return opened


def _open_failure(error: OSError) -> TransportError:
    if isinstance(error, TimeoutError):
        return TransportError("timeout", "no connection in time")
    if isinstance(error, ssl.SSLError):
        return tls_failure(error)
    if isinstance(error, ConnectionRefusedError):
        return TransportError("connect_refused", "the receiver refused the connection")
    if isinstance(error, ConnectionResetError):
        return TransportError("connection_reset", "the receiver reset the connection")
    return TransportError(
        "connect_failed", "the receiver cannot be reached", is_internal=error.errno in INTERNAL_ERRNOS
    )


def _has_failed(attempt: "asyncio.Task[Connection]") -> bool:
    return attempt.exception() is not None


def _is_tls(failure: BaseException | None) -> bool:
    return isinstance(failure, TransportError) and failure.code.startswith("tls_")


def _close_late(attempt: "asyncio.Task[Connection]") -> None:
    """Close a connection that came after another address had answered."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


def _default_tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
