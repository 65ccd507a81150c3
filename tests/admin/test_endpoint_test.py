"""The result of a test travels in a cookie: whole when it fits, shortened when it does not."""

import random

from commerce_event.admin.screens.endpoint_test import packed, unpacked
from commerce_event.api import endpoint_health
from commerce_event.api.response_models import AttemptView

COOKIE_MAX = 4_096
SEALED_SHARE = 4 / 3  # base64 of what is sealed


def result(
    body: str, headers: list[tuple[str, str]], url: str = "https://a.example/"
) -> endpoint_health.EndpointTestResult:
    attempt = AttemptView(
        number=1, started_at="2026-01-31T00:00:00.000Z", duration_ms=3.5, status=404, error="http_404",
        response_headers=headers, response_body=body,
    )  # fmt: skip
    return endpoint_health.EndpointTestResult(
        delivered=False, url=url, request_headers=[("webhook-id", "evt_1")], request_body="{}", attempt=attempt
    )


def noise(length: int) -> str:
    return "".join(random.Random(7).choices("abcdefghijklmnopqrstuvwxyz0123456789é", k=length))


def test_result_that_fits_arrives_whole() -> None:
    given = result("no such path" * 20, [("content-type", "text/plain")])

    assert unpacked(packed(given)) == given


def test_long_answer_is_shortened_until_it_fits() -> None:
    given = result(noise(1_024), [("x-long", noise(1_400))])
    text = packed(given)
    found = unpacked(text)

    assert len(text) * SEALED_SHARE < COOKIE_MAX - 200
    assert found is not None
    assert given.attempt.response_body.startswith(found.attempt.response_body)
    assert found.attempt.response_headers == given.attempt.response_headers


def test_what_cannot_fit_is_left_out() -> None:
    bare = unpacked(packed(result("x", [("x-long", noise(9_000))])))
    assert bare is not None
    assert (bare.attempt.status, bare.attempt.response_headers) == (404, [])
    assert packed(result("x", [], url=f"https://a.example/{noise(9_000)}")) == ""
    assert unpacked("") is None
