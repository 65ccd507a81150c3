"""How HTTP reaches the application: through uvicorn, and for a whole event in one piece by a shorter way.

A publisher's usual request arrives in one piece and is answered in one. uvicorn would make a scope, a task and five
messages of it; here it is parsed, handed to the publisher and answered when its commit is done. Everything else, and
everything that is unusual about such a request, goes uvicorn's way.

A head is read up to a bound and may be read in one way alone; see ``heads``. A wish for another protocol goes unheard.
Whoever keeps a connection and does nothing with it is sent away: ``look_after`` is to be called every second.
"""

import asyncio
from http import HTTPStatus
from typing import Any, Final, Protocol, cast

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from commerce_event.core.problems import Problem, unavailable
from commerce_event.http.asgi import Answer, Headers, encode, problem_lines
from commerce_event.http.request_head import (
    FIELDS_MAX,
    HEAD_MAX,
    URL_MAX,
    Head,
    check_head,
    too_large_head,
    without_upgrade,
)

_UNUSUAL: Final = frozenset({b"expect", b"transfer-encoding"})
_FIELD_EXTRA: Final = len(": \r\n")
_LINGER_S: Final = 2.0  # for who is refused to read why: closing on unread bytes would reset the connection
_LINGER_MAX: Final = 64 * 1024 * 1024
_ROOM_AFTER_S: Final = 1.0  # whoever dawdles no longer than that keeps its place
_STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


class Limits(msgspec.Struct, frozen=True):
    """How many connections there may be, and how long one may take for what; times in seconds."""

    most: int = 4_096
    idle_s: float = 75.0  # before a request
    head_s: float = 10.0  # for the head of one
    whole_s: float = 60.0  # for all of it; who reads its body has closer limits
    stuck_s: float = 30.0  # for an answer that nobody reads


