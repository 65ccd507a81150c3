"""Connections: idle and slow callers, their number, the order of answers. On real sockets; tests set the time."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
from api_server import DEADLINE_S, Api, running_api
from raw_client import BODY, Caller, connected, request, stored

from commerce_event.http.protocol import HttpProtocol, Limits

BOTH_WAYS = pytest.mark.parametrize("cut", [0, 40], ids=["in one piece", "in two pieces"])
GET_LONG = b"GET /openapi.json HTTP/1.1\r\nHost: shop\r\n\r\n"


@pytest.fixture
async def caller(api: Api) -> AsyncIterator[Caller]:
    async with connected(api) as caller:
        yield caller


async def served(api: Api, caller: Caller) -> HttpProtocol:
    """Return the server's end of a connection."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            for each in api.connections:
                if each.client == caller.address:
                    return each
            await asyncio.sleep(0)


def later(connection: HttpProtocol, seconds: float) -> None:
    """Check the timeouts of a connection as if so many seconds had passed."""
    connection.check_timeouts(connection.loop.time() + seconds)


async def test_connection_without_a_request_is_closed_after_75_seconds(api: Api, caller: Caller) -> None:
    connection = await served(api, caller)
    later(connection, 74)
    assert not connection.transport.is_closing()

    later(connection, 76)

    assert await caller.ended() == b""


@BOTH_WAYS
async def test_connection_after_an_answer_is_closed_after_75_idle_seconds(api: Api, caller: Caller, cut: int) -> None:
    await caller.send(request()[:cut], request()[cut:])
    assert (await caller.answer())[0] == 202
    connection = await served(api, caller)
    later(connection, 74)
    assert not connection.transport.is_closing()

    later(connection, 76)

    assert await caller.ended() == b""


async def test_head_that_does_not_end_is_refused_after_10_seconds(api: Api, caller: Caller) -> None:
    connection = await served(api, caller)
    await caller.send(request()[:40], request()[40:60])
    later(connection, 9)
    assert not connection.transport.is_closing()

    later(connection, 11)
    status, headers, body = await caller.answer()

    assert status == 408
    assert headers["connection"] == "close"
    assert headers["content-type"] == "application/problem+json"
    assert msgspec.json.decode(body)["title"] == "Request too slow"
    assert await caller.ended() == b""


async def test_body_of_an_answered_request_that_does_not_end_closes_after_60_seconds(api: Api, caller: Caller) -> None:
    await caller.send(b"GET /healthz HTTP/1.1\r\nHost: shop\r\nContent-Length: 9\r\n\r\nhalf")
    assert (await caller.answer())[0] == 200
    connection = await served(api, caller)
    later(connection, 59)
    assert not connection.transport.is_closing()

    later(connection, 61)

    assert await caller.ended() == b""


async def test_caller_that_waits_for_an_answer_is_never_closed(api: Api, caller: Caller) -> None:
    endpoint = await api.endpoint()
    api.receiver.hold()
    await caller.send(request(b"", path=f"/v1/endpoints/{endpoint['id']}/test"))
    await api.until_arrived(1)

    later(await served(api, caller), 1_000)
    api.receiver.release()

    assert (await caller.answer())[0] == 200


async def test_caller_that_does_not_read_answers_is_closed_after_30_seconds(api: Api) -> None:
    narrow = socket.create_connection(("127.0.0.1", api.port))
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    caller = Caller(*await asyncio.open_connection(sock=narrow))
    caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
    connection = await served(api, caller)
    async with asyncio.timeout(DEADLINE_S):
        while connection._write_paused_since is None:
            await caller.send(GET_LONG)
    later(connection, 29)
    assert connection in api.connections

    later(connection, 31)

    async with asyncio.timeout(DEADLINE_S):
        while connection in api.connections:
            await asyncio.sleep(0)
    caller.writer.close()


