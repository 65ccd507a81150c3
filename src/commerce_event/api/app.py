"""The ASGI application: publishing first, everything else by route."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from commerce_event.accept.publish import PREFIX, Publisher
from commerce_event.api.openapi import OPERATIONS, document_json, document_yaml
from commerce_event.api.operations import Reply, endpoint_of, json_response
from commerce_event.api.problem_types import problem_type
from commerce_event.api.read_limits import SharedResponse, problem_response
from commerce_event.api.readiness import Readiness
from commerce_event.api.services import Services
from commerce_event.changes.receiver import DEBEZIUM_PATH, ChangeReceiver
from commerce_event.changes.receiver import PATH as CHANGES_PATH
from commerce_event.core.problems import Problem, unavailable
from commerce_event.daemon_threads import DaemonThreads
from commerce_event.http.asgi import HEADERS, Receive, Scope, Send
from commerce_event.http.problems import problem_of
from commerce_event.web.problem_pages import ProblemPages, wants_page

Handler = Callable[[Request], Awaitable[Response]]
# One at a time: with many event types it takes seconds, and the others then get what it has made.
_YAML_THREAD: Final = DaemonThreads(1, name="openapi-yaml")
# Methods that the publisher answers before the routes; Allow names them too.
_PUBLISH_METHODS: Final = {PREFIX[:-1]: ("POST",), f"{PREFIX}{{id}}": ("POST",), CHANGES_PATH: ("POST",)}


class App:
    """Passes events to the publisher, changes to their receiver, and everything else to the routes."""

    def __init__(
        self,
        services: Services,
        publisher: Publisher,
        changes: ChangeReceiver,
        pages: Sequence[BaseRoute],
        problem_pages: ProblemPages,
    ) -> None:
        self.publisher = publisher  # also called by the HTTP server, with whole requests
        self._changes = {CHANGES_PATH: changes.receive_changes, DEBEZIUM_PATH: changes.receive_debezium}
        self._metrics = services.metrics
        self._routes = _routes(services, pages, problem_pages)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            path: str = scope["path"]
            if path.startswith(PREFIX) and "/" not in path[len(PREFIX) :]:
                await self.publisher.publish_one(scope, receive, send)
                return
            if path == PREFIX[:-1]:
                await self.publisher.publish_many(scope, receive, send)
                return
            if path in self._changes:
                await self._changes[path](scope, receive, send)
                return
        await self._routes(scope, receive, send)

    def count_unreadable(self) -> None:
        """Count a request that the HTTP server refused before the application saw it."""
        self._metrics.unreadable.inc()


def create_app(
    services: Services,
    publisher: Publisher,
    changes: ChangeReceiver,
    pages: Sequence[BaseRoute],
    problem_pages: ProblemPages,
) -> App:
    """Return the application. ``pages`` are the routes of screens; browsers get problems as ``problem_pages``."""
    return App(services, publisher, changes, pages, problem_pages)


def _routes(services: Services, pages: Sequence[BaseRoute], problem_pages: ProblemPages) -> Starlette:
    readiness = Readiness(services.store)
    shared = partial(SharedResponse, bodies=services.bodies, owner="anybody")

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "alive"}, headers=HEADERS)

    async def readyz(_request: Request) -> Response:
        fault = await readiness.fault()
        if fault is not None:
            return problem_response(unavailable(fault))
        if not services.dispatcher.running and not services.settings.hold_deliveries:
            return problem_response(unavailable("deliveries have stopped; see the log"))
        return JSONResponse({"status": "ready"}, headers=HEADERS)

    async def metrics(request: Request) -> Response:
        text, media_type = services.metrics.text(",".join(request.headers.getlist("accept")))
        return Response(text, headers=HEADERS | {"Vary": "Accept", "Content-Type": media_type})

    async def openapi_json(_request: Request) -> Response:
        return shared(
            Response(document_json(services.registry.catalogue), headers=HEADERS, media_type="application/json")
        )

    async def openapi_yaml(_request: Request) -> Response:
        loop = asyncio.get_running_loop()
        text = await loop.run_in_executor(_YAML_THREAD, document_yaml, services.registry.catalogue)
        return shared(Response(text, headers=HEADERS, media_type="application/yaml"))

    plain: dict[str, Handler] = {
        "/healthz": healthz,
        "/readyz": readyz,
        "/metrics": metrics,
        "/openapi.json": openapi_json,
        "/openapi.yaml": openapi_yaml,
        "/problems/{name}": partial(_explain_problem, problem_pages),
    }
    routes = Starlette(
        routes=[
            *_management(services),
            *(Route(path, handler, methods=["GET"]) for path, handler in plain.items()),
            *pages,
        ],
        exception_handlers={HTTPException: partial(_http_problem, problem_pages), Exception: _internal_error},
    )
    routes.router.redirect_slashes = False  # it would redirect to any Host that the caller sends
    return routes


def _management(services: Services) -> list[Route]:
    """Return one route for each path, so that a wrong method gets all allowed methods in the answer.

    Paths without a parameter come first, so that none is taken for the id of another.
    """
    by_path: dict[str, dict[str, Handler]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, {})[operation.method] = endpoint_of(operation, services)
    return [
        Route(path, _by_method(handlers), methods=[*handlers, *_PUBLISH_METHODS.get(path, ())])
        for path, handlers in sorted(by_path.items(), key=lambda item: "{" in item[0])
    ]


def _by_method(handlers: dict[str, Handler]) -> Handler:
    async def handle(request: Request) -> Response:
        return await handlers["GET" if request.method == "HEAD" else request.method](request)

    return handle


async def _explain_problem(pages: ProblemPages, request: Request) -> Response:
    try:
        kind = problem_type(request.path_params["name"])
    except Problem as problem:
        return _no_page(pages, request) if wants_page(request) else problem_response(problem)
    if wants_page(request):
        meaning, remedy = (text.replace("`", "") for text in (kind.meaning, kind.remedy))
        return pages.page(request, kind.title, (meaning, remedy), 200)
    response = json_response(Reply(kind))
    response.headers["Vary"] = "Accept"
    return response


def _no_page(pages: ProblemPages, request: Request) -> Response:
    return pages.page(request, "Page not found", ("There is no page at this address. It may have been mistyped.",), 404)


async def _http_problem(pages: ProblemPages, request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return await _internal_error(request, error)
    if error.status_code == 404 and wants_page(request):
        return _no_page(pages, request)
    details = {
        404: "No call has this path; GET /openapi.json lists them.",
        405: f"{request.method} is not allowed here; the Allow header lists what is.",
    }
    headers = dict(error.headers or {})
    return problem_response(Problem(error.status_code, details.get(error.status_code, error.detail), headers=headers))


async def _internal_error(_request: Request, error: Exception) -> Response:
    return problem_response(problem_of(error))
