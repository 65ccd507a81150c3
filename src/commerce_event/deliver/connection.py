"""One connection and what is said on it: a request out, an answer in, everything bounded."""

import asyncio
import ssl
from typing import Final, cast

import httptools
import msgspec

from commerce_event.deliver.resolver import TransportError
from commerce_event.deliver.tls_errors import tls_failure

HEAD_MAX: Final = 64 * 1024  # bytes of the header block, interim ones included
HEADERS_MAX: Final = 200
INTERIM_MAX: Final = 8
BODY_MAX: Final = 64 * 1024  # bytes read; the connection is closed then
BODY_KEPT: Final = 1024
HEADERS_KEPT: Final = 64
NAME_KEPT: Final = 256
VALUE_KEPT: Final = 4_096
HEADER_BYTES_KEPT: Final = 16 * 1024

STALE: Final = "connection_stale"  # error code: the receiver closed an idle connection just as it was used again
_STALE_MAX_S: Final = 1.0  # a close that crosses our request takes a round trip to arrive
_VERSIONS: Final = frozenset({"1.0", "1.1"})
_CONTROLS: Final = dict.fromkeys((*range(32), *range(127, 160)), " ")


class Response(msgspec.Struct, frozen=True):
    """What a receiver answered: a complete header block, and as much of the body as is kept."""

    status: int
    lines: tuple[tuple[bytes, bytes], ...]  # every header as it came
    body: bytes
    complete: bool  # the whole body arrived

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The headers that are kept to be shown: the first ones, cut where they are long."""
        kept = [(_text(name[:NAME_KEPT]), _text(value[:VALUE_KEPT])) for name, value in self.lines[:HEADERS_KEPT]]
        left = HEADER_BYTES_KEPT
        for number, (name, value) in enumerate(kept):
            left -= len(name) + len(value)
            if left < 0:
                return tuple(kept[:number])
        return tuple(kept)

    def values(self, name: bytes) -> list[str]:
        """Return every value of a header (its name in lower case), also of those that are not kept."""
        return [_text(value) for each, value in self.lines if each.lower() == name]


class Connection(asyncio.Protocol):
    """A connection to one receiver. ``exchange`` may be called again while ``reusable``."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Response] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self.reusable = False
        self.idle_since = 0.0
        self._answered = False  # at least once
        self._sent_at = 0.0

    # -- asked by the pool

    async def exchange(self, request: bytes, deadline: float) -> Response:
        """Send a request and return the answer; ends at ``deadline`` (loop time) whatever the receiver does.

        Raises TransportError when no complete header block came.
        """
        transport = cast("asyncio.Transport", self._transport)
        self._begin()
        self._answer = self._loop.create_future()
        timer = self._loop.call_at(deadline, self._on_deadline)
        self._sent_at = self._loop.time()
        transport.write(request)
        try:
            return await self._answer
        finally:
            timer.cancel()
            self._answer = None
            if not self.reusable:
                transport.abort()

    def close(self) -> None:
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    def _begin(self) -> None:
        self.reusable = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._header_bytes = 0
        self._interim = 0
        self._status = 0  # set once the header block is complete
        self._body = b""
        self._body_bytes = 0
        self._tail_bytes = 0  # read since the header block, whatever it is: body, chunk marks, trailers
        self._message_complete = False

    # -- told by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.close()  # nobody asked: whatever this is, it must not become the next answer
            return
        if self._status:
            self._tail_bytes += len(data)
        else:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._break_off("the answer is not HTTP/1.1 as it should be")
            return
        if self._answer.done():
            return
        if not self._status and self._head_bytes > HEAD_MAX:
            self._break_off("the header block of the answer is too large")
        elif max(self._body_bytes, self._tail_bytes) > BODY_MAX:
            self._break_off("the body of the answer is too large")

    def eof_received(self) -> None:
        self.reusable = False  # at once: the connection is lost only a turn of the loop later

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        if self._answer is None or self._answer.done():
            return
        if self._status:
            self._finish(complete=self._ends_with_connection())
        else:
            self._fail(self._loss(exc))

    def _on_deadline(self) -> None:
        if self._answer is None or self._answer.done():
            return
        if self._status:
            self._finish(complete=False)
        else:
            self._fail(TransportError("timeout", "no complete answer in time"))

    # -- told by the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._status:  # a trailer, which says nothing that counts
            return
        self._headers.append((name, value))
        self._header_bytes += len(name) + len(value)
        if len(self._headers) > HEADERS_MAX or self._header_bytes > HEAD_MAX:
            raise ValueError("too many headers")  # the parser turns it into an error of its own

    def on_headers_complete(self) -> None:
        if self._parser.get_http_version() not in _VERSIONS:
            raise ValueError("another version of HTTP")
        status = self._parser.get_status_code()
        if status >= 200:
            codings = [value.strip().lower() for name, value in self._headers if name.lower() == b"transfer-encoding"]
            if codings not in ([], [b"chunked"]):  # we asked for none: where the body ends is anybody's guess
                raise ValueError("a transfer coding beside chunked")
            self._status = status
            return
        self._interim += 1
        self._headers.clear()
        if status == 101 or status < 100 or self._interim > INTERIM_MAX:
            raise ValueError("interim answers without end")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if len(self._body) < BODY_KEPT:
            self._body += body[: BODY_KEPT - len(self._body)]

    def on_message_begin(self) -> None:
        if self._status:  # a second answer to one request
            raise ValueError("more than one answer")

    def on_message_complete(self) -> None:
        if not self._status or self._message_complete:
            return
        self._message_complete = self._answered = True
        transport = cast("asyncio.Transport", self._transport)
        self.reusable = self._parser.should_keep_alive() and transport.get_write_buffer_size() == 0
        self._finish(complete=True)

    # -- ends

    def _finish(self, *, complete: bool) -> None:
        answer = cast("asyncio.Future[Response]", self._answer)
        if not answer.done():
            answer.set_result(Response(self._status, tuple(self._headers), self._body, complete))

    def _fail(self, failure: TransportError) -> None:
        self.reusable = False
        answer = cast("asyncio.Future[Response]", self._answer)
        if answer.done():  # an answer was complete, and more than it should followed
            return
        answer.set_exception(failure)

    def _loss(self, exc: Exception | None) -> TransportError:
        """Return what it means that the connection ended before an answer was complete."""
        if isinstance(exc, ssl.SSLError):
            return tls_failure(exc)
        if self._answered and not self._head_bytes and self._loop.time() - self._sent_at < _STALE_MAX_S:
            return TransportError(
                STALE, "the receiver closed the connection just when it was used again", is_internal=True
            )
        if isinstance(exc, ConnectionResetError):
            return TransportError("connection_reset", "the receiver reset the connection before it answered")
        return TransportError("connection_closed", "the receiver closed the connection before it answered")

    def _break_off(self, detail: str) -> None:
        """Read no more: what came counts with a complete header block, without it does not."""
        self.close()
        if self._status:
            self._finish(complete=False)
        else:
            self._fail(TransportError("bad_http", detail))

    def _ends_with_connection(self) -> bool:
        names = {name.lower() for name, _ in self._headers}
        return not names & {b"content-length", b"transfer-encoding"}


def _text(raw: bytes) -> str:
    text = raw.decode("latin-1")
    return text if text.isprintable() else text.translate(_CONTROLS)
