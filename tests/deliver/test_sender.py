"""The sender: the signed request, redirects, and the kept part of the response."""

import asyncio
import base64
import dataclasses
import itertools
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest
import trustme
from hostile_receiver import Received
from hypothesis import given, settings
from hypothesis import strategies as st
from local_receiver import LOCAL, NO_TRUST, PATIENCE_S, Receiver, named, until
from standardwebhooks import Webhook

from commerce_event import __version__
from commerce_event.core import ids
from commerce_event.core.addresses import AddressPolicy
from commerce_event.core.clock import SystemClock
from commerce_event.core.delivery import POISON
from commerce_event.core.model import Endpoint, Secret
from commerce_event.core.signatures import new_secret, public_key, verify
from commerce_event.deliver import sender as sender_module
from commerce_event.deliver.connection import BODY_KEPT
from commerce_event.deliver.redaction import Redactor
from commerce_event.deliver.resolver import Resolver
from commerce_event.deliver.sender import Sender
from commerce_event.store.model import Claimed

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = '{"ClientId":1,"OrderNo":"SO-1","Note":"åäö"}'.encode()
REVISIONS = itertools.count(1)  # a sender remembers what it prepared for a revision

TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
ORIGIN = "8c1f0a6d3b5e2947"
API_KEY = "key-4711-abcdefgh"
TOKEN = "Bearer tok-9f8e7d6c5b4a"
BASIC = base64.b64encode(b"shop:open-sesame-1").decode()


