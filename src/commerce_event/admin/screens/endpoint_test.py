"""Send an example event to an endpoint, and show request and answer.

A test is not stored: its result is carried past the redirect in a cookie, so that a reload sends nothing.
"""

import base64
import zlib
from typing import Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from commerce_event.admin.diagnosis import diagnosis
from commerce_event.admin.screen_context import ROOT, ScreenContext
from commerce_event.admin.screens.endpoint import type_names
from commerce_event.admin.screens.endpoint_path import STEPS, offer_to
from commerce_event.admin.timeline import answer_text
from commerce_event.api.endpoint_test import EndpointTestResult
from commerce_event.api.response_models import display_name
from commerce_event.web.highlight import json_text

_COOKIE_TEXT_MAX: Final = 2_800  # what fits into a cookie once it is encrypted
_BODY_LENGTHS: Final = (1_024, 512, 256, 0)  # of the answer, tried in turn


async def send_test(context: ScreenContext) -> Response:
    chosen = context.field("type")
    body = {name: value for name in ("type", "signature") if (value := context.field(name))}
    result = await context.call("testEndpoint", path={"id": context.path_id}, body=body)
    packed = pack_result(result)
    outcome = "accepted" if result.delivered else "did not accept"
    flash = "" if packed else f"The receiver {outcome} the test. Request and answer are too long to be shown."
    query = {"type": chosen, "path": context.field("path")}
    address = f"{ROOT}/endpoints/{context.path_id}/test?{urlencode({n: v for n, v in query.items() if v})}"
    return context.redirect(address, flash=flash, one_time=packed)


async def show_test(context: ScreenContext) -> Response:
    endpoint = await context.call("getEndpoint", path={"id": context.path_id})
    result = unpack_result(context.one_time_secret.take(context.request))
    attempt = None if result is None else result.attempt
    return context.render(
        "endpoint_test.html",
        endpoint=endpoint,
        name=display_name(endpoint),
        type_names=type_names(context.catalogue, endpoint),
        chosen=context.query["type"],
        steps=STEPS if context.query["path"] else (),
        endpoint_url=offer_to(endpoint) if context.query["path"] == "new" else f"{ROOT}/endpoints/{endpoint.id}",
        test=result,
        test_body="" if result is None else json_text(result.request_body.encode()),
        message="" if attempt is None else attempt.cause or "",
        found=None if result is None else diagnosis(result.attempt, result.url),
        answer=None
        if attempt is None
        else answer_text(attempt.status, attempt.response_headers, attempt.response_body),
    )


def pack_result(result: EndpointTestResult) -> str:
    """Return a result as a text that fits into a cookie: a long answer is shortened; empty when nothing fits."""
    for length in _BODY_LENGTHS:
        shorter = msgspec.structs.replace(result.attempt, response_body=result.attempt.response_body[:length])
        text = _compress(msgspec.structs.replace(result, attempt=shorter))
        if len(text) <= _COOKIE_TEXT_MAX:
            return text
    bare = msgspec.structs.replace(
        result.attempt, response_body="", response_headers=[], redirects=result.attempt.redirects[-1:], certificate=None
    )
    text = _compress(msgspec.structs.replace(result, attempt=bare, request_headers=[]))
    return text if len(text) <= _COOKIE_TEXT_MAX else ""


def unpack_result(text: str) -> EndpointTestResult | None:
    """Return a packed result; None for an empty text."""
    if not text:
        return None
    return msgspec.msgpack.decode(zlib.decompress(base64.b85decode(text)), type=EndpointTestResult)


def _compress(result: EndpointTestResult) -> str:
    return base64.b85encode(zlib.compress(msgspec.msgpack.encode(result), 9)).decode()