async def test_connection_beyond_the_limit_is_refused_with_503(tmp_path: Path) -> None:
    async with running_api(tmp_path, limits=Limits(max_connections=3)) as api, AsyncExitStack() as callers:
        for _ in range(3):
            await served(api, await callers.enter_async_context(connected(api)))
        newcomer = await callers.enter_async_context(connected(api))
        status, headers, body = await newcomer.answer()

        assert status == 503
        assert headers["retry-after"] == "1"
        assert "connections" in msgspec.json.decode(body)["detail"]
        assert await newcomer.ended() == b""


async def test_connection_beyond_the_limit_replaces_the_longest_idle_one(tmp_path: Path) -> None:
    async with running_api(tmp_path, limits=Limits(max_connections=3)) as api, AsyncExitStack() as callers:
        there = [await callers.enter_async_context(connected(api)) for _ in range(3)]
        connections = [await served(api, each) for each in there]
        connections[0]._since -= 5
        connections[1]._since -= 9
        newcomer = await callers.enter_async_context(connected(api))

        assert await there[1].ended() == b""
        for caller in (there[0], there[2], newcomer):
            await caller.send(request())
            assert (await caller.answer())[0] == 202


@BOTH_WAYS
async def test_caller_that_sends_eof_after_a_whole_request_is_answered(api: Api, caller: Caller, cut: int) -> None:
    await caller.send(request()[:cut])
    caller.writer.write(request()[cut:])
    caller.writer.write_eof()

    assert (await caller.answer())[0] == 202
    assert await caller.ended() == b""
    assert await stored(api) == 1


@pytest.mark.parametrize("leave", ["write_eof", "close"])
async def test_caller_that_leaves_within_a_request_stores_nothing(api: Api, caller: Caller, leave: str) -> None:
    await caller.send(request()[: -len(BODY) // 2])
    getattr(caller.writer, leave)()

    assert await caller.ended() == b""
    assert await stored(api) == 0


async def test_pipelined_requests_are_answered_in_order(caller: Caller, api: Api) -> None:
    good, bad = request(), request(b"{")

    await caller.send(good, bad, good + bad, good)
    statuses = [(await caller.answer())[0] for _ in range(5)]

    assert statuses == [202, 400, 202, 400, 202]
    assert await stored(api) == 3


async def test_caller_that_leaves_before_the_answer_has_its_event_stored(caller: Caller, api: Api) -> None:
    caller.writer.write(request())
    await caller.writer.drain()
    caller.writer.transport.abort()
    async with asyncio.timeout(DEADLINE_S):
        while await stored(api) < 1:
            await asyncio.sleep(0)

    assert (await api.publish())["duplicate"] is False


async def test_refusal_of_a_pipelined_request_is_never_sent_as_an_earlier_answer(caller: Caller, api: Api) -> None:
    endpoint = await api.endpoint()
    api.receiver.hold()
    await caller.send(request(b"", path=f"/v1/endpoints/{endpoint['id']}/test"))
    await api.until_arrived(1)

    await caller.send(b"POST /v1/events HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    said = await caller.ended()
    api.receiver.release()

    assert said == b""


async def test_request_whose_body_does_not_end_is_refused_at_shutdown(api: Api, caller: Caller) -> None:
    await caller.send(request()[:-1])
    connection = await served(api, caller)
    connection.shutdown()
    connection.refuse_incomplete()
    status, headers, body = await caller.answer()
    assert (status, headers["retry-after"].isdigit()) == (503, True)
    assert b"shutting down" in body
    assert await stored(api) == 0


async def test_request_whose_head_ends_after_shutdown_began_is_refused(api: Api, caller: Caller) -> None:
    raw = request()
    await caller.send(raw[:20])
    connection = await served(api, caller)
    connection.shutdown()
    await caller.send(raw[20:])
    status, headers, body = await caller.answer()
    assert (status, headers["retry-after"].isdigit(), headers["connection"]) == (503, True, "close")
    assert b"shutting down" in body
    assert await caller.ended() == b""
    assert await stored(api) == 0


async def test_request_that_has_arrived_is_answered_at_shutdown(api: Api, caller: Caller) -> None:
    await caller.send(request())
    connection = await served(api, caller)
    connection.shutdown()
    connection.refuse_incomplete()
    assert (await caller.answer())[0] == 202
