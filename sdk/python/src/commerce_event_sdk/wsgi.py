"""The receiver as a WSGI application (PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http.client import responses
from typing import TYPE_CHECKING, Any

from commerce_event_sdk.answer import NOT_POST, Answer, failure, too_large
from commerce_event_sdk.receiver import type_in_path

if TYPE_CHECKING:
    from commerce_event_sdk.receiver import Receiver

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class WsgiApp:
    """Takes POST requests on every path; the last part of the path may name the event type."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        answer = self._answer(environ)
        headers = list(answer.headers.items())
        if answer.status != 204:
            headers.append(("content-length", str(len(answer.body))))
        headers = [(name, value) for name, value in headers if name != "connection"]  # belongs to the server
        start_response(f"{answer.status} {responses.get(answer.status, '')}", headers)
        return [answer.body] if answer.body else []

    def _answer(self, environ: Environ) -> Answer:
        if environ["REQUEST_METHOD"] != "POST":
            return NOT_POST
        body = self._body(environ)
        if isinstance(body, Answer):
            return body
        return self._receiver.handle(
            _headers(environ),
            body,
            event_type=type_in_path(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")),
        )

    def _body(self, environ: Environ) -> bytes | Answer:
        """Read the body, never more than the limit."""
        limit = self._receiver.max_body_bytes
        length = environ.get("CONTENT_LENGTH") or ""
        if length and not (length.isascii() and length.isdigit()):
            return failure(400, "content-length is no number.")
        if length and (len(length) > 18 or int(length) > limit):
            return too_large(limit)
        if length:
            body: bytes = environ["wsgi.input"].read(int(length))
            return body if len(body) == int(length) else failure(400, "The body is shorter than content-length says.")
        if environ.get("wsgi.input_terminated"):  # the server decodes chunked bodies
            body = environ["wsgi.input"].read(limit + 1)
            return body if len(body) <= limit else too_large(limit)
        return b""


def _headers(environ: Environ) -> list[tuple[str, str]]:
    found = [(name[5:].replace("_", "-"), value) for name, value in environ.items() if name.startswith("HTTP_")]
    return [*found, ("content-type", environ.get("CONTENT_TYPE", ""))]
