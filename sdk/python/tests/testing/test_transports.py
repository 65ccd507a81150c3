"""The receiver client with applications of real frameworks, and with a URL."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import ModuleType
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from flask import Flask, redirect, request

from commerce_event_sdk import JobCompletedEvent, Receiver
from commerce_event_sdk.testing import RETRY_DELAYS_S, SECRET, ReceiverClient, Shop

pytestmark = pytest.mark.integration
SHOP = Shop()
Seen = list[Any]
MOVED = {"/hook/moved": "/hook?a=b", "/hook/away": "http://example.com/hook"}


def receiver(seen: Seen) -> Receiver:
    made = Receiver(secret=SECRET)

    @made.on(JobCompletedEvent)
    async def completed(event: JobCompletedEvent) -> None:
        await asyncio.sleep(0)
        seen.append(event.JobId)

    return made


def fastapi(seen: Seen) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        seen.append("up")
        yield {"receiver": receiver(seen)}
        seen.append("down")

    app = FastAPI(lifespan=lifespan)

    @app.post("/hook/")
    async def hook(request: Request) -> Response:
        answer = await request.state.receiver.handle_async(request.headers, await request.body())
        return Response(answer.body, answer.status, dict(answer.headers))

    return app


def flask(seen: Seen) -> Flask:
    app, made = Flask("app"), receiver(seen)

    @app.post("/hook/")
    def hook() -> Any:
        answer = made.handle(list(request.headers.items()), request.get_data())
        return answer.body, answer.status, dict(answer.headers)

    @app.post("/old")
    def old() -> Any:
        return redirect("/hook/", 308)

    return app


@pytest.mark.parametrize("app", [fastapi, flask])
def test_application_of_a_framework_takes_events(app: Callable[[Seen], Any]) -> None:
    seen: Seen = []
    client = ReceiverClient(app(seen), path="/hook/")
    event = SHOP.job_completed()
    client.assert_delivered(client.send(event))
    client.assert_refuses_wrong_signature(event, seen)
    client.close()
    assert [each for each in seen if each not in ("up", "down")] == [event.JobId] * 2
    if app is fastapi:
        assert (seen[0], seen[-1]) == ("up", "down")


@pytest.fixture
def django_urls() -> Iterator[ModuleType]:
    django = pytest.importorskip("django")
    from django.conf import settings
    from django.test import override_settings

    if not settings.configured:
        settings.configure(SECRET_KEY="x", LOGGING_CONFIG=None)
        django.setup()
    urls = ModuleType("urls_of_the_test")
    sys.modules[urls.__name__] = urls
    with override_settings(ROOT_URLCONF=urls.__name__, ALLOWED_HOSTS=["testserver"], MIDDLEWARE=[]):
        yield urls
    del sys.modules[urls.__name__]


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_django_application_takes_events(django_urls: Any, kind: str) -> None:
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler

    from commerce_event_sdk.django import webhook_routes

    seen: Seen = []
    django_urls.urlpatterns = webhook_routes("webhooks", receiver(seen))
    client = ReceiverClient(ASGIHandler() if kind == "asgi" else WSGIHandler(), path="/webhooks")
    event = SHOP.job_completed()
    client.assert_refuses_wrong_signature(event, seen)
    client.close()
    assert seen == [event.JobId]


def test_litestar_application_takes_events() -> None:
    from litestar import Litestar

    from commerce_event_sdk.litestar import webhook_routes

    seen: Seen = []
    client = ReceiverClient(Litestar([*webhook_routes("/webhooks", receiver(seen))]), path="/webhooks")
    event = SHOP.job_completed()
    client.assert_refuses_wrong_signature(event, seen)
    client.close()
    assert seen == [event.JobId]


@pytest.mark.parametrize(("app", "path"), [(fastapi, "/hook"), (flask, "/old")])
def test_redirect_within_the_application_is_followed_as_a_post(app: Callable[[Seen], Any], path: str) -> None:
    seen: Seen = []
    client = ReceiverClient(app(seen), path=path)
    assert len(client.send(SHOP.job_completed()).attempts) == 1
    assert client.attempts[-1].is_success
    client.close()


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_application_of_the_sdk_takes_events(kind: str) -> None:
    seen: Seen = []
    client = ReceiverClient(getattr(receiver(seen), kind)())
    client.assert_survives_repeats(SHOP.job_completed(), lambda: min(len(seen), 1))
    client.close()


def test_asgi_application_with_a_wrong_path_is_advised() -> None:
    client = ReceiverClient(fastapi([]), path="/elsewhere")
    with pytest.raises(AssertionError, match=r"404.*\n(.*\n)*Pass path="):
        client.assert_delivered(client.send(SHOP.job_completed()))
    client.close()


def test_asgi_application_that_does_not_start_raises() -> None:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if app.title:
            raise RuntimeError("no database")
        yield

    with pytest.raises(RuntimeError, match=r"did not start[\s\S]*no database"):
        ReceiverClient(FastAPI(lifespan=lifespan))


def test_asgi_application_that_raises_counts_as_a_failed_attempt() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError("no table")

    client = ReceiverClient(app)
    sent = client.send(SHOP.job_completed(), attempts_max=2)
    assert (sent.status, len(sent.attempts)) == (None, 2)
    assert "no table" in str(sent)
    client.close()


async def test_receiver_with_async_handlers_works_inside_an_async_test() -> None:
    seen: Seen = []
    assert ReceiverClient(receiver(seen)).send(SHOP.job_completed()).is_delivered
    assert len(seen) == 1


def test_url_takes_events_and_a_closed_port_counts_as_failed_attempts() -> None:
    seen: Seen = []
    paths: list[str] = []
    made = receiver(seen)

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            answer = made.handle(list(self.headers.items()), body)
            moved_to = MOVED.get(self.path)
            self.send_response(answer.status if moved_to is None else 307)
            self.send_header("location", moved_to or "")
            self.end_headers()
            paths.append(self.path)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Print nothing."""

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/hook"
    client = ReceiverClient(url)
    event = SHOP.job_completed()
    client.assert_delivered(client.send(event))
    client.assert_refuses_wrong_signature(event, seen)
    assert ReceiverClient(f"{url}s/?token=x", path="/{event_type}").send(event).is_delivered
    assert ReceiverClient(f"{url}/moved").send(event, attempts_max=1).status == 204
    assert ReceiverClient(f"{url}/away").send(event, attempts_max=1).status == 307
    server.shutdown()
    server.server_close()
    thread.join()
    assert paths[-4:] == ["/hooks/JobCompletedEvent?token=x", "/hook/moved", "/hook?a=b", "/hook/away"]

    failed = client.send(event)
    assert (failed.status, len(failed.attempts)) == (None, len(RETRY_DELAYS_S) + 1)
    assert "refused" in str(failed)


def test_url_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="'localhost:3000' is no http or https URL"):
        ReceiverClient("localhost:3000")
