"""The HTTP protocol of one connection: uvicorn's, with limits on heads, idle connections and slow callers.

Requests go through uvicorn into the ASGI application. A head is limited in size and must have one reading only (see
``request_head``); the Upgrade header is ignored. ``HttpServer`` calls ``check_timeouts`` every second.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar, Final, cast

import httptools
import msgspec
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from commerce_event.core.problems import Problem, unavailable
from commerce_event.http.asgi import ON_HALF_CLOSE, Receive, Scope, Send, answer_problem, encode, problem_header_lines
from commerce_event.http.buffered_transport import BufferedTransport
from commerce_event.http.request_head import (
    FIELDS_MAX,
    HEAD_MAX,
    URL_MAX,
    Head,
    check_head,
    head_too_large,
    strip_upgrade,
)

_FIELD_EXTRA: Final = len(": \r\n")
_LINGER_S: Final = 2.0  # closing on unread bytes would reset the connection before the caller reads the answer
_LINGER_MAX: Final = 64 * 1024 * 1024  # bytes
_EVICT_IDLE_S: Final = 1.0  # a connection that is idle for longer may be closed to make room for a new one
_WARNING_GAP_S: Final = 60.0
_SHUTTING_DOWN: Final = "The server is shutting down; send the request again"
_STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}

log = structlog.get_logger(__name__)


class Limits(msgspec.Struct, frozen=True):
    """Limits on connections. Times are in seconds."""

    max_connections: int = 4_096
    idle_s: float = 75.0  # between requests
    head_s: float = 10.0  # for the head of a request
    request_s: float = 60.0  # for a whole request; reading a body has closer limits
    write_s: float = 30.0  # for an answer that the caller does not read


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    _warn_after: ClassVar[float] = 0.0  # of the loop's time

    def __init__(self, *arguments: Any, limits: Limits, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limits = limits
        self._count_unreadable: Callable[[], None] | None = getattr(self.app, "count_unreadable", None)
        self._in_request = self._in_head = False  # as far as the parser has read
        self._bytes_since_callback = 0  # that the parser has read without calling back
        self._head_size = self._trailer_count = 0
        self._head_without_upgrade: bytes | None = None  # to be parsed in place of the head that was just read
        self._refused = False  # the connection closes after a moment in which the caller can read why
        self._discarded_bytes = 0  # after that
        self._since = self.loop.time()  # of the beginning of the request, or of being idle
        self._write_paused_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast("asyncio.Transport", BufferedTransport(transport)))
        limit = self._limits.max_connections
        if len(self.connections) > limit:
            if self.loop.time() >= HttpProtocol._warn_after:
                HttpProtocol._warn_after = self.loop.time() + _WARNING_GAP_S
                log.warning(
                    "as many callers are connected as may be; idle ones are disconnected", max_connections=limit
                )
            _close_idle(cast("set[HttpProtocol]", self.connections), limit // 64 + 1)
            if len(self.connections) > limit:
                self._refuse(unavailable("There are too many connections"))
                self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            self._discarded_bytes += len(data)
            if self._discarded_bytes > _LINGER_MAX:
                self.transport.abort()
            return
        self._unset_keepalive_if_required()
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._parse(rest) :]
                if self._head_without_upgrade is not None:
                    head, self._head_without_upgrade = self._head_without_upgrade, None
                    self.parser = _new_parser(self)
                    self._parse(head)
            if self._bytes_since_callback > HEAD_MAX:
                raise head_too_large()
        except Problem as problem:
            self._refuse(problem)

    def _parse(self, data: bytes | memoryview) -> int:
        """Feed the parser; return how many bytes it has read. Raises Problem."""
        self._bytes_since_callback += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as stopped:
            return int(stopped.args[0])
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, Problem):  # raised by one of our callbacks
                raise error.__context__ from None
            raise Problem(400, "The request is not valid HTTP (RFC 9112).") from None
        return len(data)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection open when a complete request is still to be answered."""
        answer_due = not self._refused and not self._answered() and not self._in_request
        if answer_due:
            self.cycle.keep_alive = False
            on_half_close = cast("Callable[[], None] | None", self.cycle.scope.get(ON_HALF_CLOSE))
            if on_half_close is not None:
                on_half_close()
        return answer_due

    def on_message_begin(self) -> None:
        self._in_request = self._in_head = True
        self._bytes_since_callback = self._head_size = self._trailer_count = 0
        self._since = self.loop.time()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._bytes_since_callback = 0
        self._head_size += len(url)
        super().on_url(url)
        if len(self.url) > URL_MAX:
            raise Problem(414, f"The address has more than {URL_MAX} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._bytes_since_callback = 0
        self._head_size += len(name) + len(value) + _FIELD_EXTRA
        if self._in_head:
            super().on_header(name, value)
        else:
            self._trailer_count += 1  # trailers are ignored
        if self._head_size > HEAD_MAX or max(len(self.headers), self._trailer_count) > FIELDS_MAX:
            raise head_too_large()

    def on_headers_complete(self) -> None:
        head = Head(self.parser.get_method(), self.url, self.parser.get_http_version(), self.headers)
        check_head(head)
        if self.parser.should_upgrade():
            # The parser stops here, without reading the body. A new one is given the head without the Upgrade header.
            self._head_without_upgrade = strip_upgrade(head)
            return
        self._in_head = False
        self._bytes_since_callback = self._head_size = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._bytes_since_callback = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._head_without_upgrade is None:
            self._in_request = False
            self._bytes_since_callback = 0
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        self._write_paused_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._write_paused_since = None
        super().resume_writing()

    def shutdown(self) -> None:
        """Close the connection once its requests are answered; a request whose head is not complete is refused."""
        if self._refused:
            self.transport.close()
        elif self._in_head and self._answered():
            self.app = _refuse_at_shutdown
        else:
            super().shutdown()

    def refuse_incomplete(self) -> None:
        """Close the connection if its request has not arrived completely; answer 503 where possible."""
        if self._in_request and not self._refused:
            self._refuse(unavailable(_SHUTTING_DOWN))

    def timeout_keep_alive_handler(self) -> None:
        """Do nothing: ``check_timeouts`` closes idle connections."""

    def check_timeouts(self, now: float) -> None:
        """Close the connection when it is idle or slow for too long. ``now`` is the loop's time."""
        limits, took_s = self._limits, now - self._since
        if self._refused:
            return
        if self._write_paused_since is not None:
            if now - self._write_paused_since > limits.write_s:
                self.transport.abort()
        elif self._in_head and took_s > limits.head_s:
            self._refuse(Problem(408, "The request came too slowly; send it in one go."))
        elif (self._in_request and took_s > limits.request_s) or (took_s > limits.idle_s and self._idle()):
            self.transport.close()

    def idle_seconds(self, now: float) -> float:
        """Return for how long the server has been waiting for the caller; below 0 when it is not."""
        return now - self._since if self._in_request or self._idle() else -1.0

    def _refuse(self, problem: Problem) -> None:
        """Close the connection, after answering with the problem if the caller can tell which request it is for."""
        if self._count_unreadable is not None:
            self._count_unreadable()
        in_body = self._in_request and not self._in_head
        answered = self._answered()
        answered_next = in_body and not answered and not self.cycle.response_started and not self.pipeline
        if self.transport.is_closing() or not (answered or answered_next):
            self.transport.close()
            return
        if not (in_body and answered):  # otherwise the request has its answer already
            problem.headers["Connection"] = "close"
            self._write(problem.status, problem_header_lines(problem), encode(problem.body()))
        self._refused = True
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(_LINGER_S, self.transport.close)

    def _answered(self) -> bool:
        """Whether uvicorn has answered all requests that it has read."""
        return self.cycle is None or self.cycle.response_complete

    def _idle(self) -> bool:
        """Whether nothing is going on: no request, no answer, nothing left to send."""
        busy = self._in_request or not self._answered() or self.flow.write_paused
        return not busy and not self.transport.is_closing()

    def _write(self, status: int, header_lines: bytes, body: bytes) -> None:
        """Send an answer. ``header_lines`` are its headers but for the content-length."""
        default_lines = b"".join([b"%b: %b\r\n" % header for header in self.server_state.default_headers])
        cast("BufferedTransport", self.transport).write_now(
            b"%b%b%bcontent-length: %d\r\n\r\n%b"
            % (_STATUS_LINES[status], default_lines, header_lines, len(body), body)
        )


async def _refuse_at_shutdown(_scope: Scope, receive: Receive, send: Send) -> None:
    problem = unavailable(_SHUTTING_DOWN)
    problem.headers["Connection"] = "close"
    await answer_problem(receive, send, problem)


def _close_idle(connections: set[HttpProtocol], count: int) -> None:
    """Close the ``count`` connections that are idle the longest: several at once, because the search is slow."""
    now = next(iter(connections)).loop.time()
    idle = [each for each in connections if each.idle_seconds(now) > _EVICT_IDLE_S]
    idle.sort(key=lambda each: each.idle_seconds(now), reverse=True)
    for each in idle[:count]:
        connections.discard(each)
        each.transport.close()


def _new_parser(protocol: HttpProtocol) -> httptools.HttpRequestParser:
    """Return a parser like the one that uvicorn creates for a connection."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
