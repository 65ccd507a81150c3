"""With any receiver, an attempt ends in time, uses bounded resources, and is judged by its status line."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from hostile_receiver import BEHAVIOURS, HostileServer

from commerce_event.core import ids
from commerce_event.core.addresses import AddressPolicy
from commerce_event.core.clock import SystemClock
from commerce_event.core.delivery import Outcome
from commerce_event.core.model import Endpoint, Secret
from commerce_event.deliver.resolver import Resolver
from commerce_event.deliver.sender import Sender
from commerce_event.store.model import Claimed

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"ClientId":1,"JobId":7,"StatusId":2}'
TIMEOUT_S = 0.4
LONG = ("/endless", "/tiny", "/huge", "/gzip-bomb", "/zstd")  # cost the machine more than they cost the sender
SOCKET_BUFFERS = 12 * 1024 * 1024  # bytes that two kernels and two event loops may hold unread

# path, error code, whether it counts as delivered
EXPECTED: list[tuple[str, str | None, bool]] = [
    ("/ok", None, True),
    ("/ok-and-close", None, True),
    ("/ok-until-close", None, True),
    ("/status?code=201", None, True),
    ("/status?code=299", None, True),
    ("/status?code=300", "http_300", False),
    ("/status?code=400", "http_400", False),
    ("/status?code=401", "http_401", False),
    ("/status?code=500", "http_500", False),
    ("/hang", "timeout", False),
    ("/slow-headers", "timeout", False),
    ("/drip-body", "truncated", True),
    ("/half-status", "timeout", False),
    ("/headers-then-hang", "timeout", False),
    ("/head-then-hang", "truncated", True),
    ("/endless-body", "truncated", True),
    ("/endless-chunks", "truncated", True),
    ("/tiny-chunks", "truncated", True),
    ("/endless-trailers", "truncated", True),
    ("/huge-trailer", "truncated", True),
    ("/endless-extension", "truncated", True),
    ("/endless-error", "http_500", False),
    ("/endless-1xx", "bad_http", False),
    ("/endless-headers", "bad_http", False),
    ("/huge-header", "bad_http", False),
    ("/endless-status", "bad_http", False),
    ("/many-cookies", None, True),
    ("/garbage", "bad_http", False),
    ("/http09", "bad_http", False),
    ("/http2-preface", "bad_http", False),
    ("/gopher", "bad_http", False),
    ("/http-version-2", "bad_http", False),
    ("/http-version-0.9", "bad_http", False),
    ("/gzip-and-chunked", "bad_http", False),
    ("/chunked-twice", "bad_http", False),
    ("/letters-for-digits", "bad_http", False),
    ("/status-999", "http_999", False),
    ("/switching", "bad_http", False),
    ("/two-lengths", "bad_http", False),
    ("/negative-length", "bad_http", False),
    ("/length-and-chunked", None, True),
    ("/no-content-with-body", None, True),
    ("/not-modified", "http_304", False),
    ("/redirect?code=303&to=/ok", "redirect_refused", False),
    ("/redirect?code=302", "too_many_redirects", False),
    ("/redirect?code=302&to=http://169.254.169.254/", "blocked_address", False),
    ("/redirect?code=307&to=http://10.0.0.1/", "blocked_address", False),
    ("/redirect?code=302&to=file:///etc/passwd", "redirect_refused", False),
    ("/redirect?code=302&to=gopher://example.com/", "redirect_refused", False),
    ("/redirect-without-location", "redirect_refused", False),
    ("/refresh", "http_500", False),
    ("/retry-after?code=503&value=7", "http_503", False),
    ("/gone", "http_410", False),
    ("/gzip-bomb", "truncated", True),
    ("/brotli", None, True),
    ("/zstd-bomb", "truncated", True),
    ("/nested-encodings", None, True),
    ("/truncated", "truncated", True),
    ("/reset", "connection_reset", False),
    ("/reset-in-body", "truncated", True),
    ("/close", "connection_closed", False),
    ("/close-on-second", None, True),
    ("/answer-unread", None, True),
    ("/never-read", "timeout", False),
    ("/reflect", None, True),
    ("/two-answers", None, True),
    ("/escape-in-header", "http_500", False),
    ("/control-characters", "http_500", False),
]


@pytest.fixture
async def hostile() -> AsyncIterator[HostileServer]:
    async with HostileServer() as server:
        yield server


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    running = Sender(
        resolver=Resolver(AddressPolicy(["127.0.0.0/8"])),
        timeout_s=TIMEOUT_S,
        clock=SystemClock(),
        installation_id="a1",
    )
    yield running
    await running.close()


def endpoint_at(url: str, **fields: Any) -> Endpoint:
    """Each URL and set of options is an endpoint of its own, as in life."""
    endpoint_id = zlib.crc32(f"{url} {fields}".encode())
    return Endpoint(id=endpoint_id, client_id=1, url=url, event_types=("*",), secrets=(Secret(SECRET),), **fields)


def attempt(number: int = 1, body: bytes = BODY, *, failure_count: int = 0) -> Claimed:
    return Claimed(
        delivery_id=11,
        endpoint_id=5,
        number=number,
        failure_count=failure_count,
        run_id=1,
        lease_until_ms=0,
        replay_id=None,
        event_id=77,
        client_id=1,
        sequence=3,
        type="JobCompletedEvent",
        traceparent=None,
        body=body,
    )


async def outcome_of(sender: Sender, hostile: HostileServer, path: str, **fields: Any) -> Outcome:
    return await sender.send(endpoint_at(hostile.url + path, **fields), attempt())


@pytest.mark.parametrize(("path", "error", "delivered"), EXPECTED, ids=[row[0] for row in EXPECTED])
async def test_sender_with_each_hostile_behaviour_has_expected_outcome(
    sender: Sender, hostile: HostileServer, path: str, error: str | None, delivered: bool
) -> None:
    outcome = await outcome_of(sender, hostile, path)

    assert (outcome.error, outcome.delivered) == (error, delivered)
    assert len(outcome.response_body) <= 1024
    assert sum(len(name) + len(value) for name, value in outcome.response_headers) <= 16 * 1024
    assert hostile.most_sent < SOCKET_BUFFERS  # it was cut off, not read to the end


def test_hostile_behaviours_are_all_in_the_table() -> None:
    assert {path.partition("?")[0] for path, _, _ in EXPECTED} == set(BEHAVIOURS)


async def test_connection_after_clean_response_is_reused(sender: Sender, hostile: HostileServer) -> None:
    for _ in range(5):
        assert (await outcome_of(sender, hostile, "/ok")).delivered

    assert hostile.connections == 1


@pytest.mark.parametrize("path", ["/two-answers", "/truncated", "/no-content-with-body", "/hang", "/endless-body"])
async def test_connection_after_unclean_response_is_not_reused(
    sender: Sender, hostile: HostileServer, path: str
) -> None:
    await outcome_of(sender, hostile, path)
    await outcome_of(sender, hostile, path)

    assert hostile.connections == 2


async def test_sender_with_large_body_not_read_ends_at_timeout(sender: Sender, hostile: HostileServer) -> None:
    large = b'"%b"' % (b"x" * 16 * 1024 * 1024)
    outcome = await sender.send(endpoint_at(hostile.url + "/never-read"), attempt(body=large))

    assert (outcome.status, outcome.error) == (None, "timeout")


async def test_sender_with_early_response_counts_it_and_closes_connection(
    sender: Sender, hostile: HostileServer
) -> None:
    large = b'"%b"' % (b"x" * 16 * 1024 * 1024)
    for _ in range(2):
        outcome = await sender.send(endpoint_at(hostile.url + "/answer-unread"), attempt(body=large))
        assert outcome.delivered

    assert hostile.connections == 2  # the rest of a body must not be read as the next request


async def test_connection_closed_while_reused_is_replaced_within_the_attempt(
    sender: Sender, hostile: HostileServer
) -> None:
    outcomes = [await outcome_of(sender, hostile, "/close-on-second") for _ in range(2)]

    assert [(each.error, each.is_internal) for each in outcomes] == [(None, False)] * 2
    assert hostile.connections == 2
    _, lost, again = hostile.received
    assert (again.headers, again.body) == (lost.headers, lost.body)  # the same id and attempt


async def test_receiver_that_closes_on_one_event_fails_after_one_more_request(
    sender: Sender, hostile: HostileServer
) -> None:
    """Each close might be a stale connection; the answer on a new one counts."""
    endpoint = endpoint_at(hostile.url + "/ok")
    assert (await sender.send(endpoint, attempt())).delivered
    moved = msgspec.structs.replace(endpoint, url=hostile.url + "/close", revision=endpoint.revision + 1)
    outcome = await sender.send(moved, attempt())

    assert (outcome.error, outcome.is_internal) == ("connection_closed", False)
    assert [request.path for request in hostile.received] == ["/ok", "/close", "/close"]


async def test_redirect_target_that_closes_gets_one_more_request(sender: Sender, hostile: HostileServer) -> None:
    outcome = await outcome_of(sender, hostile, "/redirect?code=307&to=/close")

    assert (outcome.error, outcome.is_internal) == ("connection_closed", False)
    paths = [request.path.partition("?")[0] for request in hostile.received]
    assert paths == ["/redirect", "/close", "/close"]


async def test_sender_with_many_hostile_receivers_keeps_responses_apart(sender: Sender, hostile: HostileServer) -> None:
    rows = [row for row in EXPECTED if not row[0].startswith(LONG)] * 2
    # A busy machine needs longer for so many at once.
    outcomes = await asyncio.gather(*(outcome_of(sender, hostile, path, timeout_s=4.0) for path, _, _ in rows))

    assert [(each.error, each.delivered) for each in outcomes] == [(error, ok) for _, error, ok in rows]


@pytest.mark.parametrize("code", [301, 302, 307, 308])
async def test_redirect_is_followed_with_the_same_post(sender: Sender, hostile: HostileServer, code: int) -> None:
    outcome = await outcome_of(sender, hostile, f"/redirect?code={code}&to=/ok", headers={"X-Token": "abcd-1234"})

    first, second = hostile.received
    assert outcome.status == 200
    assert (second.method, second.path, second.body) == ("POST", "/ok", BODY)
    assert second.headers == first.headers


async def test_redirect_to_other_origin_has_no_static_headers(sender: Sender, hostile: HostileServer) -> None:
    async with HostileServer() as other:
        headers = {"X-Token": "abcd-1234"}
        await outcome_of(sender, hostile, f"/redirect?code=307&to={other.url}/ok", headers=headers)

        [moved] = other.received
        assert "x-token" not in moved.headers
        assert moved.headers["webhook-id"] == ids.encode("evt", 77)


async def test_redirect_with_following_switched_off_is_not_followed(sender: Sender, hostile: HostileServer) -> None:
    outcome = await outcome_of(sender, hostile, "/redirect?code=302&to=/ok", follow_redirects=False)

    assert (outcome.status, outcome.error, outcome.delivered) == (302, "http_302", False)
    assert len(hostile.received) == 1


async def test_sender_with_echoed_static_header_masks_it(sender: Sender, hostile: HostileServer) -> None:
    outcome = await outcome_of(sender, hostile, "/reflect", headers={"X-Token": "canary-9c1e"})

    assert b"canary" not in outcome.response_body
    assert b"x-token: ***" in outcome.response_body
    assert dict(outcome.response_headers)["x-echo"] == "***"


async def test_sender_with_control_characters_in_response_replaces_them(sender: Sender, hostile: HostileServer) -> None:
    outcome = await outcome_of(sender, hostile, "/control-characters")

    assert dict(outcome.response_headers)["x-odd"] == " 31mred"


async def test_sender_reads_retry_after(sender: Sender, hostile: HostileServer) -> None:
    assert (await outcome_of(sender, hostile, "/retry-after?code=429&value=7")).retry_after_s == 7.0
    assert (await outcome_of(sender, hostile, "/retry-after?code=503&value=soon")).retry_after_s is None
    assert (await outcome_of(sender, hostile, "/retry-after?code=500&value=7")).retry_after_s is None