class WholeRequestHandler(Protocol):
    """Takes POST requests to ``prefix`` + NAME that have arrived completely, without ASGI."""

    prefix: str
    body_max: int  # bytes

    def take(self, name: str, headers: Headers, body: bytes, answer: Answer) -> None:
        """Begin to handle a request; ``answer`` is called once, now or later, with status, headers and body."""
        ...

    def unreadable(self) -> None:
        """Count a request that was refused before anybody looked at what it asks for."""
        ...


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *arguments: Any, limits: Limits, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limits = limits
        self._taker = cast("WholeRequestHandler | None", getattr(self.app, "publisher", None))
        self._start = b"" if self._taker is None else b"POST " + self._taker.prefix.encode()
        self._reader = _WholeRequest()
        self._inside = False  # uvicorn's parser has seen a part of a request
        self._waiting = False  # a request that came the short way is not answered yet
        self._held = b""  # what came behind it
        self._ending = False
        self._in_head = False
        self._untold = 0  # bytes that the parser has read and said nothing of
        self._head_size = self._trailer_count = 0
        self._unheard: bytes | None = None  # a head without its wish for another protocol
        self._leaving = False  # refused, and given time to read why
        self._since = self.loop.time()  # idle, or in a request
        self._stuck_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast("asyncio.Transport", BufferedTransport(transport)))
        if len(self.connections) > self._limits.most:
            _make_room(cast("set[HttpProtocol]", self.connections), self._limits.most)
            if len(self.connections) > self._limits.most:
                self._refuse(unavailable("There are too many connections"))
                self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self._leaving:
            self._untold += len(data)
            if self._untold > _LINGER_MAX:
                self.transport.abort()
        elif self._waiting:
            self._held += data
            self.flow.pause_reading()
        elif not (data.startswith(self._start) and self._taker is not None and self._idle() and self._take(data)):
            self._unset_keepalive_if_required()
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._feed(rest) :]
                if self._unheard is not None:
                    head, self._unheard = self._unheard, None
                    self.parser = _new_parser(self)
                    self._feed(head)
            if self._untold > HEAD_MAX:
                raise too_large_head()
        except Problem as problem:
            self._refuse(problem)

    def _feed(self, data: bytes | memoryview) -> int:
        """Have bytes parsed; return how many were. Raises Problem."""
        self._untold += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as stopped:
            return int(stopped.args[0])
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, Problem):
                raise error.__context__ from None
            raise Problem(400, "The request is not HTTP as RFC 9112 has it.") from None
        return len(data)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Nothing more comes; whoever asked for something whole still hears the answer."""
        if self._leaving:
            return False
        owed = self._waiting or (not self._answered() and not self._inside)
        if owed:
            self._ending = True
            if not self._waiting:
                self.cycle.keep_alive = False
        return owed

    def on_message_begin(self) -> None:
        self._inside = self._in_head = True
        self._untold = self._head_size = self._trailer_count = 0
        self._since = self.loop.time()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._untold = 0
        self._head_size += len(url)
        super().on_url(url)
        if len(self.url) > URL_MAX:
            raise Problem(414, f"The address has more than {URL_MAX} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._untold = 0
        self._head_size += len(name) + len(value) + _FIELD_EXTRA
        if self._in_head:
            super().on_header(name, value)
        else:  # a trailer, which nothing here has a use for
            self._trailer_count += 1
        if self._head_size > HEAD_MAX or max(len(self.headers), self._trailer_count) > FIELDS_MAX:
            raise too_large_head()

    def on_headers_complete(self) -> None:
        head = Head(self.parser.get_method(), self.url, self.parser.get_http_version(), self.headers)
        check_head(head)
        if self.parser.should_upgrade():
            self._unheard = without_upgrade(head)  # the parser would stop here, and not know that there is a body
            return
        self._in_head = False
        self._untold = self._head_size = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._untold = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._unheard is None:
            self._inside = False
            self._untold = 0
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        self._stuck_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stuck_since = None
        super().resume_writing()

    def shutdown(self) -> None:
        if self._leaving:
            self.transport.close()
        elif self._waiting:
            self._ending = True
        else:
            super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """``look_after`` does this."""

    def look_after(self, now: float) -> None:
        """Send the caller away when it has been dawdling for too long."""
        limits, took_s = self._limits, now - self._since
        if self._leaving:
            return
        if self._stuck_since is not None:
            if now - self._stuck_since > limits.stuck_s:
                self.transport.abort()
        elif self._in_head and took_s > limits.head_s:
            self._refuse(Problem(408, "The request came too slowly; send it in one go."))
        elif (self._inside and took_s > limits.whole_s) or (took_s > limits.idle_s and self._idle()):
            self.transport.close()

    def idle_seconds(self, now: float) -> float:
        """Return for how long nothing was done for the caller because nothing came from it; below 0: something is."""
        return now - self._since if self._inside or self._idle() else -1.0

    def _refuse(self, problem: Problem) -> None:
        """End the connection, with an answer when it is clear which request that would be for."""
        if self._taker is not None:
            self._taker.unreadable()
        in_body = self._inside and not self._in_head
        if self.transport.is_closing() or not (self._answered() or (in_body and self._owes_only_this())):
            self.transport.close()
            return
        if not (in_body and self._answered()):
            problem.headers["Connection"] = "close"
            self._write(problem.status, problem_lines(problem), encode(problem.body()))
        self._leave()

    def _leave(self) -> None:
        self._leaving = True
        self._untold = 0
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(_LINGER_S, self.transport.close)

    def _owes_only_this(self) -> bool:
        """Whether the next answer is that to the request whose body is coming in."""
        return not self.cycle.response_started and not self.pipeline

    def _answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _idle(self) -> bool:
        answered = self._answered() and not self._waiting
        return answered and not self._inside and not self.flow.write_paused and not self.transport.is_closing()

    def _take(self, data: bytes) -> bool:
        """Go the short way with a request, if it is all there, alone, and nothing is unusual about it."""
        reader = self._reader
        if not reader.read(data):
            self._reader = _WholeRequest()
            return False
        taker = cast("WholeRequestHandler", self._taker)
        name = reader.url[len(taker.prefix) :]
        if len(reader.body) > taker.body_max or not name.isalnum() or not _UNUSUAL.isdisjoint(reader.headers):
            return False
        self._waiting = True
        taker.take(name.decode(), reader.headers, reader.body, self._answer)
        return True

    def _answer(self, status: int, headers: bytes, body: bytes) -> None:
        self._waiting = False
        if self.transport.is_closing():
            return
        self._write(status, headers + b"connection: close\r\n" if self._ending else headers, body)
        if self._ending:
            self.transport.close()
            return
        self._since = self.loop.time()
        if self._held:
            held, self._held = self._held, b""
            self.data_received(held)
        if not self._waiting:
            self.flow.resume_reading()

    def _write(self, status: int, headers: bytes, body: bytes) -> None:
        date = b"".join([b"%b: %b\r\n" % header for header in self.server_state.default_headers])
        cast("BufferedTransport", self.transport).send(
            b"%b%b%bcontent-length: %d\r\n\r\n%b" % (_STATUS_LINES[status], date, headers, len(body), body)
        )


def _make_room(connections: set[HttpProtocol], most: int) -> None:
    """Close those that have been dawdling the longest, some at once: looking for them takes time."""
    now = next(iter(connections)).loop.time()
    dawdling = [each for each in connections if each.idle_seconds(now) > _ROOM_AFTER_S]
    dawdling.sort(key=lambda each: each.idle_seconds(now), reverse=True)
    for each in dawdling[: most // 64 + 1]:
        connections.discard(each)
        each.transport.close()


def _new_parser(protocol: HttpProtocol) -> httptools.HttpRequestParser:
    """Return what uvicorn makes for a connection."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


class _WholeRequest:
    """Reads a request that lies in one piece of bytes."""

    __slots__ = ("_count", "_fields", "_parser", "_stays_open", "body", "headers", "url")

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)

    def read(self, data: bytes) -> bool:
        """Whether the piece holds exactly one request that leaves the connection open. Of no use after a False."""
        self._count = self._fields = 0
        self.url = self.body = b""
        self.headers: dict[bytes, bytes] = {}
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        one = self._count == 2  # its beginning and its end
        return one and self._stays_open and self._is_usual(len(data))

    def _is_usual(self, size: int) -> bool:
        """Whether its head is within every bound, and no field is there twice: then there is but one way to read it."""
        once = len(self.headers) == self._fields <= FIELDS_MAX
        return once and b"host" in self.headers and size - len(self.body) <= HEAD_MAX and len(self.url) <= URL_MAX

    def on_message_begin(self) -> None:
        self._count += 1

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value
        self._fields += 1

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self._count += 1
        self._stays_open = self._parser.should_keep_alive() and self._parser.get_http_version() == "1.1"


class BufferedTransport:
    """A transport that sends what is written in one turn of the loop with one system call.

    uvicorn writes the head and the body of an answer apart; two calls instead of one cost a sixth of the throughput.
    """

    __slots__ = ("_loop", "_pieces", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self._flush)
        self._pieces.append(data)

    def send(self, data: bytes) -> None:
        """Write at once."""
        self._flush()
        self._transport.write(data)

    def write_eof(self) -> None:
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _flush(self) -> None:
        if self._pieces:
            self._transport.write(b"".join(self._pieces))
            self._pieces.clear()

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)
