"""The adapters in their real frameworks, served by real servers, over sockets."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from commerce_event_sdk import Delivery, OrderConfirmedEvent, Receiver
from framework_servers import ALL, NO_CHUNKS, Serve, django_urls, flask_app, name_of
from function_hosts import Shape, binary_rest_api, function_url, http_api, rest_api
from signed_requests import HEADER, ORDER, ORDER_BODY, SECRET, json_of, signed_headers
from sockets import Reply, request, werkzeug_server, wsgi_server

pytestmark = pytest.mark.integration

LIMIT = 2_000


@pytest.fixture(params=ALL, ids=name_of)
def serve(request: pytest.FixtureRequest) -> Serve:
    made: Serve = request.param
    return made


@pytest.fixture
def events() -> list[Any]:
    return []


@pytest.fixture
def receiver(events: list[Any]) -> Receiver:
    receiver = Receiver(secret=SECRET, max_body_bytes=LIMIT)

    @receiver.on(OrderConfirmedEvent)
    def confirmed(event: OrderConfirmedEvent, delivery: Delivery) -> None:
        events.append((event, delivery))

    return receiver


def post(port: int, headers: dict[str, str], body: Any = ORDER_BODY, path: str = "/webhooks") -> Reply:
    return request(port, path, headers, body)


def test_adapter_gives_the_handler_the_event_and_the_bytes(serve: Serve, receiver: Receiver, events: list[Any]) -> None:
    body = b" " + json_of({**ORDER, "FirstName": "\u00c5sa"}).replace(b"\\u00c5", "Å".encode()) + b"\n"
    with serve(receiver) as port:
        reply = post(port, signed_headers(body, commerce_event_attempt="2"), body)
    assert (reply.status, reply.body) == (204, b"")
    ((event, delivery),) = events
    assert event.FirstName == "Åsa"
    assert (delivery.body, delivery.webhook_id, delivery.attempt) == (body, "evt_1", 2)


def test_adapter_waits_for_an_async_handler(serve: Serve, events: list[Any]) -> None:
    receiver = Receiver(secret=SECRET)

    @receiver.on("*")
    async def handle(event: OrderConfirmedEvent) -> None:
        await asyncio.sleep(0)
        events.append(event)

    with serve(receiver) as port:
        assert [post(port, signed_headers()).status for _ in range(2)] == [204, 204]
    assert events == [OrderConfirmedEvent(**ORDER)] * 2


def test_adapter_takes_the_type_from_the_path(serve: Serve, events: list[Any]) -> None:
    receiver = Receiver(header=HEADER)
    receiver.on(OrderConfirmedEvent)(events.append)
    headers = {HEADER[0]: HEADER[1]}
    with serve(receiver) as port:
        assert post(port, headers, path="/webhooks/OrderConfirmedEvent").status == 204
        assert post(port, headers, path="/webhooks").status == 422
        assert post(port, headers, path="/webhooks/NoEvent").status == 422
    assert events == [OrderConfirmedEvent(**ORDER)]


def test_adapter_answers_failures_with_a_reason(serve: Serve, receiver: Receiver, events: list[Any]) -> None:
    receiver.on("OwnEvent")(lambda _: 1 / 0)
    with serve(receiver) as port:
        replies = [
            post(port, signed_headers(), b"{}"),
            post(port, signed_headers(b"{}"), b"{}"),
            post(port, signed_headers(b"{}", event_type="OwnEvent"), b"{}"),
        ]
    assert [reply.status for reply in replies] == [401, 400, 500]
    for reply in replies:
        assert reply.headers["content-type"].startswith("application/json")
        assert json.loads(reply.body)["reason"]
        assert b"Traceback" not in reply.body
    assert events == []


def test_adapter_answers_413_to_a_body_over_the_limit(serve: Serve, receiver: Receiver, events: list[Any]) -> None:
    allowed = ORDER_BODY.ljust(LIMIT)
    with serve(receiver) as port:
        assert post(port, signed_headers(allowed), allowed).status == 204
        reply = post(port, signed_headers(allowed + b" "), allowed + b" ")
    assert reply.status == 413
    assert json.loads(reply.body)["reason"] == f"The body is larger than {LIMIT} bytes."
    assert len(events) == 1


@pytest.mark.parametrize("serve", [each for each in ALL if each not in NO_CHUNKS], ids=name_of, indirect=True)
def test_adapter_reads_a_chunked_body(serve: Serve, receiver: Receiver, events: list[Any]) -> None:
    with serve(receiver) as port:
        assert post(port, signed_headers(), iter([ORDER_BODY[:10], ORDER_BODY[10:]])).status == 204
        too_long = signed_headers(b" " * (LIMIT + 1))
        assert post(port, too_long, iter([b" " * LIMIT, b" "])).status == 413
    assert len(events) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_adapter_answers_405_to_other_methods(serve: Serve, receiver: Receiver, method: str) -> None:
    with serve(receiver) as port:
        reply = request(port, "/webhooks", {}, method=method)
    assert reply.status == 405
    assert "POST" in reply.headers["allow"]
    if method == "HEAD":
        assert reply.body == b""


@pytest.mark.parametrize("length", ["x", "-1", "1e3", "9" * 5_000])
def test_django_answers_400_to_a_strange_length(receiver: Receiver, length: str) -> None:
    from django.core.handlers.wsgi import WSGIHandler

    with django_urls(receiver), wsgi_server(WSGIHandler()) as port:
        reply = request(port, "/webhooks", {"content-length": length})
    assert reply.status == 400


def test_flask_hook_that_reads_the_body_leaves_it_for_the_receiver(receiver: Receiver, events: list[Any]) -> None:
    from flask import request as flask_request

    bodies: list[bytes] = []
    app = flask_app(receiver)

    @app.before_request
    def read() -> None:
        bodies.append(flask_request.get_data())

    with werkzeug_server(app) as port:
        assert post(port, signed_headers()).status == 204
    assert (bodies, len(events)) == ([ORDER_BODY], 1)


def test_django_middleware_that_reads_the_body_leaves_it_for_the_receiver(
    receiver: Receiver, events: list[Any]
) -> None:
    from django.core.handlers.wsgi import WSGIHandler

    bodies: list[bytes] = []

    def reading(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def middleware(request: Any) -> Any:
            bodies.append(request.body)
            return get_response(request)

        return middleware

    with django_urls(receiver, reading), wsgi_server(WSGIHandler()) as port:
        assert post(port, signed_headers()).status == 204
    assert (bodies, len(events)) == ([ORDER_BODY], 1)


def test_django_runs_a_sync_handler_in_the_thread_of_the_request() -> None:
    """There it has the connection that Django opens and closes for the request."""
    from django.core.handlers.wsgi import WSGIHandler

    threads: list[int] = []
    receiver = Receiver(secret=SECRET)
    receiver.on("*")(lambda _: threads.append(threading.get_ident()))

    def recording(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def middleware(request: Any) -> Any:
            threads.append(threading.get_ident())
            return get_response(request)

        return middleware

    with django_urls(receiver, recording), wsgi_server(WSGIHandler()) as port:
        assert post(port, signed_headers()).status == 204
    assert len(threads) == 2
    assert len(set(threads)) == 1


@pytest.mark.parametrize("document", [{}, {"Records": []}, {"requestContext": {}}])
def test_lambda_call_that_is_no_http_request_raises(receiver: Receiver, document: dict[str, Any]) -> None:
    from commerce_event_sdk.aws_lambda import webhook_handler

    with pytest.raises(ValueError, match="this is no HTTP request"):
        webhook_handler(receiver)(document, None)


def test_lambda_answers_400_to_a_body_that_is_not_base64(receiver: Receiver) -> None:
    from commerce_event_sdk.aws_lambda import webhook_handler

    document = http_api("POST", "/", list(signed_headers().items()), b"") | {"body": "%%%", "isBase64Encoded": True}
    assert webhook_handler(receiver)(document, None)["statusCode"] == 400


@pytest.mark.parametrize("shape", [rest_api, http_api, function_url])
def test_lambda_answers_401_to_a_body_that_the_gateway_has_changed(receiver: Receiver, shape: Shape) -> None:
    """A gateway replaces bytes that are no UTF-8; the signature shows it."""
    body = b'{"OrderNo": "\xff"}'
    headers = list(signed_headers(body).items())
    from commerce_event_sdk.aws_lambda import webhook_handler

    assert webhook_handler(receiver)(shape("POST", "/", headers, body), None)["statusCode"] == 401
    assert webhook_handler(receiver)(binary_rest_api("POST", "/", headers, body), None)["statusCode"] == 400
