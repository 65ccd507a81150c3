"""What is kept of an attempt that failed or was redirected: the redirects, the phase, the address, the certificate."""

import asyncio
import itertools
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
from local_receiver import LOCAL, NO_TRUST, PATIENCE_S, Receiver, named
from ports import free_port

from commerce_event.core.addresses import AddressPolicy
from commerce_event.core.causes import cause_of
from commerce_event.core.clock import SystemClock
from commerce_event.core.delivery import Outcome
from commerce_event.core.model import AttemptDetails, Endpoint, Phase, Secret
from commerce_event.deliver.certificates import parse_certificate
from commerce_event.deliver.resolver import Resolver
from commerce_event.deliver.sender import Sender
from commerce_event.store.model import Claimed

TOKEN = "tok-9f8e7d6c5b4a"
BODY = b'{"ClientId":1,"JobId":7,"StatusId":2}'
SHORT_S = 0.3
REVISIONS = itertools.count(1)

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def an_endpoint(url: str, **fields: Any) -> Endpoint:
    secret = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    given: dict[str, Any] = {"id": 7, "client_id": 1, "event_types": ("*",), "secrets": (secret,), **fields}
    return Endpoint(url=url, revision=next(REVISIONS), **given)


def a_delivery(body: bytes = BODY) -> Claimed:
    return Claimed(
        delivery_id=4_000_000_001,
        endpoint_id=7,
        number=1,
        failure_count=0,
        run_id=1,
        lease_until_ms=0,
        replay_id=None,
        event_id=3_000_000_001,
        client_id=1,
        sequence=12,
        type="JobCompletedEvent",
        traceparent=None,
        body=body,
    )


@asynccontextmanager
async def sending(
    policy: AddressPolicy = LOCAL,
    *,
    lookup: Callable[..., list[tuple[Any, ...]]] = socket.getaddrinfo,
    timeout_s: float = PATIENCE_S,
    tls: ssl.SSLContext = NO_TRUST,
    own: Sequence[tuple[str, int]] = (),
) -> AsyncIterator[Sender]:
    made = Sender(
        resolver=Resolver(policy, own, lookup=lookup),
        timeout_s=timeout_s,
        clock=SystemClock(),
        installation_id="8c1f0a6d3b5e2947",
        tls=tls,
    )
    yield made
    await made.close()


@pytest.fixture
async def server() -> AsyncIterator[Receiver]:
    async with Receiver() as made:
        yield made


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[int]:
    """Serve connections in this way; yields the port."""
    writers: list[asyncio.StreamWriter] = []

    async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await serve(reader, writer)

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
            await writer.wait_closed()


