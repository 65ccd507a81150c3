"""The requests that a check makes."""

import json
import os

import pytest

from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core.signatures import InvalidSignatureError, new_secret, verify
from commerce_event.receiver_check.model import Limits
from commerce_event.receiver_check.requests import RequestMaker, encode, encode_oddly, known_types
from commerce_event.simulate.sample_event import SampleEvents

NOW_MS = 1_800_000_000_000


def maker_of(secret: str | None, **headers: str) -> RequestMaker:
    return RequestMaker(
        secret=secret,
        headers=headers,
        types=known_types([]),
        sample=SampleEvents(1).next,
        random_bytes=os.urandom,
        now_ms=lambda: NOW_MS,
        limits=Limits(),
    )


def test_request_is_signed_and_has_the_headers_of_a_delivery() -> None:
    secret = new_secret("hmac")
    maker = maker_of(secret, Authorization="Basic x")
    message = maker.message()

    request = maker.request(message, attempt=2)
    headers = dict(request.headers)

    verify([secret], headers, request.body, NOW_MS / 1000)
    assert headers["webhook-id"] == message.webhook_id
    assert headers["commerce-event-type"] == "OrderConfirmedEvent"
    assert headers["commerce-event-attempt"] == "2"
    assert headers["content-type"] == "application/json"
    assert headers["Authorization"] == "Basic x"


@pytest.mark.parametrize("signing", ["hmac", "ed25519"])
def test_request_that_is_signed_by_another_secret_does_not_match(signing: str) -> None:
    secret = new_secret("ed25519" if signing == "ed25519" else "hmac")
    maker = maker_of(secret)
    other = maker.other_secret()
    wrong = maker.request(maker.message(), secrets=[other])
    right = maker.request(maker.message(), secrets=[other, secret])

    with pytest.raises(InvalidSignatureError):
        verify([secret], dict(wrong.headers), wrong.body, NOW_MS / 1000)
    verify([secret], dict(right.headers), right.body, NOW_MS / 1000)


def test_request_of_a_sender_without_secret_has_no_signature() -> None:
    maker = maker_of(None)

    assert "webhook-signature" not in dict(maker.request(maker.message()).headers)
    assert not maker.is_signed


def test_messages_have_ids_of_their_own() -> None:
    maker = maker_of(None)

    assert len({maker.message().webhook_id for _ in range(1_000)}) == 1_000


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_odd_body_means_the_same_and_differs_from_what_serialisers_write(name: str) -> None:
    event = SampleEvents(1).next(EVENT_TYPES[name])
    body = encode_oddly(event)

    assert json.loads(body) == event
    again = json.loads(body)
    assert body not in {
        encode(again), json.dumps(again).encode(), json.dumps(again, indent=2).encode(), json.dumps(event).encode(),
    }  # fmt: skip
