"""The adapters in their real frameworks, served by real servers, over sockets."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from commerce_event_sdk import Delivery, OrderConfirmedEvent, Receiver
from function_hosts import Shape, azure_host, binary_rest_api, function_url, http_api, lambda_gateway, rest_api
from signed_requests import HEADER, ORDER, ORDER_BODY, SECRET, json_of, signed_headers
from sockets import Reply, asgi_server, request, werkzeug_server, wsgi_server

if TYPE_CHECKING:
    from flask import Flask

pytestmark = pytest.mark.integration

LIMIT = 2_000
Serve = Callable[[Receiver], AbstractContextManager[int]]


def serve_asgi(receiver: Receiver) -> AbstractContextManager[int]:
    return asgi_server(receiver.asgi())


def serve_asgi_with_h11(receiver: Receiver) -> AbstractContextManager[int]:
    return asgi_server(receiver.asgi(), "h11")


def serve_wsgi(receiver: Receiver) -> AbstractContextManager[int]:
    return wsgi_server(receiver.wsgi())


def serve_wsgi_with_werkzeug(receiver: Receiver) -> AbstractContextManager[int]:
    return werkzeug_server(receiver.wsgi())


def serve_starlette(receiver: Receiver) -> AbstractContextManager[int]:
    from starlette.applications import Starlette

    from commerce_event_sdk.starlette import webhook_routes

    return asgi_server(Starlette(routes=webhook_routes("/webhooks", receiver)))


def serve_fastapi(receiver: Receiver) -> AbstractContextManager[int]:
    from fastapi import FastAPI

    from commerce_event_sdk.fastapi import webhook_routes

    app = FastAPI()
    app.include_router(webhook_routes("/webhooks", receiver))
    return asgi_server(app)


def serve_litestar(receiver: Receiver) -> AbstractContextManager[int]:
    from litestar import Litestar
    from litestar.config.csrf import CSRFConfig

    from commerce_event_sdk.litestar import webhook_routes

    return asgi_server(Litestar([*webhook_routes("/webhooks", receiver)], csrf_config=CSRFConfig(secret="x")))


def serve_flask(receiver: Receiver) -> AbstractContextManager[int]:
    return werkzeug_server(flask_app(receiver))


def flask_app(receiver: Receiver) -> Flask:
    from flask import Flask

    from commerce_event_sdk.flask import webhook_routes

    app = Flask(__name__)
    app.register_blueprint(webhook_routes("/webhooks", receiver))
    return app


def pass_on(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Middleware of Django that does nothing."""
    return get_response


@contextmanager
def django_urls(receiver: Receiver, middleware: Callable[..., Any] = pass_on) -> Iterator[None]:
    import django
    from django.conf import settings
    from django.test import override_settings

    from commerce_event_sdk.django import webhook_routes

    if not settings.configured:
        settings.configure(SECRET_KEY="x", LOGGING_CONFIG=None)
        django.setup()
    urls: Any = types.ModuleType("webhook_urls")
    urls.urlpatterns = webhook_routes("webhooks", receiver)
    urls.middleware = middleware
    sys.modules["webhook_urls"] = urls
    names = ["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"]
    with override_settings(
        ROOT_URLCONF="webhook_urls", ALLOWED_HOSTS=["127.0.0.1"], MIDDLEWARE=[*names, "webhook_urls.middleware"]
    ):
        yield
    del sys.modules["webhook_urls"]


@contextmanager
def serve_django_with_wsgi(receiver: Receiver) -> Iterator[int]:
    from django.core.handlers.wsgi import WSGIHandler

    with django_urls(receiver), wsgi_server(WSGIHandler()) as port:
        yield port


class WithoutLifespan:
    """Django's ASGI application knows no lifespan."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        await self.app(scope, receive, send)


@contextmanager
def serve_django_with_asgi(receiver: Receiver) -> Iterator[int]:
    from django.core.handlers.asgi import ASGIHandler

    with django_urls(receiver), asgi_server(WithoutLifespan(ASGIHandler())) as port:
        yield port


def serve_lambda(receiver: Receiver, shape: Shape) -> AbstractContextManager[int]:
    from commerce_event_sdk.aws_lambda import webhook_handler

    return lambda_gateway(webhook_handler(receiver), shape)


def serve_lambda_rest_api(receiver: Receiver) -> AbstractContextManager[int]:
    return serve_lambda(receiver, rest_api)


def serve_lambda_binary_rest_api(receiver: Receiver) -> AbstractContextManager[int]:
    return serve_lambda(receiver, binary_rest_api)


def serve_lambda_http_api(receiver: Receiver) -> AbstractContextManager[int]:
    return serve_lambda(receiver, http_api)


def serve_lambda_function_url(receiver: Receiver) -> AbstractContextManager[int]:
    return serve_lambda(receiver, function_url)


def serve_azure_functions(receiver: Receiver) -> AbstractContextManager[int]:
    import azure.functions as func

    from commerce_event_sdk.azure_functions import webhook_routes

    app = func.FunctionApp()
    app.register_functions(webhook_routes("webhooks", receiver))
    return azure_host(app)


ALL: list[Serve] = [
    serve_asgi,
    serve_asgi_with_h11,
    serve_wsgi,
    serve_wsgi_with_werkzeug,
    serve_starlette,
    serve_fastapi,
    serve_litestar,
    serve_flask,
    serve_django_with_wsgi,
    serve_django_with_asgi,
    serve_lambda_rest_api,
    serve_lambda_binary_rest_api,
    serve_lambda_http_api,
    serve_lambda_function_url,
    serve_azure_functions,
]
NO_CHUNKS: list[Serve] = [serve_wsgi, serve_django_with_wsgi]  # wsgiref cannot read them


def name_of(serve: Any) -> str:
    name: str = serve.__name__
    return name.removeprefix("serve_")


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
