"""The result of a test is packed into a cookie: whole when it fits, else shortened."""

import random

from commerce_event.admin.screens.endpoint_test import pack_result, unpack_result
from commerce_event.api import endpoint_test
from commerce_event.api.response_models import AttemptView

COOKIE_MAX = 4_096
SEALED_SHARE = 4 / 3  # base64 of the encrypted text


def result(
    body: str, headers: list[tuple[str, str]], url: str = "https://a.example/"
) -> endpoint_test.EndpointTestResult:
    attempt = AttemptView(
        number=1, started_at="2026-01-31T00:00:00.000Z", duration_ms=3.5, status=404, error="http_404",
        cause="nothing is at this path: check the URL", phase=None, address=None, redirects=(), certificate=None,
        response_headers=headers, response_body=body,
    )  # fmt: skip
    return endpoint_test.EndpointTestResult(
        delivered=False, url=url, request_headers=[("webhook-id", "evt_1")], request_body="{}", attempt=attempt
    )


def noise(length: int) -> str:
    return "".join(random.Random(7).choices("abcdefghijklmnopqrstuvwxyz0123456789é", k=length))


def test_pack_result_that_fits_is_whole() -> None:
    given = result("no such path" * 20, [("content-type", "text/plain")])

    assert unpack_result(pack_result(given)) == given


def test_pack_result_long_answer_is_shortened() -> None:
    given = result(noise(1_024), [("x-long", noise(1_400))])
    text = pack_result(given)
    found = unpack_result(text)

    assert len(text) * SEALED_SHARE < COOKIE_MAX - 200
    assert found is not None
    assert given.attempt.response_body.startswith(found.attempt.response_body)
    assert found.attempt.response_headers == given.attempt.response_headers


def test_pack_result_too_large_leaves_out_headers_or_everything() -> None:
    bare = unpack_result(pack_result(result("x", [("x-long", noise(9_000))])))
    assert bare is not None
    assert (bare.attempt.status, bare.attempt.response_headers) == (404, [])
    assert pack_result(result("x", [], url=f"https://a.example/{noise(9_000)}")) == ""
    assert unpack_result("") is None
