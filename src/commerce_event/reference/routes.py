"""The address of the reference page: made once, then handed out."""

import gzip
import hashlib
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from commerce_event.api.openapi import OPERATIONS, document
from commerce_event.reference import receiving
from commerce_event.reference.chapters import chapters
from commerce_event.reference.markup import code, prose
from commerce_event.reference.samples import HANDLERS, PUBLISH
from commerce_event.web.highlight import highlighted
from commerce_event.web.pages import HEADERS, Pages

_ROLES: Final = {"publishEvent": "publish", "publishEvents": "publish"} | {each.name: each.needs for each in OPERATIONS}

_SHELL: Final = """\
# the curl lines on this page use these two
export COMMERCE_EVENT_URL=http://127.0.0.1:8080
export COMMERCE_EVENT_KEY=key_…"""


class _Made(msgspec.Struct, frozen=True):
    """The page as it is sent."""

    content: bytes
    packed: bytes
    tag: str


def routes(pages: Pages) -> list[BaseRoute]:
    """Return the routes; the page is rendered when it is first asked for."""
    made: list[_Made] = []

    async def reference(request: Request) -> Response:
        if not made:
            made.append(_make(pages))
        page = made[0]
        headers = {**HEADERS, "Cache-Control": "no-cache", "ETag": page.tag, "Vary": "Accept-Encoding"}
        if page.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(page.packed, headers=headers, media_type="text/html")
        return Response(page.content, headers=headers, media_type="text/html")

    return [Route("/reference", reference, methods=["GET"])]


def _make(pages: Pages) -> _Made:
    context = {
        "it": chapters(document(), _ROLES),
        "handlers": HANDLERS,
        "publish": PUBLISH,
        "arriving": receiving.arriving(),
        "secret": receiving.SECRET,
        "shell": _SHELL,
        "delays": receiving.delays(),
        "hours": receiving.hours_of_retries(),
        "json": highlighted,
        "code": code,
        "prose": prose,
    }
    content = pages.text("reference/page.html", context).encode()
    tag = f'W/"{hashlib.sha256(content).hexdigest()[:16]}"'  # weak: the same page, packed or not
    return _Made(content, gzip.compress(content, mtime=0), tag)
