"""The ASGI application, where the server or the sender behaves in an unusual way."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Mount

from commerce_event_sdk import Receiver
from commerce_event_sdk.starlette import webhook_routes
from signed_requests import ORDER_BODY, SECRET, signed_headers
from sockets import asgi_server, request

pytestmark = pytest.mark.integration


@pytest.fixture
def events() -> list[Any]:
    return []


@pytest.fixture
def receiver(events: list[Any]) -> Receiver:
    receiver = Receiver(secret=SECRET, max_body_bytes=1_000)
    receiver.on("*")(events.append)
    return receiver


async def call(receiver: Receiver, messages: list[dict[str, Any]], **scope: Any) -> tuple[list[Any], int]:
    """Return what the application sends, and how many messages it has not read."""
    waiting = list(messages)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(name.encode(), value.encode()) for name, value in signed_headers().items()]
    whole = {"type": "http", "method": "POST", "path": "/", "http_version": "1.1", "headers": headers, **scope}
    await receiver.asgi()(whole, receive, send)
    return sent, len(waiting)


def part(body: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_asgi_reads_a_body_in_pieces(receiver: Receiver, events: list[Any]) -> None:
    pieces = [part(ORDER_BODY[:5]), part(b""), {"type": "http.request", "body": ORDER_BODY[5:]}]
    sent, unread = await call(receiver, pieces)
    assert sent[0]["status"] == 204
    assert b"content-length" not in dict(sent[0]["headers"])
    assert (len(events), unread) == (1, 0)


async def test_asgi_stops_reading_an_endless_body(receiver: Receiver) -> None:
    sent, unread = await call(receiver, [part(b" " * 600)] * 100)
    assert sent[0]["status"] == 413
    assert dict(sent[0]["headers"])[b"connection"] == b"close"
    assert unread == 96


async def test_asgi_answers_413_without_a_header_that_http_2_forbids(receiver: Receiver) -> None:
    sent, _ = await call(receiver, [part(b" " * 1_001, more=False)], http_version="2")
    assert sent[0]["status"] == 413
    assert b"connection" not in dict(sent[0]["headers"])


async def test_asgi_answers_nothing_to_a_sender_that_went_away(receiver: Receiver, events: list[Any]) -> None:
    sent, _ = await call(receiver, [part(ORDER_BODY), {"type": "http.disconnect"}])
    assert (sent, events) == ([], [])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_asgi_answers_405_without_reading(receiver: Receiver, method: str) -> None:
    sent, unread = await call(receiver, [part(b"")], method=method)
    assert (sent[0]["status"], unread) == (405, 1)
    assert dict(sent[0]["headers"])[b"allow"] == b"POST"
    assert (sent[1]["body"] == b"") == (method == "HEAD")


async def test_asgi_refuses_a_websocket(receiver: Receiver) -> None:
    with pytest.raises(RuntimeError, match="speaks HTTP only, not websocket"):
        await call(receiver, [], type="websocket")


def test_sender_that_closes_early_does_not_disturb_the_next(receiver: Receiver, events: list[Any]) -> None:
    with asgi_server(receiver.asgi()) as port:
        with socket.create_connection(("127.0.0.1", port)) as half:
            half.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{")
        assert request(port, "/", signed_headers(), ORDER_BODY).status == 204
    assert len(events) == 1


def test_sender_of_a_huge_body_gets_the_answer_early(receiver: Receiver) -> None:
    """The length is announced, and the body never comes to its end."""
    with asgi_server(receiver.asgi()) as port, socket.create_connection(("127.0.0.1", port), timeout=20) as sender:
        sender.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000000\r\n\r\n" + b" " * 4_000)
        answer = b""
        while piece := sender.recv(4_096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["reason"] == "The body is larger than 1000 bytes."


def test_middleware_that_reads_the_body_leaves_it_for_the_receiver(receiver: Receiver, events: list[Any]) -> None:
    bodies: list[bytes] = []

    class Reader(BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Any:
            bodies.append(await request.body())
            return await call_next(request)

    app = Starlette(routes=webhook_routes("/webhooks", receiver))
    app.add_middleware(Reader)
    with asgi_server(app) as port:
        assert request(port, "/webhooks", signed_headers(), ORDER_BODY).status == 204
    assert (bodies, len(events)) == ([ORDER_BODY], 1)


def test_mounted_application_takes_the_type_from_the_path(receiver: Receiver, events: list[Any]) -> None:
    receiver.on("OrderConfirmedEvent")(events.append)
    app = Starlette(routes=[Mount("/inner", receiver.asgi())])
    with asgi_server(app) as port:
        headers = signed_headers(event_type=None)
        assert request(port, "/inner/OrderConfirmedEvent", headers, ORDER_BODY).status == 204
    assert len(events) == 1


def test_lifespan_of_the_application_around_the_receiver_runs(receiver: Receiver) -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def lifespan(_: Any) -> Any:
        steps.append("start")
        yield
        steps.append("stop")

    with asgi_server(Starlette(routes=webhook_routes("/webhooks", receiver), lifespan=lifespan)) as port:
        request(port, "/webhooks", signed_headers(), ORDER_BODY)
    assert steps == ["start", "stop"]


def test_sync_handlers_do_not_keep_each_other_waiting() -> None:
    """Two handlers wait for each other, which only works when neither blocks the event loop."""
    both = threading.Barrier(2, timeout=20)
    receiver = Receiver(secret=SECRET)
    receiver.on("*")(lambda _: both.wait())

    async def send_two(port: int) -> list[int]:
        headers = [signed_headers(webhook_id=f"evt_{number}") for number in range(2)]
        tasks = [asyncio.to_thread(request, port, "/", each, ORDER_BODY) for each in headers]
        return [reply.status for reply in await asyncio.gather(*tasks)]

    with asgi_server(receiver.asgi()) as port:
        assert asyncio.run(send_two(port)) == [204, 204]
