"""Callers that keep a connection and do nothing with it, on real sockets; the time that has passed is told."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
from api_server import DEADLINE_S, Api, running_api
from caller import BODY, Caller, connected, request

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
    """Let a connection be looked after as if so many seconds had passed."""
    connection.look_after(connection.loop.time() + seconds)


async def stored(api: Api) -> int:
    return len((await api.admin.get("/v1/events")).json()["items"])


async def test_who_never_asks_for_anything_is_closed_after_75_seconds(api: Api, caller: Caller) -> None:
    connection = await served(api, caller)
    later(connection, 74)
    assert not connection.transport.is_closing()

    later(connection, 76)

    assert await caller.ended() == b""


@BOTH_WAYS
async def test_who_was_answered_may_be_quiet_for_75_seconds(api: Api, caller: Caller, cut: int) -> None:
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


async def test_body_nobody_waits_for_that_does_not_end_is_closed_after_60_seconds(api: Api, caller: Caller) -> None:
    await caller.send(b"GET /healthz HTTP/1.1\r\nHost: shop\r\nContent-Length: 9\r\n\r\nhalf")
    assert (await caller.answer())[0] == 200
    connection = await served(api, caller)
    later(connection, 59)
    assert not connection.transport.is_closing()

    later(connection, 61)

    assert await caller.ended() == b""


async def test_who_waits_for_an_answer_is_never_closed(api: Api, caller: Caller) -> None:
    endpoint = await api.endpoint()
    api.receiver.hold()
    await caller.send(request(b"", path=f"/v1/endpoints/{endpoint['id']}/test"))
    await api.until_arrived(1)

    later(await served(api, caller), 1_000)
    api.receiver.let_go()

    assert (await caller.answer())[0] == 200


async def test_whose_event_is_being_stored_is_never_closed(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    take = HttpProtocol._take

    def and_much_later(self: HttpProtocol, data: bytes) -> bool:
        went = take(self, data)
        later(self, 1_000)
        return went

    monkeypatch.setattr(HttpProtocol, "_take", and_much_later)
    await caller.send(request())

    assert (await caller.answer())[0] == 202


async def test_who_does_not_read_its_answers_is_cut_off_after_30_seconds(api: Api) -> None:
    narrow = socket.create_connection(("127.0.0.1", api.port))
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    caller = Caller(*await asyncio.open_connection(sock=narrow))
    caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
    connection = await served(api, caller)
    async with asyncio.timeout(DEADLINE_S):
        while connection._stuck_since is None:
            await caller.send(GET_LONG)
    later(connection, 29)
    assert connection in api.connections

    later(connection, 31)

    async with asyncio.timeout(DEADLINE_S):
        while connection in api.connections:
            await asyncio.sleep(0)
    caller.writer.close()


async def test_newcomer_beyond_the_most_is_told_to_come_back(tmp_path: Path) -> None:
    async with running_api(tmp_path, limits=Limits(most=3)) as api, AsyncExitStack() as callers:
        for _ in range(3):
            await served(api, await callers.enter_async_context(connected(api)))
        newcomer = await callers.enter_async_context(connected(api))
        status, headers, body = await newcomer.answer()

        assert status == 503
        assert headers["retry-after"] == "1"
        assert "connections" in msgspec.json.decode(body)["detail"]
        assert await newcomer.ended() == b""


async def test_newcomer_gets_the_place_of_who_dawdles_the_longest(tmp_path: Path) -> None:
    async with running_api(tmp_path, limits=Limits(most=3)) as api, AsyncExitStack() as callers:
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
async def test_who_sends_a_whole_event_and_ends_its_side_is_answered(api: Api, caller: Caller, cut: int) -> None:
    await caller.send(request()[:cut])
    caller.writer.write(request()[cut:])
    caller.writer.write_eof()

    assert (await caller.answer())[0] == 202
    assert await caller.ended() == b""
    assert await stored(api) == 1


async def test_who_ends_its_side_within_a_request_is_closed_and_nothing_is_stored(api: Api, caller: Caller) -> None:
    await caller.send(request()[: -len(BODY) // 2])
    caller.writer.write_eof()

    assert await caller.ended() == b""
    assert await stored(api) == 0
