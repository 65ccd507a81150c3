"""What a caller of our API may not do with a connection, on real sockets."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from api_server import ADMIN_KEY, DEADLINE_S, Api, example

BODY = msgspec.json.encode(example())
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


async def said(reader: asyncio.StreamReader) -> bytes:
    """Return all that comes until the server closes."""
    async with asyncio.timeout(DEADLINE_S):
        return await reader.read()


async def stored(api: Api) -> int:
    return len((await api.admin.get("/v1/events")).json()["items"])


@pytest.fixture
async def line(api: Api) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    yield reader, writer
    writer.close()


Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]

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
    "chunk size in no digits": head("Transfer-Encoding: chunked") + b"zz\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk longer than told": head("Transfer-Encoding: chunked") + b"5\r\n" + BODY + b"\r\n0\r\n\r\n",
    "no such version": head(SIZE).replace(b"HTTP/1.1", b"HTTP/1.10") + BODY,
}


@pytest.mark.parametrize("request_bytes", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
async def test_a_request_that_two_servers_could_read_differently_is_refused_and_the_connection_closed(
    api: Api, line: Line, request_bytes: bytes
) -> None:
    reader, writer = line
    writer.write(request_bytes + SMUGGLED)
    answer = await said(reader)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"\r\ncontent-type: application/problem+json\r\n" in answer
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert await stored(api) == 0


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate", "gzip, gzip"])
async def test_a_packed_body_is_refused_unread(api: Api, line: Line, encoding: str) -> None:
    reader, writer = line
    writer.write(head(SIZE, f"Content-Encoding: {encoding}", "Connection: close") + BODY)
    assert (await said(reader)).startswith(b"HTTP/1.1 415 ")
    assert await stored(api) == 0


async def test_who_waits_to_be_told_to_go_on_is_told_and_the_event_is_accepted(api: Api, line: Line) -> None:
    reader, writer = line
    writer.write(head(SIZE, "Expect: 100-continue", "Connection: close"))
    async with asyncio.timeout(DEADLINE_S):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
    writer.write(BODY)
    assert (await said(reader)).startswith(b"HTTP/1.1 202 ")
    assert await stored(api) == 1


async def test_a_body_told_to_be_too_large_is_refused_before_it_is_sent(api: Api, line: Line) -> None:
    reader, writer = line
    writer.write(head("Content-Length: 1000000000", "Expect: 100-continue"))
    answer = await said(reader)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b" 100 " not in answer


async def test_a_chunked_body_that_never_ends_is_not_read_on_and_nothing_is_stored(api: Api, line: Line) -> None:
    _, writer = line
    writer.write(head("Transfer-Encoding: chunked"))
    with pytest.raises(ConnectionError):  # closed on us while we still write
        await dribble(writer)
    assert await stored(api) == 0


async def dribble(writer: asyncio.StreamWriter) -> None:
    for _ in range(10_000):
        writer.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0)  # the server lives on this loop too