async def never_read(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hold a connection without reading from it."""
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    await writer.wait_closed()


def details_of(outcome: Outcome) -> AttemptDetails:
    assert outcome.details is not None
    return outcome.details


def words_of(outcome: Outcome) -> str:
    return cause_of(outcome.attempt(1)) or ""


@asynccontextmanager
async def redirecting(location: str | None, code: int = 302) -> AsyncIterator[str]:
    """Answer every request with a redirect; yields the URL."""
    line = b"" if location is None else b"location: %b\r\n" % location.encode()
    answer = b"HTTP/1.1 %d Elsewhere\r\n%bcontent-length: 0\r\n\r\n" % (code, line)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(BODY)
        writer.write(answer)
        writer.close()

    async with serving(serve) as port:
        yield f"http://127.0.0.1:{port}/"


# -- the common case


async def test_success_keeps_no_details(server: Receiver) -> None:
    async with sending() as sender:
        outcome = await sender.send(an_endpoint(server.at("/ok")), a_delivery())

    assert outcome.details is None


async def test_complete_answer_that_failed_keeps_the_address_and_no_phase(server: Receiver) -> None:
    async with sending() as sender:
        outcome = await sender.send(an_endpoint(server.at("/status?code=404")), a_delivery())

    assert outcome.details == AttemptDetails(host="127.0.0.1", address=f"127.0.0.1:{server.port}")
    assert outcome.attempt(1).details == outcome.details


async def test_answer_over_a_reused_connection_keeps_the_address(server: Receiver) -> None:
    async with sending(lookup=named("127.0.0.1")) as sender:
        assert (await sender.send(an_endpoint(server.at("/ok", host="shop.example")), a_delivery())).delivered
        outcome = await sender.send(an_endpoint(server.at("/status?code=500", host="shop.example")), a_delivery())

    assert details_of(outcome).host == "shop.example"
    assert details_of(outcome).address == f"127.0.0.1:{server.port}"


# -- redirects


async def test_redirects_to_a_dead_address_are_kept_in_order() -> None:
    port = free_port()
    dead = f"http://127.0.0.1:{port}/x"
    async with redirecting(dead) as second, redirecting(second, 307) as first, sending() as sender:
        outcome = await sender.send(an_endpoint(first), a_delivery())

    found = details_of(outcome)
    assert [(each.status, each.location) for each in found.redirects] == [(307, second), (302, dead)]
    assert (found.phase, found.address) == ("connect", f"127.0.0.1:{port}")
    assert words_of(outcome) == f"redirected 2 times (307, 302), at last to {dead}, where nothing listens"


async def test_redirect_to_a_name_without_address_names_the_redirect() -> None:
    def unknown(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    async with redirecting("http://gone.example/x") as url, sending(lookup=unknown) as sender:
        outcome = await sender.send(an_endpoint(url), a_delivery())

    assert (details_of(outcome).phase, details_of(outcome).address) == ("name", None)
    assert words_of(outcome) == "redirected (302) to http://gone.example/x, whose host name has no address"


async def test_delivered_after_a_redirect_keeps_the_redirect(server: Receiver) -> None:
    async with redirecting(server.at("/ok"), 307) as url, sending() as sender:
        outcome = await sender.send(an_endpoint(url), a_delivery())

    assert outcome.delivered
    assert [(each.status, each.location) for each in details_of(outcome).redirects] == [(307, server.at("/ok"))]
    assert not words_of(outcome)


@pytest.mark.parametrize(
    ("code", "follow", "words"),
    [
        (302, False, "redirected (302) to /ok, and this endpoint does not follow redirects"),
        (303, True, "redirected (303) to /ok, but 303 asks for a GET, which delivers nothing: answer with 307 or 308"),
    ],
)
async def test_redirect_that_is_not_followed_is_kept(code: int, follow: bool, words: str) -> None:
    async with redirecting("/ok", code) as url, sending() as sender:
        outcome = await sender.send(an_endpoint(url, follow_redirects=follow), a_delivery())

    assert [(each.status, each.location) for each in details_of(outcome).redirects] == [(code, "/ok")]
    assert words_of(outcome) == words


async def test_redirect_without_location_has_an_empty_one() -> None:
    async with redirecting(None) as url, sending() as sender:
        outcome = await sender.send(an_endpoint(url), a_delivery())

    assert [(each.status, each.location) for each in details_of(outcome).redirects] == [(302, "")]
    assert words_of(outcome) == "redirected (302) without one valid location"


@pytest.mark.parametrize(
    ("location", "kept"),
    [
        (f"/ok?again={TOKEN}", "/ok?again=***"),
        ("http://user:pass@shop.example/", "http://***@shop.example/"),
        ("//user:pass@shop.example/", "//***@shop.example/"),
        ("ftp://x/\u202egnp.exe", "ftp://x/ gnp.exe"),
        ("ftp://x/" + "y" * 3_000, ("ftp://x/" + "y" * 3_000)[:500]),
    ],
    ids=["query", "credentials", "credentials without scheme", "direction", "long"],
)
async def test_location_of_redirect_is_bounded_and_masked(location: str, kept: str) -> None:
    async with redirecting(location) as url, sending() as sender:
        endpoint = an_endpoint(f"{url}?token={TOKEN}", follow_redirects=False)
        outcome = await sender.send(endpoint, a_delivery())

    assert [each.location for each in details_of(outcome).redirects] == [kept]


# -- addresses that are not shown


async def test_blocked_address_of_a_name_is_not_told() -> None:
    inside = "http://inside.example/"
    async with redirecting(inside) as url, sending(lookup=named("10.9.8.7")) as sender:
        outcomes = [await sender.send(an_endpoint(each), a_delivery()) for each in (inside, url)]

    for outcome in outcomes:
        assert (outcome.error, details_of(outcome).address) == ("blocked_address", None)
        assert "10.9.8.7" not in f"{outcome} {words_of(outcome)}"


async def test_blocked_address_of_a_redirect_is_not_in_the_cause() -> None:
    async with redirecting("http://10.9.8.7/") as url, sending() as sender:
        outcome = await sender.send(an_endpoint(url), a_delivery())

    assert outcome.error == "blocked_address"
    assert details_of(outcome).address == url.removeprefix("http://").removesuffix("/")  # that redirected
    assert words_of(outcome) == "redirected (302) to an address that this server does not deliver to"


async def test_private_address_is_told_for_the_host_of_the_url_only(server: Receiver) -> None:
    """By redirects a receiver could find out which addresses private names have."""
    other = server.at("/status?code=500", host="inside.example")
    async with redirecting(other) as url, sending(lookup=named("127.0.0.1")) as sender:
        own = await sender.send(an_endpoint(server.at("/status?code=500", host="erp.example")), a_delivery())
        foreign = await sender.send(an_endpoint(url), a_delivery())

    assert details_of(own).address == f"127.0.0.1:{server.port}"
    assert (details_of(foreign).host, details_of(foreign).address) == ("inside.example", None)


# -- phases


@pytest.mark.parametrize(
    ("path", "phase"), [("/hang", "waiting"), ("/slow-headers", "reading"), ("/half-status", "reading")]
)
async def test_timeout_of_an_answer_has_its_phase(server: Receiver, path: str, phase: Phase) -> None:
    async with sending(timeout_s=SHORT_S) as sender:
        outcome = await sender.send(an_endpoint(server.at(path)), a_delivery())

    assert outcome.error == "timeout"
    assert (details_of(outcome).phase, details_of(outcome).address) == (phase, f"127.0.0.1:{server.port}")


async def test_answer_that_was_cut_short_has_the_phase_reading(server: Receiver) -> None:
    async with sending(timeout_s=SHORT_S) as sender:
        outcome = await sender.send(an_endpoint(server.at("/head-then-hang")), a_delivery())

    assert (outcome.error, details_of(outcome).phase) == ("truncated", "reading")


async def test_timeout_of_a_request_that_is_not_read_has_the_phase_request() -> None:
    body = b'{"ClientId":1,"Note":"' + b"x" * 32 * 1024 * 1024 + b'"}'  # more than the buffers of a connection
    async with serving(never_read) as port, sending(timeout_s=SHORT_S) as sender:
        outcome = await sender.send(an_endpoint(f"http://127.0.0.1:{port}/"), a_delivery(body))

    assert (outcome.error, details_of(outcome).phase) == ("timeout", "request")


async def test_timeout_of_a_handshake_has_the_phase_tls() -> None:
    async with serving(never_read) as port, sending(timeout_s=SHORT_S) as sender:
        outcome = await sender.send(an_endpoint(f"https://127.0.0.1:{port}/"), a_delivery())

    assert (outcome.error, details_of(outcome).phase) == ("timeout", "tls")
    assert details_of(outcome).address == f"127.0.0.1:{port}"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_refused_connection_has_the_phase_connect(scheme: str) -> None:
    port = free_port()
    async with sending() as sender:
        outcome = await sender.send(an_endpoint(f"{scheme}://127.0.0.1:{port}/"), a_delivery())

    assert (outcome.error, details_of(outcome).phase) == ("connect_refused", "connect")
    assert words_of(outcome) == f"connection refused: nothing listens at 127.0.0.1:{port}"


async def test_answer_without_tls_has_the_phase_tls() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with serving(serve) as port, sending() as sender:
        outcome = await sender.send(an_endpoint(f"https://127.0.0.1:{port}/"), a_delivery())

    assert (outcome.error, details_of(outcome).phase) == ("tls_failed", "tls")
    assert details_of(outcome).certificate is None


# -- certificates


@asynccontextmanager
async def secure(authority: trustme.CA, *names: str) -> AsyncIterator[tuple[Receiver, list[str | None]]]:
    """Serve with a certificate for these names; yields the receiver, and the name that each handshake asked for."""
    asked: list[str | None] = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    context.sni_callback = lambda _, name, __: asked.append(name)
    async with Receiver(context) as made:
        yield made, asked


async def test_unknown_authority_keeps_the_certificate_and_sends_nothing() -> None:
    async with secure(trustme.CA(), "shop.example", "www.shop.example") as (receiver, asked):
        async with sending(lookup=named("127.0.0.1")) as sender:
            outcome = await sender.send(an_endpoint(receiver.at("/ok", host="shop.example")), a_delivery())

        assert asked == ["shop.example", "shop.example"]
        assert not receiver.received
    certificate = details_of(outcome).certificate
    assert outcome.error == "tls_unknown_ca"
    assert certificate is not None
    assert set(certificate.names) == {"shop.example", "www.shop.example"}
    assert certificate.not_before_ms < SystemClock().now_ms() < certificate.not_after_ms
    assert certificate.issuer in words_of(outcome)


async def test_certificate_is_read_once_for_attempts_shortly_after_each_other() -> None:
    async with secure(trustme.CA(), "shop.example") as (receiver, asked):
        async with sending(lookup=named("127.0.0.1")) as sender:
            endpoint = an_endpoint(receiver.at("/ok", host="shop.example"))
            outcomes = [await sender.send(endpoint, a_delivery()) for _ in range(3)]

        assert len(asked) == 4
    assert len({details_of(each).certificate for each in outcomes}) == 1
    assert all(details_of(each).certificate is not None for each in outcomes)


async def test_certificate_for_another_host_is_kept_and_named() -> None:
    authority = trustme.CA()
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trusting)
    lookup = named("127.0.0.1")
    async with secure(authority, "old.example") as (receiver, _), sending(lookup=lookup, tls=trusting) as sender:
        outcome = await sender.send(an_endpoint(receiver.at("/ok", host="shop.example")), a_delivery())

    assert outcome.error == "tls_wrong_host"
    assert words_of(outcome).startswith("the certificate is for old.example, not for shop.example: issued by ")


def test_parse_certificate_with_other_data_is_none() -> None:
    assert parse_certificate(b"no certificate") is None