@dataclasses.dataclass
class MovableClock:
    """A clock that a test sets."""

    wall_ms: int

    def now_ms(self) -> int:
        return self.wall_ms

    def monotonic(self) -> float:
        return 0.0


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """Give this answer to every request, then close; yields the address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(BODY)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


def an_endpoint(url: str, **fields: Any) -> Endpoint:
    given: dict[str, Any] = {"id": 7, "client_id": 1, "event_types": ("*",), "secrets": (Secret(SECRET),), **fields}
    return Endpoint(url=url, revision=next(REVISIONS), **given)


def a_delivery(**fields: Any) -> Claimed:
    given: dict[str, Any] = {
        "delivery_id": 4_000_000_001,
        "endpoint_id": 7,
        "number": 1,
        "failure_count": 0,
        "run_id": 1,
        "lease_until_ms": 0,
        "replay_id": None,
        "event_id": 3_000_000_001,
        "client_id": 1,
        "sequence": 12,
        "type": "OrderConfirmedEvent",
        "traceparent": None,
        "body": BODY,
        **fields,
    }
    return Claimed(**given)


def a_sender(
    policy: AddressPolicy = LOCAL,
    *,
    own: Sequence[tuple[str, int]] = (),
    lookup: Callable[..., list[tuple[Any, ...]]] = socket.getaddrinfo,
    timeout_s: float = PATIENCE_S,
    **rest: Any,
) -> Sender:
    resolver = Resolver(policy, own, lookup=lookup)
    return Sender(
        resolver=resolver,
        timeout_s=timeout_s,
        installation_id=ORIGIN,
        **{"clock": SystemClock(), "tls": NO_TRUST, **rest},
    )


@pytest.fixture
async def server() -> AsyncIterator[Receiver]:
    async with Receiver() as running:
        yield running


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    made = a_sender()
    yield made
    await made.close()


def names_of(request: Received) -> list[str]:
    return list(request.headers)


# -- the request


async def test_sender_signature_verifies_with_official_library(server: Receiver, sender: Sender) -> None:
    outcome = await sender.send(an_endpoint(server.at("/ok")), a_delivery())
    assert outcome.delivered
    (request,) = server.received
    Webhook(SECRET).verify(request.body, request.headers)
    assert request.body == BODY
    assert request.headers.get("webhook-id") == ids.encode("evt", a_delivery().event_id)


async def test_sender_with_selection_signs_the_body_that_it_sends(server: Receiver, sender: Sender) -> None:
    endpoint = an_endpoint(server.at("/ok"), properties=("OrderNo",))
    outcome = await sender.send(endpoint, a_delivery())
    assert outcome.delivered
    (request,) = server.received
    assert request.body == b'{"ClientId":1,"OrderNo":"SO-1"}'
    assert request.headers["content-length"] == str(len(request.body))
    Webhook(SECRET).verify(request.body, request.headers)
    preview = dict(sender.request_preview(endpoint, a_delivery()))
    assert preview["content-length"] == str(len(request.body))
    assert sender.body_preview(endpoint, a_delivery()) == request.body


async def test_sender_that_cannot_make_the_body_sends_nothing(server: Receiver, sender: Sender) -> None:
    endpoint = an_endpoint(server.at("/ok"), properties=())
    outcome = await sender.send(endpoint, a_delivery(body=b"[1]"))
    assert (outcome.error, outcome.is_internal) == (POISON, True)
    assert not server.received


async def test_sender_during_rotation_signs_with_old_and_new_secret(server: Receiver, sender: Sender) -> None:
    now_ms = SystemClock().now_ms()
    new, old, gone = (new_secret("hmac") for _ in range(3))
    secrets = (Secret(new), Secret(old, expires_ms=now_ms + 60_000), Secret(gone, expires_ms=now_ms - 1))
    await sender.send(an_endpoint(server.at("/ok"), secrets=secrets), a_delivery())
    (request,) = server.received
    for secret in (new, old):
        Webhook(secret).verify(request.body, request.headers)
    assert len(request.headers["webhook-signature"].split(" ")) == 2


async def test_sender_with_expired_secret_does_not_sign_with_it(server: Receiver) -> None:
    clock = MovableClock(1_800_000_000_000)
    sender = a_sender(clock=clock)
    secrets = (Secret(new_secret("hmac")), Secret(new_secret("hmac"), expires_ms=clock.wall_ms + 1_000))
    endpoint = an_endpoint(server.at("/ok"), secrets=secrets)
    for step_ms in (0, 999, 1):
        clock.wall_ms += step_ms
        await sender.send(endpoint, a_delivery())
    assert [len(each.headers["webhook-signature"].split(" ")) for each in server.received] == [2, 2, 1]
    await sender.close()


async def test_sender_with_ed25519_secret_verifies_with_public_key(server: Receiver, sender: Sender) -> None:
    secret = new_secret("ed25519")
    await sender.send(an_endpoint(server.at("/ok"), secrets=(Secret(secret),), signing="ed25519"), a_delivery())
    (request,) = server.received
    verify([public_key(secret)], request.headers, request.body, SystemClock().now_ms() / 1000)


async def test_sender_headers_are_in_order_with_static_headers_last(server: Receiver, sender: Sender) -> None:
    endpoint = an_endpoint(server.at("/ok"), headers={"X-Api-Key": API_KEY, "Authorization": TOKEN})
    await sender.send(endpoint, a_delivery(number=3, sequence=41))
    (request,) = server.received
    assert names_of(request) == [
        *("host", "content-length", "content-type", "accept-encoding", "user-agent"),
        *("webhook-id", "webhook-timestamp", "webhook-signature"),
        *("commerce-event-type", "commerce-event-attempt", "commerce-event-sequence", "commerce-event-origin"),
        *("traceparent", "x-api-key", "authorization"),
    ]
    sent = request.headers
    assert sent["content-type"] == "application/json"
    assert sent["user-agent"] == f"commerce-event/{__version__}"
    assert (sent["commerce-event-type"], sent["commerce-event-attempt"], sent["commerce-event-sequence"]) == (
        *("OrderConfirmedEvent", "3", "41"),
    )
    assert sent["commerce-event-origin"] == ORIGIN
    assert (sent["x-api-key"], sent["authorization"]) == (API_KEY, TOKEN)


async def test_sender_with_replayed_event_sends_replay_id(server: Receiver, sender: Sender) -> None:
    await sender.send(an_endpoint(server.at("/ok")), a_delivery(replay_id=99))
    (request,) = server.received
    assert request.headers.get("commerce-event-replay") == ids.encode("rpl", 99)


@given(event=st.integers(1, 2**63 - 1), delivery=st.integers(1, 2**63 - 1), number=st.integers(1, 1_000))
@settings(max_examples=50, deadline=None)
def test_sender_attempts_have_own_spans_in_the_trace_of_the_event(event: int, delivery: int, number: int) -> None:
    sender, endpoint = a_sender(), an_endpoint("http://127.0.0.1/")

    def trace(n: int) -> str:
        preview = sender.request_preview(endpoint, a_delivery(event_id=event, delivery_id=delivery, number=n))
        return str(dict(preview)["traceparent"])

    first, again, second = trace(number), trace(number), trace(number + 1)
    assert TRACEPARENT.fullmatch(first)
    assert first == again
    assert first.split("-")[1] == second.split("-")[1]
    assert first.split("-")[2] != second.split("-")[2]


async def test_sender_with_traceparent_continues_producer_trace(server: Receiver, sender: Sender) -> None:
    given_trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
    await sender.send(an_endpoint(server.at("/ok")), a_delivery(traceparent=given_trace))
    (request,) = server.received
    sent = request.headers["traceparent"]
    assert TRACEPARENT.fullmatch(sent)
    assert sent.split("-")[1::2] == given_trace.split("-")[1::2]
    assert sent != given_trace


async def test_request_preview_equals_sent_headers(server: Receiver) -> None:
    sender = a_sender(clock=MovableClock(1_800_000_000_000))
    endpoint, claimed = an_endpoint(server.at("/ok"), headers={"X-Api-Key": API_KEY}), a_delivery(replay_id=5)
    await sender.send(endpoint, claimed)
    (request,) = server.received
    shown = sender.request_preview(endpoint, claimed, reveal=True)
    assert [(name.lower(), value) for name, value in shown] == list(request.headers.items())
    assert sender.request_preview(endpoint, claimed) == [*shown[:-1], ("X-Api-Key", "***")]
    await sender.close()


async def test_sender_after_endpoint_change_uses_new_settings(server: Receiver, sender: Sender) -> None:
    await sender.send(an_endpoint(server.at("/ok?form=1")), a_delivery())
    await sender.send(an_endpoint(server.at("/ok?form=2")), a_delivery())
    assert [request.path for request in server.received] == ["/ok?form=1", "/ok?form=2"]


async def test_sender_never_sends_cookies_back(server: Receiver, sender: Sender) -> None:
    await sender.send(an_endpoint(server.at("/many-cookies")), a_delivery())
    await until(lambda: not any(idle.reusable for idle in sender._pool._idle))  # this receiver closes after an answer
    assert (await sender.send(an_endpoint(server.at("/ok")), a_delivery())).delivered
    assert "cookie" not in server.received[1].headers


# -- redirects


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirect_repeats_the_same_signed_post(server: Receiver, sender: Sender, status: int) -> None:
    outcome = await sender.send(
        an_endpoint(server.at(f"/redirect?code={status}&to=/ok"), headers={"x-a": "b"}), a_delivery()
    )
    assert (outcome.status, outcome.error) == (200, None)
    first, second = server.received
    assert (second.path, second.headers, second.body) == ("/ok", first.headers, first.body)
    Webhook(SECRET).verify(second.body, second.headers)


async def test_redirect_to_other_origin_drops_static_headers(server: Receiver) -> None:
    sender = a_sender(lookup=named("127.0.0.1"))
    back = quote(server.at("/ok"), safe="")
    away = quote(server.at(f"/redirect?code=307&to={back}", host="shop.example"), safe="")
    endpoint = an_endpoint(server.at(f"/redirect?code=307&to={away}"), headers={"X-Api-Key": API_KEY})
    assert (await sender.send(endpoint, a_delivery())).delivered
    assert [request.headers.get("x-api-key") for request in server.received] == [API_KEY, None, API_KEY]
    assert [request.headers.get("host") for request in server.received] == [
        f"{host}:{server.port}" for host in ("127.0.0.1", "shop.example", "127.0.0.1")
    ]
    await sender.close()


@pytest.mark.parametrize(("hops", "error"), [(5, None), (6, "too_many_redirects")])
async def test_redirect_limit_is_five(server: Receiver, sender: Sender, hops: int, error: str | None) -> None:
    path = "/ok"
    for _ in range(hops):
        path = f"/redirect?code=307&to={quote(path, safe='')}"
    outcome = await sender.send(an_endpoint(server.at(path)), a_delivery())
    assert outcome.error == error
    assert len(server.received) == 6


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("http://10.0.0.1/", "blocked_address"),
        ("http://169.254.169.254/latest/meta-data/", "blocked_address"),
        ("//[fe80::1]/", "blocked_address"),
        ("file:///etc/passwd", "redirect_refused"),
        ("gopher://127.0.0.1/", "redirect_refused"),
        ("http://user:pass@127.0.0.1/", "redirect_refused"),
        ("http://127.0.0.1:25/", "redirect_refused"),
        ("https:", "redirect_refused"),
    ],
)
async def test_redirect_to_invalid_target_is_refused_and_recorded(
    server: Receiver, sender: Sender, location: str, error: str
) -> None:
    outcome = await sender.send(
        an_endpoint(server.at(f"/redirect?code=307&to={quote(location, safe='')}")), a_delivery()
    )
    assert (outcome.status, outcome.error, outcome.delivered, outcome.is_internal) == (307, error, False, False)
    assert len(server.received) == 1


async def test_redirect_to_long_target_is_followed(server: Receiver, sender: Sender) -> None:
    location = "/ok?" + "x" * 1_500
    outcome = await sender.send(
        an_endpoint(server.at(f"/redirect?code=307&to={quote(location, safe='')}")), a_delivery()
    )
    assert outcome.delivered
    assert [request.path for request in server.received][1:] == [location]


async def test_sender_reads_location_and_retry_after_behind_many_headers(sender: Sender) -> None:
    filler = b"x-filler: 1\r\n" * 100
    async with answering(b"HTTP/1.1 503 No\r\n%bretry-after: 9\r\ncontent-length: 0\r\n\r\n" % filler) as url:
        assert (await sender.send(an_endpoint(url), a_delivery())).retry_after_s == 9.0
        moved = b"HTTP/1.1 307 Moved\r\n%blocation: %b\r\ncontent-length: 0\r\n\r\n" % (filler, url.encode())
    async with answering(moved) as url:
        outcome = await sender.send(an_endpoint(url), a_delivery())
    assert outcome.error == "connect_refused"  # it was followed to the receiver that is no more


async def test_redirect_to_name_with_refused_address_is_blocked(server: Receiver) -> None:
    sender = a_sender(lookup=named("10.0.0.1"))
    location = quote("http://inside.example/", safe="")
    outcome = await sender.send(an_endpoint(server.at(f"/redirect?code=307&to={location}")), a_delivery())
    assert (outcome.error, outcome.delivered) == ("blocked_address", False)
    await sender.close()


async def test_redirect_from_https_to_http_is_refused(server: Receiver) -> None:
    authority = trustme.CA()
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trusting)
    sender = a_sender(tls=trusting)
    async with Receiver(serving) as secure:
        down = secure.at(f"/redirect?code=307&to={quote(server.at('/ok'), safe='')}")
        outcome = await sender.send(an_endpoint(down), a_delivery())
        assert (outcome.status, outcome.error) == (307, "redirect_refused")
        assert not server.received
        up = server.at(f"/redirect?code=307&to={quote(secure.at('/ok'), safe='')}")
        assert (await sender.send(an_endpoint(up), a_delivery())).delivered
    await sender.close()


@pytest.mark.parametrize("status", [301, 303, 307])
async def test_redirect_with_following_switched_off_is_a_failure(server: Receiver, sender: Sender, status: int) -> None:
    endpoint = an_endpoint(server.at(f"/redirect?code={status}&to=/ok"), follow_redirects=False)
    outcome = await sender.send(endpoint, a_delivery())
    assert (outcome.status, outcome.error) == (status, f"http_{status}")
    assert len(server.received) == 1


# -- the outcome


async def test_sender_outcome_has_status_headers_and_body(server: Receiver, sender: Sender) -> None:
    outcome = await sender.send(an_endpoint(server.at("/retry-after?value=120&code=429")), a_delivery())
    assert (outcome.status, outcome.error, outcome.retry_after_s) == (429, "http_429", 120.0)
    assert dict(outcome.response_headers)["retry-after"] == "120"
    assert outcome.started_ms <= SystemClock().now_ms()
    assert outcome.duration_ms > 0


async def test_sender_reads_retry_after_of_429_and_503_only(server: Receiver, sender: Sender) -> None:
    outcome = await sender.send(an_endpoint(server.at("/retry-after?value=120&code=500")), a_delivery())
    assert outcome.retry_after_s is None


async def test_sender_with_echoed_static_headers_masks_them(server: Receiver, sender: Sender) -> None:
    headers = {"X-Token": TOKEN, "X-Api-Key": API_KEY, "X-Word": TOKEN.split()[1]}
    outcome = await sender.send(an_endpoint(server.at("/reflect"), headers=headers), a_delivery())
    assert outcome.delivered
    shown = repr(outcome.response_headers) + outcome.response_body.decode()
    assert not any(value in shown for value in headers.values())
    assert dict(outcome.response_headers)["x-echo"] == "***"
    assert outcome.response_body.endswith(b"x-token: ***\nx-api-key: ***\nx-word: ***")
    assert b"content-type: application/json" in outcome.response_body


async def test_sender_with_echoed_word_of_static_header_masks_it(sender: Sender) -> None:
    async with answering(b"HTTP/1.1 401 No\r\ncontent-length: 26\r\n\r\nbad token tok-9f8e7d6c5b4a") as url:
        outcome = await sender.send(an_endpoint(url, headers={"Authorization": TOKEN}), a_delivery())
    assert outcome.response_body == b"bad token ***"


@pytest.mark.parametrize(
    ("headers", "query", "echoed", "shown"),
    [
        ({"X-Api-Key": API_KEY}, "", base64.b64encode(API_KEY.encode()).decode(), "***"),
        ({"Authorization": TOKEN}, "", base64.b64encode(TOKEN.encode()).decode(), "***"),
        ({"Authorization": TOKEN}, "", base64.b64encode(TOKEN.split()[1].encode()).decode(), "***"),
        ({"Authorization": f"Basic {BASIC}"}, "", "shop:open-sesame-1", "***"),
        ({"Authorization": f"Basic {BASIC}"}, "", "the password open-sesame-1 is old", "the password *** is old"),
        ({}, "?shop=7&token=q-4711-abcdefgh", "/?shop=7&token=q-4711-abcdefgh", "/?shop=7&token=***"),
        ({}, "?token=q%2F4711%2Babcdefgh", "q/4711+abcdefgh or q%2F4711%2Babcdefgh", "*** or ***"),
        ({}, "?q-4711-abcdefgh", "key q-4711-abcdefgh", "key ***"),
        ({}, "?token=q-4711-abcdefgh", base64.b64encode(b"q-4711-abcdefgh").decode(), "***"),
    ],
)
async def test_sender_with_echoed_credentials_masks_every_form(
    sender: Sender, headers: dict[str, str], query: str, echoed: str, shown: str
) -> None:
    answer = f"HTTP/1.1 401 No\r\nx-echoed: {echoed}\r\ncontent-length: {len(echoed)}\r\n\r\n{echoed}".encode()
    async with answering(answer) as url:
        outcome = await sender.send(an_endpoint(url + query, headers=headers), a_delivery())
    assert outcome.response_body.decode().rstrip("=") == shown.rstrip("=")
    assert dict(outcome.response_headers)["x-echoed"].rstrip("=") == shown.rstrip("=")


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("rest", ["", "京", b"\xff"], ids=["alone", "beside UTF-8", "beside other bytes"])
async def test_sender_with_echoed_secret_beyond_ascii_masks_it_in_either_encoding(
    sender: Sender, encoding: str, rest: str | bytes
) -> None:
    echoed = "geheimniß-ö".encode(encoding) + (rest.encode() if isinstance(rest, str) else rest)
    answer = b"HTTP/1.1 200 OK\r\nx-echoed: %b\r\ncontent-length: %d\r\n\r\n%b" % (echoed, len(echoed), echoed)
    async with answering(answer) as url:
        outcome = await sender.send(an_endpoint(url, headers={"x-a": "geheimniß-ö"}), a_delivery())
    assert outcome.response_body.startswith(b"***")
    assert dict(outcome.response_headers)["x-echoed"].startswith("***")


async def test_sender_with_echoed_signing_secret_masks_it(sender: Sender) -> None:
    echoed = f"{SECRET} or {SECRET.removeprefix('whsec_')}".encode()
    answer = b"HTTP/1.1 200 OK\r\nx-echoed: %b\r\ncontent-length: %d\r\n\r\n%b" % (echoed, len(echoed), echoed)
    async with answering(answer) as url:
        outcome = await sender.send(an_endpoint(url), a_delivery())
    assert outcome.response_body == b"*** or ***"
    assert dict(outcome.response_headers)["x-echoed"] == "*** or ***"


@given(at=st.integers(BODY_KEPT - 40, BODY_KEPT), secret=st.text("abc-", min_size=4, max_size=60))
@settings(max_examples=50, deadline=None)
def test_redactor_with_cut_body_masks_beginning_of_secret(at: int, secret: str) -> None:
    redactor = Redactor(an_endpoint("http://127.0.0.1/", headers={"x-a": secret.replace("-", "d")}))
    hidden = secret.replace("-", "d").encode()
    kept = (b"." * at + hidden + b"." * BODY_KEPT)[:BODY_KEPT]
    shown = redactor.body(kept)
    assert hidden[:4] not in shown
    assert len(shown) <= BODY_KEPT


async def test_sender_with_timeout_of_endpoint_uses_it(server: Receiver, sender: Sender) -> None:
    outcome = await sender.send(an_endpoint(server.at("/hang"), timeout_s=0.05), a_delivery())
    assert (outcome.status, outcome.error, outcome.is_internal) == (None, "timeout", False)
    assert 50 <= outcome.duration_ms < 1_200  # what is on record is the limit and not much more


async def test_sender_with_url_no_longer_allowed_does_not_connect(server: Receiver) -> None:
    sender = a_sender(AddressPolicy())
    endpoint = an_endpoint(server.at("/ok"))
    outcome = await sender.send(endpoint, a_delivery())
    assert (outcome.status, outcome.error, outcome.is_internal) == (None, "blocked_address", False)
    assert not server.received
    assert dict(sender.request_preview(endpoint, a_delivery()))["commerce-event-attempt"] == "1"
    await sender.close()


async def test_sender_to_own_address_is_blocked(server: Receiver) -> None:
    sender = a_sender(LOCAL, own=[("127.0.0.1", server.port)])
    outcome = await sender.send(an_endpoint(server.at("/ok")), a_delivery())
    assert (outcome.error, outcome.is_internal) == ("blocked_address", False)
    assert not server.received
    await sender.close()


async def test_sender_without_secret_sends_nothing_and_fails_internally(server: Receiver, sender: Sender) -> None:
    outcome = await sender.send(an_endpoint(server.at("/ok"), secrets=()), a_delivery())
    assert (outcome.status, outcome.error, outcome.is_internal) == (None, POISON, True)
    assert not server.received


async def test_sender_prepared_endpoints_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "_PREPARED_MAX", 3)
    made = a_sender(tls=NO_TRUST)
    for number in range(10):
        made.request_preview(an_endpoint("http://127.0.0.1/", id=number), a_delivery())
    assert len(made._prepared) <= 3
    await made.close()
