"""The WSGI application, under the validator of the standard library and with unusual requests."""

from __future__ import annotations

import io
import json
from typing import Any
from wsgiref.validate import validator

import pytest

from commerce_event_sdk import Receiver
from signed_requests import ORDER_BODY, SECRET, signed_headers
from sockets import Reply, request, wsgi_server

pytestmark = pytest.mark.integration


@pytest.fixture
def events() -> list[Any]:
    return []


@pytest.fixture
def receiver(events: list[Any]) -> Receiver:
    receiver = Receiver(secret=SECRET, max_body_bytes=1_000)
    receiver.on("*")(events.append)
    return receiver


class CountingInput(io.BytesIO):
    """Counts what is read of a body that seems to have no end."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        assert size >= 0, "all of it would be read"
        self.count += size
        return b" " * size


def call(receiver: Receiver, body: io.BytesIO, **environ: Any) -> Reply:
    started: list[Any] = []
    headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in signed_headers().items()}
    whole = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "wsgi.input": body, **headers, **environ}
    content = b"".join(receiver.wsgi()(whole, lambda *arguments: started.append(arguments)))
    ((status, answered),) = started
    return Reply(int(status.split()[0]), dict(answered), content)


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD"])
def test_wsgi_passes_the_validator(receiver: Receiver, method: str) -> None:
    with wsgi_server(validator(receiver.wsgi())) as port:
        body = ORDER_BODY if method == "POST" else b""
        reply = request(port, "/webhooks", signed_headers(), body, method=method)
    assert reply.status == (204 if method == "POST" else 405)
    assert (reply.body == b"") == (method != "GET")


@pytest.mark.parametrize("length", ["x", "-1", "1e3", "٣", "1" * 19])
def test_wsgi_answers_400_to_a_strange_length(receiver: Receiver, length: str) -> None:
    assert call(receiver, io.BytesIO(ORDER_BODY), CONTENT_LENGTH=length).status == 400


def test_wsgi_answers_400_to_a_short_body(receiver: Receiver, events: list[Any]) -> None:
    reply = call(receiver, io.BytesIO(ORDER_BODY), CONTENT_LENGTH=str(len(ORDER_BODY) + 1))
    assert (reply.status, events) == (400, [])
    assert json.loads(reply.body)["reason"] == "The body is shorter than content-length."


@pytest.mark.parametrize("environ", [{"CONTENT_LENGTH": "100000000000"}, {"wsgi.input_terminated": True}])
def test_wsgi_stops_reading_an_endless_body(receiver: Receiver, environ: dict[str, Any]) -> None:
    body = CountingInput()
    assert call(receiver, body, **environ).status == 413
    assert body.count <= 2_001


def test_wsgi_reads_nothing_without_a_length(receiver: Receiver) -> None:
    """Reading from a server that does not say that its input ends would never return."""
    body = CountingInput()
    assert call(receiver, body).status == 401
    assert body.count == 0
