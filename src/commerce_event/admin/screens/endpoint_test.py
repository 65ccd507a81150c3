"""A test of an endpoint: an example is sent, and a page of its own shows both sides of it.

Nothing of a test is stored: its result travels past the redirect in the browser, so that a reload sends nothing.
"""

import base64
import zlib
from typing import Final
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from commerce_event.admin.error_messages import in_words
from commerce_event.admin.page import ROOT, Page
from commerce_event.admin.screens.one_endpoint import kinds_of, name_of
from commerce_event.admin.timeline import answer_of
from commerce_event.api.endpoint_health import EndpointTestResult
from commerce_event.web.highlight import json_text

_TEXT_MAX: Final = 2_800  # what a cookie holds, sealed
_LENGTHS: Final = (1_024, 512, 256, 0)  # of the answer's body that are tried in turn


async def send_test(page: Page) -> Response:
    chosen = page.text("type")
    result = await page.call("testEndpoint", path={"id": page.id()}, body={"type": chosen} if chosen else {})
    shown = packed(result)
    fate = "took it" if result.delivered else "did not take it"
    said = "" if shown else f"The receiver {fate}; what was said is too long to be shown."
    return page.redirect(f"{ROOT}/endpoints/{page.id()}/test?type={quote(chosen)}", said=said, reveal=shown)


async def show_test(page: Page) -> Response:
    endpoint = await page.call("getEndpoint", path={"id": page.id()})
    result = unpacked(page.reveal.take(page.request))
    attempt = None if result is None else result.attempt
    return page.show(
        "endpoint_test.html",
        endpoint=endpoint,
        name=name_of(endpoint),
        kinds=kinds_of(endpoint),
        chosen=page.query["type"],
        test=result,
        test_body="" if result is None else json_text(result.request_body.encode()),
        words="" if attempt is None else in_words(attempt.status, attempt.error),
        answer=None if attempt is None else answer_of(attempt.status, attempt.response_headers, attempt.response_body),
    )


def packed(result: EndpointTestResult) -> str:
    """Return a result as a text that fits into a cookie; of a long answer the beginning, at worst nothing."""
    for length in _LENGTHS:
        shorter = msgspec.structs.replace(result.attempt, response_body=result.attempt.response_body[:length])
        text = _packed(msgspec.structs.replace(result, attempt=shorter))
        if len(text) <= _TEXT_MAX:
            return text
    bare = msgspec.structs.replace(result.attempt, response_body="", response_headers=[])
    text = _packed(msgspec.structs.replace(result, attempt=bare, request_headers=[]))
    return text if len(text) <= _TEXT_MAX else ""


def unpacked(text: str) -> EndpointTestResult | None:
    """Return what was packed, None for nothing."""
    if not text:
        return None
    return msgspec.msgpack.decode(zlib.decompress(base64.b85decode(text)), type=EndpointTestResult)


def _packed(result: EndpointTestResult) -> str:
    return base64.b85encode(zlib.compress(msgspec.msgpack.encode(result), 9)).decode()
