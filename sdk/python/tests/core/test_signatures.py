"""Signatures, without any other implementation of them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_event_sdk import InvalidSecretError, InvalidSignatureError, sign, verify
from signed_requests import OTHER_SECRET, SECRET, signed_headers

BODY = b'{"OrderNo": "884211"}'
NOW_S = 1_700_000_000


def reason(headers: dict[str, str], body: bytes = BODY, secret: str | list[str] = SECRET) -> str | None:
    try:
        verify(secret, headers, body, now_s=NOW_S)
    except InvalidSignatureError as error:
        return error.reason
    return None


def headers_at(age_s: int = 0, secret: str = SECRET) -> dict[str, str]:
    return signed_headers(BODY, secret=secret, at_s=NOW_S - age_s)


def test_sign_returns_the_signature_of_the_specification() -> None:
    """The example of https://github.com/standard-webhooks/standard-webhooks, made with its Python library."""
    signature = sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("age_s", [-300, 0, 300])
def test_verify_within_the_tolerance_returns(age_s: int) -> None:
    assert reason(headers_at(age_s)) is None


@pytest.mark.parametrize(("age_s", "expected"), [(301, "too_old"), (-301, "too_new")])
def test_verify_outside_the_tolerance_raises(age_s: int, expected: str) -> None:
    assert reason(headers_at(age_s)) == expected


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_verify_without_a_header_raises(name: str) -> None:
    headers = headers_at()
    del headers[name]
    assert reason(headers) == "missing_header"
    assert reason(headers | {name: ""}) == "missing_header"


@pytest.mark.parametrize("text", ["-1", "1e9", " 1700000000", "١٧٠٠٠٠٠٠٠٠", "1" * 13, "nan"])
def test_verify_of_a_strange_timestamp_raises(text: str) -> None:
    assert reason(headers_at() | {"webhook-timestamp": text}) == "bad_timestamp"


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "evt_2"},
        {"webhook-id": "evt_1.1"},
        {"webhook-id": "evt 1"},
        {"webhook-timestamp": str(NOW_S + 1)},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v2," + sign(SECRET, "evt_1", NOW_S, BODY)[3:]},
        {"webhook-signature": sign(SECRET, "evt_1", NOW_S, BODY).rstrip("=")},
        {"webhook-signature": "v1,ö"},
        {"webhook-signature": "v1,AAAA " * 8 + sign(SECRET, "evt_1", NOW_S, BODY)},
        {"webhook-signature": sign(SECRET, "evt_1", NOW_S, BODY) + " " + "x" * 5_000},
    ],
)
def test_verify_of_a_changed_header_raises(change: dict[str, str]) -> None:
    assert reason(headers_at() | change) == "no_match"


def test_secret_in_another_form_of_base64_is_refused() -> None:
    canonical = "whsec_" + base64.b64encode(bytes(25)).decode()
    assert canonical.endswith("A==")
    assert reason(headers_at(secret=canonical), secret=canonical) is None
    with pytest.raises(InvalidSecretError):
        verify(canonical[:-3] + "B==", headers_at(secret=canonical), BODY, now_s=NOW_S)


def test_verify_of_a_changed_body_raises() -> None:
    assert reason(headers_at(), b'{"OrderNo":"884211"}') == "no_match"


def test_verify_cannot_split_the_signed_text_elsewhere() -> None:
    """What is signed is id.timestamp.body, so a dot in the id would move bytes of the body into it."""
    headers = signed_headers(b"1700000000.{}", webhook_id="a", at_s=NOW_S)
    moved = {**headers, "webhook-id": f"a.{NOW_S}", "webhook-timestamp": "1700000000"}
    assert reason(headers, b"1700000000.{}") is None
    assert reason(moved, b"{}") == "no_match"


def test_verify_during_a_rotation_takes_old_and_new() -> None:
    old, new = headers_at(), headers_at(secret=OTHER_SECRET)
    both = old | {"webhook-signature": f"{new['webhook-signature']} {old['webhook-signature']}"}
    assert [reason(each, secret=[SECRET, OTHER_SECRET]) for each in (old, new, both)] == [None] * 3
    assert reason(both, secret=OTHER_SECRET) is None
    assert reason(new, secret=SECRET) == "no_match"


def test_verify_without_secrets_raises() -> None:
    assert reason(headers_at(), secret=[]) == "no_match"


def test_verify_takes_names_of_headers_in_any_case() -> None:
    assert reason({name.title(): value for name, value in headers_at().items()}) is None


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_QUJD", SECRET[6:], SECRET + "\n", "whsk_" + SECRET[6:], "whpk_QUJD"]
)
def test_secret_that_is_unusable_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(InvalidSecretError) as raised:
        verify(secret, headers_at(), BODY)
    assert SECRET[6:] not in str(raised.value)
    assert "QUJD" not in str(raised.value)


@given(
    st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text()), st.binary()
)
def test_verify_of_arbitrary_headers_raises_invalid_signature(headers: dict[str, str], body: bytes) -> None:
    assert reason(headers, body) is not None
