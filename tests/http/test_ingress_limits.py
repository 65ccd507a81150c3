"""Limits on requests and protection from request smuggling, on real sockets."""

import asyncio
import logging
from collections.abc import AsyncIterator

import msgspec
import pytest
from api_server import ADMIN_KEY, DEADLINE_S, Api, example
from raw_client import Caller, connected, request, stored

from commerce_event.http.request_head import FIELDS_MAX, HEAD_MAX, URL_MAX
from commerce_event.settings import Settings

BODY = msgspec.json.encode(example())
BODY_MAX = Settings().max_body
PATH = "/v1/events/OrderConfirmedEvent"
SIZE = f"Content-Length: {len(BODY)}"
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


def head(*lines: str) -> bytes:
    own = [
        f"POST {PATH} HTTP/1.1",
        "Host: shop",
        f"Authorization: Bearer {ADMIN_KEY}",
        "Content-Type: application/json",
    ]
    return "\r\n".join([*own, *lines]).encode() + b"\r\n\r\n"


@pytest.fixture
async def caller(api: Api) -> AsyncIterator[Caller]:
    async with connected(api) as caller:
        yield caller


SMUGGLED = b"GET /v1/keys HTTP/1.1\r\nHost: shop\r\n\r\n"
AMBIGUOUS = {
    "length and chunked": head(SIZE, "Transfer-Encoding: chunked") + CHUNKED,
    "chunked and length": head("Transfer-Encoding: chunked", SIZE) + CHUNKED,
    "two lengths": head(SIZE, "Content-Length: 5") + BODY,
    "list of lengths": head(f"Content-Length: {len(BODY)}, 5") + BODY,
    "negative length": head("Content-Length: -5") + BODY,
    "signed length": head(f"Content-Length: +{len(BODY)}") + BODY,
    "length in hex": head("Content-Length: 0x10") + BODY,
    "space before colon": head(f"Content-Length : {len(BODY)}") + BODY,
    "folded line": head("X-One: a\r\n b", SIZE) + BODY,
    "line feed alone": head(SIZE).replace(b"\r\n", b"\n") + BODY,
    "return alone": head("X-One: a\rTransfer-Encoding: chunked", SIZE) + BODY,
    "zero byte in a value": head("X-One: a\0b", SIZE) + BODY,
    "chunked not last": head("Transfer-Encoding: chunked, identity") + CHUNKED,
    "chunked misspelt": head("Transfer-Encoding: xchunked") + CHUNKED,
    "chunk size without digits": head("Transfer-Encoding: chunked") + b"zz\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk longer than its size": head("Transfer-Encoding: chunked") + b"5\r\n" + BODY + b"\r\n0\r\n\r\n",
    "no host": head(SIZE).replace(b"Host: shop\r\n", b"") + BODY,
    "two hosts": head(SIZE, "Host: other") + BODY,
    "the same host twice": head(SIZE, "host: shop") + BODY,
    "chunked in HTTP/1.0": head("Transfer-Encoding: chunked").replace(b"HTTP/1.1", b"HTTP/1.0") + CHUNKED,
    "chunked twice": head("Transfer-Encoding: chunked, chunked") + CHUNKED,
    "chunked twice in two lines": head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + CHUNKED,
    "coding without chunked": head("Transfer-Encoding: gzip") + CHUNKED,
    "two keys": head(SIZE, "Authorization: Bearer other") + BODY,
    "two idempotency keys": head(SIZE, "Idempotency-Key: a", "Idempotency-Key: b") + BODY,
    "two webhook ids": head(SIZE, "webhook-id: a", "Webhook-Id: b") + BODY,
    "two ids of one CloudEvent": head(SIZE, "ce-id: a", "ce-id: b") + BODY,
    "two content types": head(SIZE, "Content-Type: text/plain") + BODY,
    "two content encodings": head(SIZE, "Content-Encoding: identity", "Content-Encoding: gzip") + BODY,
    "HTTP/2.0 in the form of HTTP/1": head(SIZE).replace(b"HTTP/1.1", b"HTTP/2.0") + BODY,
    "no such version": head(SIZE).replace(b"HTTP/1.1", b"HTTP/1.10") + BODY,
}


