"""The client of a check against receivers that answer in bad faith. Real sockets."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from commerce_event.receiver_check.http_client import HttpClient, UnreachableError
from commerce_event.receiver_check.model import Answer, Request

pytestmark = pytest.mark.integration

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
POST = Request(headers=(("content-type", "application/json"),), body=b'{"ClientId":1}')


@asynccontextmanager
async def listening(handle: Serve) -> AsyncIterator[str]:
    """Serve each connection with a function."""
    tasks: set[asyncio.Task[None]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(run(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[str]:
    """Serve each connection with a function, after its request was read."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(size or 0))
        await serve(reader, writer)

    async with listening(handle) as url:
        yield url


def answering(raw: bytes) -> Serve:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return serve


async def sent(serve: Serve, request: Request = POST, timeout_s: float = 30.0) -> Answer:
    async with serving(serve) as url, HttpClient(url, timeout_s, {"trust_env": False}) as client:
        return await client.send(request)


async def test_answer_has_status_and_reason() -> None:
    answer = await sent(answering(b"HTTP/1.1 422 Unprocessable\r\ncontent-length: 16\r\n\r\n" + b'{"reason": "no"}'))

    assert (answer.status, answer.reason, answer.error) == (422, "no", "")


async def test_control_characters_of_an_answer_are_removed() -> None:
    answer = await sent(answering(b"HTTP/1.1 500 \x1b[31m\r\nconnection: close\r\n\r\n\x1b[2J\x07\x9b31mred\r\n"))

    assert str(answer).isprintable()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(status: int) -> None:
    calls = 0

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        writer.write(b"HTTP/1.1 %d Moved\r\nlocation: /\x1b[31melsewhere\r\ncontent-length: 0\r\n\r\n" % status)

    answer = await sent(serve)

    assert calls == 1
    assert answer.status == status
    assert answer.reason.startswith("a redirect to /")
    assert answer.reason.isprintable()


async def test_endless_body_is_not_read_to_its_end() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    answer = await sent(serve)

    assert answer.is_success
    assert len(answer.reason) == 200


async def test_endless_headers_are_no_answer() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"x-more: " + b"x" * 4_000 + b"\r\n")
            await writer.drain()

    answer = await sent(serve)

    assert answer.status is None
    assert answer.error


async def test_silent_receiver_ends_at_the_timeout() -> None:
    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    answer = await sent(serve, timeout_s=0.2)

    assert answer.error == "it took longer than 0.2 s"


async def test_body_that_trickles_ends_at_the_timeout() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    answer = await sent(serve, timeout_s=0.3)

    assert answer.status is None


@pytest.mark.parametrize("raw", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"])
async def test_answer_that_is_not_http_is_no_answer(raw: bytes) -> None:
    answer = await sent(answering(raw))

    assert answer.status is None
    assert answer.error


async def test_cookies_are_not_sent_back() -> None:
    heads = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n")

    async with listening(handle) as url, HttpClient(url, 30, {"trust_env": False}) as client:
        await client.send(POST)
        await client.send(POST)

    assert len(heads) == 2
    assert b"cookie" not in heads[1].lower()


async def test_slow_body_arrives_in_pieces_with_its_length() -> None:
    reads: list[bytes] = []
    head = b""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal head
        head = await reader.readuntil(b"\r\n\r\n")
        while sum(map(len, reads)) < 100:
            reads.append(await reader.read(1_000))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async with listening(handle) as url, HttpClient(url, 30, {"trust_env": False}) as client:
        answer = await client.send(Request(headers=(), body=b"x" * 100, send_s=0.5))

    assert answer.is_success
    assert b"content-length: 100\r\n" in head.lower()
    assert b"transfer-encoding" not in head.lower()
    assert len(reads) > 1


async def test_probe_of_a_closed_port_says_why() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    server.close()
    await server.wait_closed()

    async with HttpClient(url, 30, {"trust_env": False}) as client:
        with pytest.raises(UnreachableError, match="connection refused"):
            await client.probe()
        assert (await client.send(POST)).error == "connection refused"


async def test_connection_that_is_reset_says_so() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    assert (await sent(serve)).error == "connection reset by peer"
