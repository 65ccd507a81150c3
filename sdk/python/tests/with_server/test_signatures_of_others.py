"""Signatures of the SDK against the official library and against the server."""

from __future__ import annotations

import time
from datetime import datetime, timezone

import pytest
from commerce_event.core.signatures import Signer, new_secret, public_key
from commerce_event.core.signatures import verify as verify_of_the_server
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from commerce_event_sdk import InvalidSignatureError, sign, verify
from signed_requests import OTHER_SECRET, SECRET, signed_headers

IDS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="."), min_size=1, max_size=64)
BODIES = st.binary(max_size=300)


@given(IDS, st.text(max_size=100))
def test_sign_returns_what_the_official_library_returns(webhook_id: str, body: str) -> None:
    now = datetime.now(tz=timezone.utc)
    expected = Webhook(SECRET).sign(webhook_id, now, body)
    assert sign(SECRET, webhook_id, int(now.timestamp()), body.encode()) == expected


@given(IDS, BODIES)
def test_sign_returns_what_the_server_signs(webhook_id: str, body: bytes) -> None:
    assert sign(SECRET, webhook_id, 1_700_000_000, body) == Signer([SECRET]).header(webhook_id, 1_700_000_000, body)


def test_official_library_takes_a_request_of_the_sdk() -> None:
    body = '{"OrderNo": "884211", "Name": "Åsa"}'
    assert Webhook(SECRET).verify(body, signed_headers(body.encode()))["Name"] == "Åsa"


@pytest.mark.parametrize("signing", ["hmac", "ed25519"])
def test_verify_takes_a_request_of_the_server_while_a_secret_is_replaced(signing: str) -> None:
    make = new_secret("hmac"), new_secret("hmac") if signing == "hmac" else new_secret("ed25519")
    now_s = int(time.time())
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(now_s),
        "webhook-signature": Signer(make).header("evt_1", now_s, b"{}"),
    }
    keys = [make[0], make[1] if signing == "hmac" else public_key(make[1])]
    for key in keys:
        verify(key, headers, b"{}")
        with pytest.raises(InvalidSignatureError, match="no signature matches"):
            verify(key, headers, b"{ }")
    verify([OTHER_SECRET, keys[1]], headers, b"{}")


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "webhook-id": st.sampled_from(["evt_1", "evt.1", "evt 1", ""]),
            "webhook-timestamp": st.sampled_from(["1700000000", "1699999700", "1699999699", "1700000301", "x", ""]),
            "webhook-signature": st.lists(
                st.sampled_from(
                    [
                        *(
                            sign(SECRET, "evt_1", at_s, b"{}")
                            for at_s in (1700000000, 1699999700, 1699999699, 1700000301)
                        ),
                        sign(OTHER_SECRET, "evt_1", 1700000000, b"{}"),
                        "v1,AAAA",
                        "v1a,AAAA",
                        "",
                    ]
                ),
                max_size=10,
            ).map(" ".join),
        },
    )
)
def test_verify_decides_as_the_server_does(headers: dict[str, str]) -> None:
    def outcome(check: object, *arguments: object) -> str | None:
        try:
            check(*arguments)  # type: ignore[operator]
        except Exception as error:
            return str(getattr(error, "reason", error))
        return None

    ours = outcome(lambda: verify(SECRET, headers, b"{}", now_s=1700000000))
    assert ours == outcome(lambda: verify_of_the_server([SECRET], headers, b"{}", 1700000000))
