"""A faster way for complete requests: parsed and handed over without ASGI (docs/decisions/0015-fast-path-stays.md).

A publisher's usual request arrives in one piece and is answered in one. For each, uvicorn would create a scope, a task
and five messages: a third of the processor time of an event. Anything unusual about a request sends it through uvicorn.
To remove the fast path, delete this module and name ``HttpProtocol`` in ``uvicorn_server``.
"""

from typing import Any, Final, Protocol, cast

import httptools

from commerce_event.http.asgi import Answer, Headers
from commerce_event.http.protocol import HttpProtocol
from commerce_event.http.request_head import FIELDS_MAX, HEAD_MAX, URL_MAX

_UNUSUAL_HEADERS: Final = frozenset({b"expect", b"transfer-encoding"})


class WholeRequestHandler(Protocol):
    """Takes POST requests to ``prefix`` + NAME that have arrived completely, without ASGI."""

    prefix: str
    body_max: int  # bytes

    def take(self, name: str, headers: Headers, body: bytes, answer: Answer) -> None:
        """Start to handle a request. ``answer`` is called once, now or later, with status, header lines and body."""
        ...


class FastPathProtocol(HttpProtocol):
    """A connection whose complete requests go to the handler that the application has as ``publisher``."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._handler = cast("WholeRequestHandler | None", getattr(self.app, "publisher", None))
        self._start = b"" if self._handler is None else b"POST " + self._handler.prefix.encode()
        self._reader = _WholeRequest()
        self._answer_due = False  # to a request that the handler has taken
        self._held_data = b""  # what arrived after that request
        self._close_after_answer = False

    def data_received(self, data: bytes) -> None:
        if self._answer_due:
            self._held_data += data
            self.flow.pause_reading()
        elif not (data.startswith(self._start) and not self._refused and self._idle() and self._take(data)):
            super().data_received(data)

    def eof_received(self) -> bool:  # type: ignore[override]
        if self._answer_due:
            self._close_after_answer = True
            return True
        return super().eof_received()

    def shutdown(self) -> None:
        if self._answer_due:
            self._close_after_answer = True
        else:
            super().shutdown()

    def _idle(self) -> bool:
        return not self._answer_due and super()._idle()

    def _take(self, data: bytes) -> bool:
        """Hand a request to the handler, if the data is exactly one usual request. Otherwise return False."""
        handler, reader = self._handler, self._reader
        if handler is None:
            return False
        if not reader.read(data):
            self._reader = _WholeRequest()
            return False
        name = reader.url[len(handler.prefix) :]
        if len(reader.body) > handler.body_max or not name.isalnum() or not _UNUSUAL_HEADERS.isdisjoint(reader.headers):
            return False
        self._answer_due = True
        handler.take(name.decode(), reader.headers, reader.body, self._answer)
        return True

    def _answer(self, status: int, header_lines: bytes, body: bytes) -> None:
        self._answer_due = False
        if self.transport.is_closing():
            return
        if self._close_after_answer:
            self._write(status, header_lines + b"connection: close\r\n", body)
            self.transport.close()
            return
        self._write(status, header_lines, body)
        self._since = self.loop.time()
        if self._held_data:
            data, self._held_data = self._held_data, b""
            self.data_received(data)
        if not self._answer_due:
            self.flow.resume_reading()


class _WholeRequest:
    """Reads a request that lies in one piece of bytes."""

    __slots__ = ("_begun", "_ended", "_field_count", "_parser", "_stays_open", "body", "headers", "url")

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)

    def read(self, data: bytes) -> bool:
        """Return whether the data is exactly one usual request. After False, the reader cannot be used again."""
        self._begun = self._ended = self._field_count = 0
        self.url = self.body = b""
        self.headers: dict[bytes, bytes] = {}
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        return self._begun == self._ended == 1 and self._stays_open and self._is_usual(len(data))

    def _is_usual(self, size: int) -> bool:
        """Whether the head is within the limits and has no header twice, so that it has one reading only."""
        once = len(self.headers) == self._field_count <= FIELDS_MAX
        return once and b"host" in self.headers and size - len(self.body) <= HEAD_MAX and len(self.url) <= URL_MAX

    def on_message_begin(self) -> None:
        self._begun += 1

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value
        self._field_count += 1

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self._ended += 1
        self._stays_open = self._parser.should_keep_alive() and self._parser.get_http_version() == "1.1"
