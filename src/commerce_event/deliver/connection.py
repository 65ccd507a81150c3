"""One HTTP connection to a receiver: sends a request and reads the response, with limits on everything."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, cast

import httptools
import msgspec

from commerce_event.core.model import Phase
from commerce_event.core.receiver_text import receiver_line, without_cut_character
from commerce_event.deliver.lax_head import end_of_head, strict_head
from commerce_event.deliver.resolver import TransportError
from commerce_event.deliver.tls_errors import tls_failure

HEAD_MAX: Final = 64 * 1024  # bytes of the header block, including those of interim responses
HEADERS_MAX: Final = 200
INTERIM_MAX: Final = 8
BODY_MAX: Final = 64 * 1024  # bytes read before the connection is closed
BODY_KEPT: Final = 1024
HEADERS_KEPT: Final = 64
NAME_KEPT: Final = 256
VALUE_KEPT: Final = 4_096
HEADER_BYTES_KEPT: Final = 16 * 1024

STALE: Final = "connection_stale"  # the receiver closed an idle connection while it was reused: send again
_STALE_MAX_S: Final = 1.0  # a close that was sent before our request came takes up to a round trip to arrive
_VERSIONS: Final = frozenset({"1.0", "1.1"})


class Response(msgspec.Struct, frozen=True):
    """A receiver's response: a complete header block, and the kept part of the body."""

    status: int
    raw_headers: tuple[tuple[bytes, bytes], ...]  # all, as received
    body: bytes
    complete: bool  # the whole body arrived
    address: str = ""  # that answered

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The headers that are kept for people to see: the first ones, with long values cut."""
        kept = [
            (receiver_line(name)[:NAME_KEPT], receiver_line(value)[:VALUE_KEPT])
            for name, value in self.raw_headers[:HEADERS_KEPT]
        ]
        left = HEADER_BYTES_KEPT
        for number, (name, value) in enumerate(kept):
            left -= len(name) + len(value)
            if left < 0:
                return tuple(kept[:number])
        return tuple(kept)

    def values(self, name: bytes) -> list[bytes]:
        """Return every value of a header, kept or not; ``name`` is in lower case."""
        return [value for each, value in self.raw_headers if each.lower() == name]


class Connection(asyncio.Protocol):
    """A connection to one receiver. ``send_request`` may be called again while ``reusable``."""

    def __init__(self, address: str = "", on_end: Callable[[], None] = lambda: None) -> None:
        """``on_end`` is called when the connection is closed, perhaps more than once."""
        self.address = address  # as the resolver gave it
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._response: asyncio.Future[Response] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self.reusable = False
        self.opened_at = self._loop.time()
        self.idle_since = 0.0
        self.idle_s = 0.0  # before its latest request
        self.on_idle_close: Callable[[Connection], None] | None = None  # called when the receiver closes it while idle
        self._was_used = False  # at least one response was complete
        self._sent_at = 0.0

    # -- for the pool

    async def send_request(self, request: bytes, deadline: float) -> Response:
        """Send a request and return the response; ends at ``deadline`` (loop time) in any case.

        Raises TransportError without a complete header block.
        """
        transport = cast("asyncio.Transport", self._transport)
        self._reset()
        self._response = self._loop.create_future()
        timer = self._loop.call_at(deadline, self._on_deadline)
        self._sent_at = self._loop.time()
        transport.write(request)
        try:
            return await self._response
        finally:
            timer.cancel()
            self._response = None
            if not self.reusable:
                transport.abort()

    def close(self) -> None:
        self.reusable = False
        self.on_idle_close = None
        self._on_end()
        if self._transport is not None:
            self._transport.abort()

    def _reset(self) -> None:
        """Prepare for the next response."""
        self.reusable = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._head: list[bytes] = []  # as received
        self._lax: bytearray | None = None  # what is not parsed yet of a header block that the parser refused
        self._searched = 0  # bytes of it without an end
        self._head_bytes = 0
        self._header_bytes = 0
        self._interim = 0
        self._status = 0  # set once the header block is complete
        self._body = b""
        self._body_bytes = 0
        self._tail_bytes = 0  # read after the header block: body, chunk sizes, trailers
        self._message_complete = False

    # -- called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._response is None or self._response.done():
            self.close()  # unexpected data must not become the next response
            return
        if self._status:
            self._tail_bytes += len(data)
        else:
            self._head_bytes += len(data)
        try:
            if self._status:
                self._parser.feed_data(data)
            else:
                self._feed_head(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._abort("the response is not valid HTTP/1.1")
            return
        if self._response.done():
            return
        if not self._status and self._head_bytes > HEAD_MAX:
            self._abort("the header block of the response is too large")
        elif max(self._body_bytes, self._tail_bytes) > BODY_MAX:
            self._abort("the body of the response is too large")

    def _feed_head(self, data: bytes) -> None:
        """Parse what came before the header block was complete. Raises the parser's errors."""
        if self._lax is None:
            self._head.append(data)
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserCallbackError:
                raise
            except httptools.HttpParserError:
                read = b"".join(self._head).lstrip(b"\r\n")
                if self._status or not read.startswith(b"HTTP/1."):
                    raise
                self._lax, self._interim = bytearray(read), 0
                self._parser = httptools.HttpResponseParser(self)  # one that failed takes no more
            else:
                return
        else:
            self._lax += data
        while not self._status:
            end = end_of_head(self._lax, self._searched)
            if end is None:
                self._searched = len(self._lax)
                return
            head = bytes(self._lax[:end])
            del self._lax[:end]
            self._searched = 0
            self._headers.clear()
            self._parser = httptools.HttpResponseParser(self)
            self._parser.feed_data(strict_head(head))
        if self._lax and not self._message_complete:
            self._parser.feed_data(bytes(self._lax))

    def eof_received(self) -> None:
        self._close_idle()  # now; connection_lost is called only in the next turn of the event loop

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_end()
        self._close_idle()
        if self._response is None or self._response.done():
            return
        if self._status:
            names = {name.lower() for name, _ in self._headers}
            self._finish(complete=not names & {b"content-length", b"transfer-encoding"})
        else:
            self._fail(self._lost_error(exc))

    def _close_idle(self) -> None:
        self.reusable = False
        if self.on_idle_close is not None:
            self.on_idle_close(self)

    def _on_deadline(self) -> None:
        if self._response is None or self._response.done():
            return
        if self._status:
            self._finish(complete=False)
        else:
            self._fail(TransportError("timeout", "no complete response in time"))

    # -- called by the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._status:  # trailers are ignored
            return
        self._headers.append((name, value))
        self._header_bytes += len(name) + len(value)
        if len(self._headers) > HEADERS_MAX or self._header_bytes > HEAD_MAX:
            raise ValueError("too many headers")  # the parser raises HttpParserCallbackError

    def on_headers_complete(self) -> None:
        if self._parser.get_http_version() not in _VERSIONS:
            raise ValueError("unsupported version of HTTP")
        status = self._parser.get_status_code()
        if status >= 200:
            codings = [value.strip().lower() for name, value in self._headers if name.lower() == b"transfer-encoding"]
            if codings not in ([], [b"chunked"]):  # we asked for none, so the end of the body is ambiguous
                raise ValueError("unsupported transfer coding")
            self._status = status
            return
        self._interim += 1
        self._headers.clear()
        if status == 101 or status < 100 or self._interim > INTERIM_MAX:
            raise ValueError("too many interim responses")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if len(self._body) < BODY_KEPT:
            self._body += body[: BODY_KEPT - len(self._body)]

    def on_message_begin(self) -> None:
        if self._status:  # a second response to one request
            raise ValueError("more than one response")

    def on_message_complete(self) -> None:
        if not self._status or self._message_complete:
            return
        self._message_complete = self._was_used = True
        transport = cast("asyncio.Transport", self._transport)
        self.reusable = (
            self._lax is None and self._parser.should_keep_alive() and transport.get_write_buffer_size() == 0
        )
        self._finish(complete=True)

    # -- the end of a response

    def _finish(self, *, complete: bool) -> None:
        response = cast("asyncio.Future[Response]", self._response)
        if not response.done():
            body = self._body if len(self._body) < BODY_KEPT else without_cut_character(self._body)
            response.set_result(Response(self._status, tuple(self._headers), body, complete, self.address))

    def _fail(self, failure: TransportError) -> None:
        self.reusable = False
        response = cast("asyncio.Future[Response]", self._response)
        if not response.done():  # otherwise the response was complete, and invalid data followed it
            failure.phase, failure.address = failure.phase or self._phase(), self.address
            response.set_exception(failure)

    def _phase(self) -> Phase:
        """Return how far a request came that has no complete header block yet."""
        if self._head_bytes:
            return "reading"
        is_sent = cast("asyncio.Transport", self._transport).get_write_buffer_size() == 0
        return "waiting" if is_sent else "request"

    def _lost_error(self, exc: Exception | None) -> TransportError:
        """Return the error for a connection that was lost before a header block was complete."""
        if self._was_used and not self._head_bytes and self._loop.time() - self._sent_at < _STALE_MAX_S:
            return TransportError(
                STALE, "the receiver closed the idle connection while it was reused", is_internal=True
            )
        if self._lax is not None:
            return TransportError("bad_http", "the response is not valid HTTP/1.1")
        if isinstance(exc, ssl.SSLError):
            return tls_failure(exc)
        if isinstance(exc, ConnectionResetError):
            return TransportError("connection_reset", "the receiver reset the connection before it answered")
        return TransportError("connection_closed", "the receiver closed the connection before it answered")

    def _abort(self, detail: str) -> None:
        """Close the connection: the response counts as cut short with a complete header block, else it is invalid."""
        self.close()
        if self._status:
            self._finish(complete=False)
        else:
            self._fail(TransportError("bad_http", detail))
