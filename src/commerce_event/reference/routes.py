"""The route of the reference page, which is rendered once for each catalogue of event types."""

import asyncio
import gzip
import hashlib
from collections.abc import Callable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from commerce_event.api.openapi import OPERATIONS, document
from commerce_event.api.problem_types import problem_types
from commerce_event.contract.catalogue import CONTRACT, Catalogue
from commerce_event.daemon_threads import DaemonThreads
from commerce_event.reference.example_request import SECRET, example_request
from commerce_event.reference.from_openapi import reference_page
from commerce_event.reference.prose import prose
from commerce_event.reference.samples import PUBLISH, SIGNED, handlers
from commerce_event.reference.server_settings import server_settings
from commerce_event.settings import Settings
from commerce_event.web.highlight import highlight_code, highlight_json
from commerce_event.web.pages import HEADERS, Pages

_PUBLISHING: Final = ("publishEvent", "publishEvents", "sendChanges", "sendDebeziumEvents")
_ROLES: Final = dict.fromkeys(_PUBLISHING, "publish") | {each.name: each.needs for each in OPERATIONS}

_THREAD: Final = DaemonThreads(1, name="reference")  # one page at a time: it may take seconds

_SHELL: Final = """\
# used by the curl commands on this page
export COMMERCE_EVENT_URL=http://127.0.0.1:8080
export COMMERCE_EVENT_KEY=key_…"""


class _RenderedPage(msgspec.Struct, frozen=True):
    """The page as it is sent."""

    content: bytes
    gzipped: bytes
    etag: str


def routes(pages: Pages, settings: Settings, catalogue: Callable[[], Catalogue] = lambda: CONTRACT) -> list[BaseRoute]:
    """Return the routes. The page is rendered at the first request after the event types have changed.

    ``settings`` are those in force; ``catalogue`` returns the event types that there are now.
    """
    rendered: dict[Catalogue, _RenderedPage] = {}

    def render(now: Catalogue) -> _RenderedPage:
        page = rendered.get(now)
        if page is None:  # not rendered while this call waited for the thread
            page = _render(pages, settings, now)
            rendered.clear()
            rendered[now] = page
        return page

    async def reference(request: Request) -> Response:
        now = catalogue()
        page = rendered.get(now)
        if page is None:
            page = await asyncio.get_running_loop().run_in_executor(_THREAD, render, now)
        headers = {**HEADERS, "Cache-Control": "no-cache", "ETag": page.etag, "Vary": "Accept-Encoding"}
        if page.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(page.gzipped, headers=headers, media_type="text/html")
        return Response(page.content, headers=headers, media_type="text/html")

    return [Route("/reference", reference, methods=["GET"])]


def _render(pages: Pages, settings: Settings, catalogue: Catalogue) -> _RenderedPage:
    context = {
        "content": reference_page(document(catalogue), _ROLES, catalogue),
        "handlers": (*handlers([*catalogue.types.values()]), SIGNED),
        "has_own_types": bool(catalogue.own),
        "publish": PUBLISH,
        "example_request": example_request(),
        "secret": SECRET,
        "shell": _SHELL,
        "server": server_settings(settings),
        "problems": sorted(problem_types().values(), key=lambda each: (each.status, each.type)),
        "webhook_names": catalogue.types.keys(),
        "highlight_json": highlight_json,
        "highlight_code": highlight_code,
        "prose": prose,
    }
    content = pages.text("reference/page.html", context).encode()
    etag = f'W/"{hashlib.sha256(content).hexdigest()[:16]}"'  # weak: the same page, gzipped or not
    return _RenderedPage(content, gzip.compress(content, mtime=0), etag)
