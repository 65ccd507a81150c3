"""The address of the reference page: made once, then handed out."""

import hashlib
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from commerce_event.api.openapi import document
from commerce_event.reference.chapters import chapters
from commerce_event.reference.samples import SAMPLES
from commerce_event.web.pages import HEADERS, Pages

_ARRIVING: Final = """POST /webhooks HTTP/1.1
host: erp.example.com
content-type: application/json
user-agent: commerce-event/1
webhook-id: evt_0c1m5k8s40000
webhook-timestamp: 1769860800
webhook-signature: v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=
commerce-event-type: OrderConfirmedEvent
commerce-event-attempt: 1
commerce-event-sequence: 4711
traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01

{"ClientId": 1, "OrderNo": "SO-10023", …}"""


def routes(pages: Pages) -> list[BaseRoute]:
    """Return the routes; the page is rendered when it is first asked for."""
    made: list[tuple[bytes, str]] = []

    async def reference(request: Request) -> Response:
        if not made:
            context = {"it": chapters(document()), "samples": SAMPLES, "arriving": _ARRIVING}
            text = pages.text("reference/page.html", context).encode()
            made.append((text, f'"{hashlib.sha256(text).hexdigest()[:16]}"'))
        text, tag = made[0]
        headers = {**HEADERS, "Cache-Control": "no-cache", "ETag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(text, headers=headers, media_type="text/html; charset=utf-8")

    return [Route("/reference", reference, methods=["GET"])]
