"""Receivers that misbehave on purpose, one behaviour for each path.

Everything is bounded: what is remembered, what is sent, how long a connection lives.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qs, urlsplit

import msgspec

_LIFE_S: Final = 20.0  # of a connection
_REMEMBERED_MAX: Final = 10_000
_BODY_MAX: Final = 1024 * 1024
_BACKLOG: Final = 1_024
_ENDLESS_MAX: Final = 64 * 1024 * 1024  # bytes that an endless behaviour sends at most
_PIECE: Final = b"x" * 16_384
_KEEPING: Final = frozenset({"/ok", "/status", "/reflect", "/redirect", "/retry-after"})  # paths that keep connections
_UNREAD: Final = frozenset({"/answer-unread", "/never-read"})  # paths whose bodies are not read
_OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Received(msgspec.Struct, frozen=True):
    """A request as it came in; header names in lower case."""

    path: str
    method: str
    headers: dict[str, str]
    body: bytes


class Exchange(msgspec.Struct):
    """One request and the connection to answer on."""

    request: Received
    query: dict[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    first: bool = True  # on its connection
    sent: int = 0

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        self.sent += len(data)
        await self.writer.drain()

    async def endless(self, piece: bytes) -> None:
        """Send the same again and again until the other side has had enough."""
        while self.sent < _ENDLESS_MAX:
            await self.send(piece)

    async def drip(self, data: bytes, every_s: float) -> None:
        """Send a byte at a time."""
        for byte in data:
            await self.send(bytes([byte]))
            await asyncio.sleep(every_s)

    async def hang(self) -> None:
        """Do nothing until the other side goes away."""
        await self.reader.read(1)

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        connection: socket.socket = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Behaviour = Callable[[Exchange], Awaitable[None]]


def _raw(answer: bytes) -> Behaviour:
    """Send these bytes, then close."""

    async def behave(exchange: Exchange) -> None:
        await exchange.send(answer)

    return behave


def _then_hang(answer: bytes) -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        await exchange.send(answer)
        await exchange.hang()

    return behave


def _endless(start: bytes, piece: bytes) -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        await exchange.send(start)
        await exchange.endless(piece)

    return behave


async def _status(exchange: Exchange) -> None:
    code = int(exchange.query.get("code", "500"))
    await exchange.send(b"HTTP/1.1 %d Whatever\r\ncontent-length: 2\r\n\r\nhm" % code)


async def _slow_headers(exchange: Exchange) -> None:
    await exchange.drip(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n" + b"x-drip: 1\r\n" * 1_000, 0.02)


async def _drip_body(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    await exchange.drip(b"z" * 1_000, 0.02)


async def _reset(exchange: Exchange) -> None:
    exchange.reset()


async def _reset_in_body(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\npartly")
    exchange.reset()


async def _close(_exchange: Exchange) -> None:
    return


async def _close_on_second(exchange: Exchange) -> None:
    """Answer well once; close the connection when it is used again, without a word."""
    if exchange.first:
        await exchange.send(_OK)


async def _answer_unread(exchange: Exchange) -> None:
    """Answer before the body was read, which stays unread."""
    await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    await asyncio.sleep(_LIFE_S)


async def _never_read(_exchange: Exchange) -> None:
    await asyncio.sleep(_LIFE_S)


async def _redirect(exchange: Exchange) -> None:
    code = int(exchange.query.get("code", "302"))
    location = exchange.query.get("to", exchange.request.path).encode("latin-1")
    await exchange.send(b"HTTP/1.1 %d Elsewhere\r\nlocation: %b\r\ncontent-length: 0\r\n\r\n" % (code, location))


async def _retry_after(exchange: Exchange) -> None:
    code = int(exchange.query.get("code", "503"))
    value = exchange.query.get("value", "1").encode("latin-1")
    await exchange.send(b"HTTP/1.1 %d Later\r\nretry-after: %b\r\ncontent-length: 0\r\n\r\n" % (code, value))


async def _reflect(exchange: Exchange) -> None:
    """Answer with every header that was sent, in the body and as a header."""
    said = "\n".join(f"{name}: {value}" for name, value in exchange.request.headers.items()).encode("latin-1")
    echo = exchange.request.headers.get("x-token", "").encode("latin-1")
    await exchange.send(b"HTTP/1.1 200 OK\r\nx-echo: %b\r\ncontent-length: %d\r\n\r\n%b" % (echo, len(said), said))


async def _two_answers(exchange: Exchange) -> None:
    await exchange.send(_OK + b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")
    await exchange.hang()


BEHAVIOURS: Final[dict[str, Behaviour]] = {
    "/ok": _raw(_OK),
    "/ok-and-close": _raw(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"),
    "/ok-until-close": _raw(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil the end"),
    "/status": _status,
    "/hang": lambda exchange: exchange.hang(),
    "/slow-headers": _slow_headers,
    "/drip-body": _drip_body,
    "/half-status": _then_hang(b"HTTP/1.1 20"),
    "/headers-then-hang": _then_hang(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n"),
    "/head-then-hang": _then_hang(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
    "/endless-body": _endless(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", _PIECE),
    "/endless-chunks": _endless(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"4000\r\n" + _PIECE + b"\r\n"
    ),
    "/tiny-chunks": _endless(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 1_000),
    "/endless-trailers": _endless(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"x-trailer: 1\r\n" * 500
    ),
    "/huge-trailer": _endless(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-huge: ", _PIECE),
    "/endless-extension": _endless(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", _PIECE),
    "/endless-error": _endless(b"HTTP/1.1 500 No\r\ncontent-length: 99999999999\r\n\r\n", _PIECE),
    "/endless-1xx": _endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100),
    "/endless-headers": _endless(b"HTTP/1.1 200 OK\r\n", b"x-more: 1\r\n" * 500),
    "/huge-header": _endless(b"HTTP/1.1 200 OK\r\nx-huge: ", _PIECE),
    "/endless-status": _endless(b"HTTP/1.1 200 ", _PIECE),
    "/many-cookies": _raw(b"HTTP/1.1 200 OK\r\n" + b"set-cookie: a=b\r\n" * 150 + b"content-length: 0\r\n\r\n"),
    "/garbage": _raw(bytes(range(256)) * 4),
    "/http09": _raw(b"<html>hello</html>"),
    "/http2-preface": _raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "/http-version-2": _raw(b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n"),
    "/http-version-0.9": _raw(b"HTTP/0.9 200 OK\r\ncontent-length: 0\r\n\r\n"),
    "/gopher": _raw(b"iWelcome\tfake\t(NULL)\t0\r\n.\r\n"),
    "/letters-for-digits": _raw(b"HTTP/1.1 2OO OK\r\ncontent-length: 0\r\n\r\n"),
    "/status-999": _raw(b"HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n"),
    "/switching": _raw(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n"),
    "/two-lengths": _raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 5\r\n\r\nokays"),
    "/negative-length": _raw(b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nok"),
    "/length-and-chunked": _raw(
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    ),
    "/no-content-with-body": _raw(b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello"),
    "/not-modified": _raw(b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    "/redirect": _redirect,
    "/refresh": _raw(b"HTTP/1.1 500 No\r\nrefresh: 0; url=/ok\r\ncontent-length: 0\r\n\r\n"),
    "/redirect-without-location": _raw(b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n"),
    "/retry-after": _retry_after,
    "/gone": _raw(b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n"),
    "/gzip-bomb": _endless(
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 99999999999\r\n\r\n\x1f\x8b\x08", b"\0" * 16_384
    ),
    "/brotli": _raw(b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 4\r\n\r\n\x8f\xff\xff\xff"),
    "/zstd-bomb": _endless(
        b"HTTP/1.1 200 OK\r\ncontent-encoding: zstd\r\ncontent-length: 99999999999\r\n\r\n\x28\xb5\x2f\xfd",
        b"\0" * 16_384,
    ),
    "/nested-encodings": _raw(
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip, gzip, br, deflate\r\ncontent-length: 3\r\n\r\n\x1f\x8b\x08"
    ),
    "/gzip-and-chunked": _raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "/chunked-twice": _raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    "/truncated": _raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nonly this"),
    "/reset": _reset,
    "/reset-in-body": _reset_in_body,
    "/close": _close,
    "/close-on-second": _close_on_second,
    "/answer-unread": _answer_unread,
    "/never-read": _never_read,
    "/reflect": _reflect,
    "/two-answers": _two_answers,
    "/escape-in-header": _raw(b"HTTP/1.1 500 No\r\nx-odd: \x1b[31mred\r\ncontent-length: 0\r\n\r\n"),
    "/control-characters": _raw(b"HTTP/1.1 500 No\r\nx-odd: \x9b31mred\r\ncontent-length: 4\r\n\r\n\x1b[2J"),
}
"""What each path does. `/status?code=`, `/redirect?code=&to=` and `/retry-after?code=&value=` take parameters."""


class HostileServer:
    """Serves every behaviour at ``url``; ``received`` remembers the newest requests."""

    def __init__(self) -> None:
        self.received: deque[Received] = deque(maxlen=_REMEMBERED_MAX)
        self.most_sent = 0  # bytes on one connection before the other side had enough
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "HostileServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_BODY_MAX, backlog=_BACKLOG)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._open):
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    @property
    def port(self) -> int:
        return int(self._server.sockets[0].getsockname()[1]) if self._server is not None else 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        self.connections += 1
        try:
            async with asyncio.timeout(_LIFE_S):
                first = True
                while await self._answer(reader, writer, first=first):
                    first = False
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, first: bool) -> bool:
        """Read a request and misbehave; True when another may follow on the connection."""
        request = await _read(reader)
        self.received.append(request)
        parts = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        exchange = Exchange(request, query, reader, writer, first)
        try:
            await BEHAVIOURS.get(parts.path, _status)(exchange)
        finally:
            self.most_sent = max(self.most_sent, exchange.sent)
        return parts.path in _KEEPING or (first and parts.path == "/close-on-second")


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    length = 0 if path in _UNREAD else int(headers.get("content-length", "0"))
    return Received(path, method, headers, await reader.readexactly(length))