@pytest.mark.parametrize("request_bytes", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
async def test_ambiguous_request_is_refused_and_the_connection_closed(
    api: Api, caller: Caller, request_bytes: bytes
) -> None:
    caller.writer.write(request_bytes + SMUGGLED)
    answer = await caller.ended()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"\r\ncontent-type: application/problem+json\r\n" in answer
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert await stored(api) == 0


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate", "gzip, gzip"])
async def test_compressed_body_is_refused(api: Api, caller: Caller, encoding: str) -> None:
    await caller.send(head(SIZE, f"Content-Encoding: {encoding}", "Connection: close") + BODY)
    status, headers, body = await caller.answer()
    problem = msgspec.json.decode(body)

    assert (status, headers["content-type"]) == (415, "application/problem+json")
    assert (problem["status"], problem["title"]) == (415, "Unsupported media type")
    assert "ompressed" in problem["detail"]
    assert await stored(api) == 0


async def test_expect_100_continue_is_answered_and_the_event_accepted(api: Api, caller: Caller) -> None:
    caller.writer.write(head(SIZE, "Expect: 100-continue", "Connection: close"))
    assert (await caller.answer())[0] == 100
    caller.writer.write(BODY)
    assert (await caller.ended()).startswith(b"HTTP/1.1 202 ")
    assert await stored(api) == 1


@pytest.mark.parametrize(
    "start",
    [head("Content-Length: 1000000000", "Expect: 100-continue"), head(f"Content-Length: {BODY_MAX + 1}") + b"{"],
    ids=["before it is sent", "before it has come"],
)
async def test_declared_body_that_is_too_large_is_refused_unread(caller: Caller, start: bytes) -> None:
    caller.writer.write(start)  # no more of the body comes
    answer = await caller.ended()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert b" 100 " not in answer


async def test_chunked_body_that_grows_too_large_is_refused_before_its_end(caller: Caller) -> None:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    caller.writer.write(head("Transfer-Encoding: chunked") + chunk * 5)
    assert (await caller.ended()).startswith(b"HTTP/1.1 413 ")


async def test_chunked_body_without_end_is_cut_off_and_nothing_is_stored(api: Api, caller: Caller) -> None:
    caller.writer.write(head("Transfer-Encoding: chunked"))
    with pytest.raises(ConnectionError):  # closed on us while we still write
        await dribble(caller.writer)
    assert await stored(api) == 0


async def dribble(writer: asyncio.StreamWriter) -> None:
    for _ in range(10_000):
        writer.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0)  # the server lives on this loop too


INNER = b"GET /healthz HTTP/1.1\r\nHost: inner\r\n\r\n"
LAST = b"GET /readyz HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"
UPGRADE = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAB")


def statuses(answers: bytes) -> list[int]:
    """Return the statuses of all answers of a connection."""
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize(("body", "status"), [(INNER, 400), (BODY, 202)], ids=["a request inside", "an event"])
async def test_upgrade_header_is_ignored_wherever_the_request_is_cut(api: Api, body: bytes, status: int) -> None:
    whole = request(body, *UPGRADE)
    head_size = len(whole) - len(body)
    in_head = [(whole[:cut], whole[cut:head_size], body) for cut in range(1, head_size + 1)]
    for pieces in ((whole,), (whole[:-20], whole[-20:]), *in_head):
        async with connected(api) as caller:
            await caller.send(*pieces, LAST)
            assert statuses(await caller.ended()) == [status, 200], pieces


async def test_upgrade_header_after_other_requests_is_ignored(api: Api) -> None:
    async with connected(api) as caller:
        await caller.send(INNER + request(INNER, *UPGRADE) + request(BODY, *UPGRADE) + request(INNER, *UPGRADE)[:-5])
        await caller.send(INNER[-5:] + LAST)
        assert statuses(await caller.ended()) == [200, 400, 202, 400, 200]


async def test_upgrade_header_with_a_chunked_body_is_ignored(api: Api, caller: Caller) -> None:
    caller.writer.write(head(*UPGRADE, "Transfer-Encoding: chunked") + CHUNKED + LAST)
    assert statuses(await caller.ended()) == [202, 200]


async def test_connect_is_refused_and_nothing_after_it_is_read(api: Api, caller: Caller) -> None:
    caller.writer.write(b"CONNECT shop:80 HTTP/1.1\r\nHost: shop\r\n\r\n" + INNER)
    assert statuses(await caller.ended()) == [501]


async def test_unsupported_transfer_coding_is_refused_and_the_connection_closed(api: Api, caller: Caller) -> None:
    caller.writer.write(head("Transfer-Encoding: gzip, chunked") + CHUNKED + INNER)
    assert statuses(await caller.ended()) == [501]
    assert await stored(api) == 0


async def test_host_may_be_missing_in_http_1_0(api: Api, caller: Caller) -> None:
    caller.writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
    assert statuses(await caller.ended()) == [200]


