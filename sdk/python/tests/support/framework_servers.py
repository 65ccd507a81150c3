"""Receivers in every framework, served by real servers."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from commerce_event_sdk import Receiver
from function_hosts import Shape, azure_host, binary_rest_api, function_url, http_api, lambda_gateway, rest_api
from sockets import asgi_server, werkzeug_server, wsgi_server

if TYPE_CHECKING:
    from flask import Flask

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
