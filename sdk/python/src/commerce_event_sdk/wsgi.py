"""The receiver as a WSGI application (PEP 3333)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from http.client import responses
from typing import TYPE_CHECKING, Any, Final

from commerce_event_sdk.answer import NOT_POST, Answer, failure, too_large

if TYPE_CHECKING:
    from commerce_event_sdk.receiver import Receiver

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
_PIECE_BYTES: Final = 65_536
_LENGTH: Final = re.compile(r"[0-9]{0,18}")


class WsgiApp:
    """Takes POST requests on every path; the last part of the path may name the event type."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        answer = self._answer(environ)
        start_response(f"{answer.status} {responses.get(answer.status, '')}", [*answer.http_headers().items()])
        return [answer.body] if answer.body and environ["REQUEST_METHOD"] != "HEAD" else []

    def _answer(self, environ: Environ) -> Answer:
        if environ["REQUEST_METHOD"] != "POST":
            return NOT_POST
        body = self._body(environ)
        if isinstance(body, Answer):
            return body
        named = self._receiver.type_in_path(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""))
        return self._receiver.handle(_headers(environ), body, event_type=named)

    def _body(self, environ: Environ) -> bytes | Answer:
        """Read the body, and keep no more of it than the limit.

        As much again is read and dropped: a sender that is still writing when the connection closes would not see the
        answer.
        """
        limit = self._receiver.max_body_bytes
        try:
            expected = content_length(environ)
        except ValueError as error:
            return failure(400, str(error))
        if expected is None and not environ.get("wsgi.input_terminated"):  # else the server decodes chunked bodies
            return b""
        read = environ["wsgi.input"].read
        if expected is not None and expected <= limit:
            body: bytes = read(expected)
            return body if len(body) == expected else failure(400, "The body is shorter than content-length.")
        pieces: list[bytes] = []
        size = 0
        end = 2 * limit + 1 if expected is None else min(expected, 2 * limit)
        while size < end and (piece := read(min(_PIECE_BYTES, end - size))):
            size += len(piece)
            if size <= limit:
                pieces.append(piece)
        return b"".join(pieces) if expected is None and size <= limit else too_large(limit)


def content_length(environ: Mapping[str, Any]) -> int | None:
    """Return how long the body is to be; None when the request does not say. Raises ValueError."""
    text = environ.get("CONTENT_LENGTH") or ""
    if not _LENGTH.fullmatch(text):
        raise ValueError("content-length is not a number of bytes.")
    return int(text) if text else None


def _headers(environ: Environ) -> list[tuple[str, str]]:
    found = [(name[5:].replace("_", "-"), value) for name, value in environ.items() if name.startswith("HTTP_")]
    return [*found, ("content-type", environ.get("CONTENT_TYPE", ""))]