START = b"POST /v1/events HTTP/1.1\r\nHost: shop\r\n"
LARGE = b"x" * (HEAD_MAX + 1)
TOO_LARGE = {
    "many fields": (431, START + b"a:b\r\n" * FIELDS_MAX),
    "a long value": (431, START + b"a: " + LARGE),
    "a long value to its end": (431, START + b"a: " + LARGE + b"\r\n\r\n"),
    "a long name": (431, START + LARGE),
    "long fields together": (431, START + (b"a: " + LARGE[: HEAD_MAX // 2] + b"\r\n") * 2 + b"\r\n"),
    "a long address": (414, b"GET /" + LARGE[:URL_MAX]),
    "a long address to its end": (414, b"GET /" + LARGE[:URL_MAX] + b" HTTP/1.1\r\nHost: shop\r\n\r\n"),
    "a whole request's many fields": (431, request(BODY, *["a: b"] * FIELDS_MAX)),
    "a whole request's long value": (431, request(BODY, "a: " + "x" * HEAD_MAX)),
}


@pytest.mark.parametrize("piece_size", [1_000, 2**20], ids=["in pieces", "at once"])
@pytest.mark.parametrize(("status", "large"), TOO_LARGE.values(), ids=TOO_LARGE.keys())
async def test_head_that_is_too_large_is_refused_and_the_connection_closed(
    api: Api, status: int, large: bytes, piece_size: int
) -> None:
    async with connected(api) as caller:
        await caller.send(*[large[start : start + piece_size] for start in range(0, len(large), piece_size)], LARGE * 4)
        answer = await caller.ended()
    assert statuses(answer) == [status]
    assert b"\r\ncontent-type: application/problem+json\r\n" in answer
    assert await stored(api) == 0


async def test_head_within_the_limits_is_accepted(api: Api) -> None:
    fields = [f"x-{number}: {'y' * 500}" for number in range(FIELDS_MAX - 4)]
    async with connected(api) as caller:
        await caller.send(request(BODY, *fields))
        await caller.send(request(BODY, *fields), *[request(BODY, *fields)])
        assert [(await caller.answer())[0] for _ in range(3)] == [202] * 3


@pytest.mark.parametrize(
    "end",
    [b"a:b\r\n" * (FIELDS_MAX + 1), b"a: " + LARGE * 5, b"a: " + LARGE + b"\r\n", b"5;" + LARGE * 5],
    ids=["many fields", "a value without end", "a long value", "an extension of a chunk"],
)
@pytest.mark.parametrize("key", [ADMIN_KEY, "wrong"])
async def test_trailers_that_are_too_large_are_refused(api: Api, end: bytes, key: str) -> None:
    start = head("Transfer-Encoding: chunked").replace(ADMIN_KEY.encode(), key.encode())
    async with connected(api) as caller:
        await caller.send(start + (b"" if end.startswith(b"5;") else CHUNKED[:-2]), end, LARGE)
        assert statuses(await caller.ended()) == [431 if key == ADMIN_KEY else 401]
    assert await stored(api) == 0


@pytest.mark.parametrize("pieces", [1, 2])
async def test_trailers_are_not_read_as_headers(api: Api, pieces: int) -> None:
    """Whatever they say: neither a key nor a name nor a coding is taken from there."""
    trailers = b"Idempotency-Key: late\r\nContent-Encoding: gzip\r\nAuthorization: Bearer wrong\r\nHost: other\r\n\r\n"
    whole = head("Transfer-Encoding: chunked") + CHUNKED[:-2] + trailers
    cut = whole.index(b"{") if pieces == 2 else 0
    async with connected(api) as caller:
        await caller.send(whole[:cut], whole[cut:])
        status, _, body = await caller.answer()
        without_key = whole.replace(f"Authorization: Bearer {ADMIN_KEY}\r\n".encode(), b"", 1)
        await caller.send(without_key.replace(b"Bearer wrong", f"Bearer {ADMIN_KEY}".encode()))
        assert (status, (await caller.answer())[0]) == (202, 401)
    event = (await api.admin.get(f"/v1/events/{msgspec.json.decode(body)['id']}")).json()
    assert event["idempotency_key"] is None


async def test_unreadable_requests_are_counted_and_not_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    for bad in (b"no HTTP\r\n\r\n", request(INNER, *UPGRADE), START + b"a:b\r\n" * (FIELDS_MAX + 1)):
        async with connected(api) as caller:
            await caller.send(bad)
            assert (await caller.answer())[0] in {400, 431}
    assert [record.message for record in caplog.records if record.levelno >= logging.INFO] == []
    assert "commerce_event_unreadable_requests_total 2.0" in (await api.admin.get("/metrics")).text.splitlines()


async def test_caller_refused_while_sending_still_reads_the_answer(api: Api) -> None:
    async with connected(api) as caller:
        for _ in range(20):
            caller.writer.write(START + LARGE * 16)
            await caller.writer.drain()
        assert statuses(await caller.ended()) == [431]


async def test_caller_that_keeps_sending_after_a_refusal_is_closed(api: Api) -> None:
    async with connected(api) as caller:
        with pytest.raises(ConnectionError):
            await flood(caller)


async def flood(caller: Caller) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            caller.writer.write(LARGE * 16)
            await caller.writer.drain()
            await asyncio.sleep(0)


async def test_search_is_cancelled_when_its_caller_closes_the_connection(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def endless(*_: object) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    monkeypatch.setattr(api.node.store.history, "events", endless)
    async with connected(api) as caller:
        caller.writer.write(
            b"GET /v1/events?q=x HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer %b\r\n\r\n" % ADMIN_KEY.encode()
        )
        async with asyncio.timeout(60):
            await began.wait()
            assert not cancelled.is_set()
            caller.writer.close()
            await cancelled.wait()
