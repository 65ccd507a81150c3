"""The fast path: complete requests take it, all others go through ASGI, and both get the same answers."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from api_server import ADMIN_KEY, Api, running_api
from raw_client import BODY, Caller, connected, request, stored

from commerce_event.http import uvicorn_server
from commerce_event.http.fast_path import FastPathProtocol
from commerce_event.http.protocol import HttpProtocol
from commerce_event.http.request_head import HEAD_MAX


@pytest.fixture
async def caller(api: Api) -> AsyncIterator[Caller]:
    async with connected(api) as caller:
        yield caller


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Record the requests that took the fast path."""
    recorded: list[bytes] = []
    take = FastPathProtocol._take

    def record(self: FastPathProtocol, data: bytes) -> bool:
        taken = take(self, data)
        if taken:
            recorded.append(data)
        return taken

    monkeypatch.setattr(FastPathProtocol, "_take", record)
    return recorded


async def test_whole_request_takes_the_fast_path_and_gets_the_same_answer(
    caller: Caller, api: Api, fast: list[bytes]
) -> None:
    await caller.send(request())
    status, headers, body = await caller.answer()
    await caller.send(request()[:40], request()[40:])
    slow_status, slow_headers, slow_body = await caller.answer()

    assert len(fast) == 1
    assert status == slow_status == 202
    assert set(headers) == set(slow_headers)
    assert {k: v for k, v in headers.items() if k != "date"} == {k: v for k, v in slow_headers.items() if k != "date"}
    assert set(msgspec.json.decode(body)) == set(msgspec.json.decode(slow_body)) == {"id", "duplicate", "deliveries"}


@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        (request(b"{"), 400),
        (request(b'{"ClientId":"x"}'), 422),
        (request(path="/v1/events/NoSuchEvent"), 404),
        (request(BODY, "Content-Encoding: gzip"), 415),
        (request(BODY, "Idempotency-Key: " + "k" * 300), 400),
        (request().replace(ADMIN_KEY.encode(), b"wrong"), 401),
    ],
    ids=["no JSON", "breaks the contract", "unknown type", "compressed", "bad key", "not signed in"],
)
async def test_refusal_is_the_same_on_both_paths(
    caller: Caller, fast: list[bytes], piece: bytes, expected: int
) -> None:
    await caller.send(piece)
    status, headers, body = await caller.answer()
    await caller.send(piece[:40], piece[40:])
    slow_status, slow_headers, slow_body = await caller.answer()

    assert len(fast) == 1
    assert (status, body) == (slow_status, slow_body)
    assert status == expected
    assert set(headers) == set(slow_headers)
    assert headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "piece",
    [
        request(BODY, "Expect: 100-continue"),
        request(path="/v1/events/OrderConfirmedEvent?x=1"),
        request(path="/v1/events/Order%43onfirmedEvent"),
        request(version="1.0"),
        request(BODY, "Connection: close"),
    ],
    ids=["expects 100", "query", "escaped path", "HTTP/1.0", "closes"],
)
async def test_unusual_request_goes_through_asgi_and_is_accepted_once(
    caller: Caller, api: Api, fast: list[bytes], piece: bytes
) -> None:
    await caller.send(piece)
    status, headers, _ = await caller.answer()
    while status == 100:
        status, headers, _ = await caller.answer()

    assert not fast
    assert status == 202
    assert headers["content-type"] == "application/json"
    assert await stored(api) == 1


async def test_body_over_the_limit_goes_through_asgi_and_is_refused_with_413(
    caller: Caller, api: Api, fast: list[bytes]
) -> None:
    await caller.send(request(b'{"a":"' + b"x" * api.node.settings.max_body + b'"}'))

    assert (await caller.answer())[0] == 413
    assert not fast


async def test_requests_sent_one_by_one_without_waiting_are_all_answered(
    caller: Caller, api: Api, fast: list[bytes]
) -> None:
    await caller.send(*[request()] * 3)
    for _ in range(3):
        assert (await caller.answer())[0] == 202
    await caller.send(*[request()] * 3)
    statuses = [(await caller.answer())[0] for _ in range(3)]

    assert statuses == [202] * 3
    assert fast
    assert await stored(api) == 6


async def test_request_inside_the_body_of_another_is_never_accepted(
    caller: Caller, api: Api, fast: list[bytes]
) -> None:
    inner = request()
    head = f"POST /v1/events HTTP/1.1\r\nHost: shop\r\nContent-Type: text/plain\r\nContent-Length: {len(inner)}\r\n\r\n"

    await caller.send(head.encode(), inner)
    status, _, _ = await caller.answer()

    assert status in {401, 415}
    assert not fast
    assert await stored(api) == 0


async def test_request_inside_the_head_of_another_is_never_accepted(
    caller: Caller, api: Api, fast: list[bytes]
) -> None:
    await caller.send(b"GET /healthz HTTP/1.1\r\nX-Name: ", request())
    caller.writer.write_eof()
    await caller.ended()

    assert not fast
    assert await stored(api) == 0


async def test_request_taken_before_shutdown_is_answered_and_then_closed(
    caller: Caller, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = FastPathProtocol._take

    def take_and_shut_down(self: FastPathProtocol, data: bytes) -> bool:
        taken = take(self, data)
        self.shutdown()
        return taken

    monkeypatch.setattr(FastPathProtocol, "_take", take_and_shut_down)
    await caller.send(request())
    status, headers, _ = await caller.answer()

    assert status == 202
    assert headers["connection"] == "close"
    assert await caller.ended() == b""


async def test_caller_whose_event_is_being_stored_is_never_closed(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = FastPathProtocol._take

    def take_and_check(self: FastPathProtocol, data: bytes) -> bool:
        taken = take(self, data)
        self.check_timeouts(self.loop.time() + 1_000)
        return taken

    monkeypatch.setattr(FastPathProtocol, "_take", take_and_check)
    await caller.send(request())

    assert (await caller.answer())[0] == 202


async def test_server_without_fast_path_accepts_and_delivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn_server, "FastPathProtocol", HttpProtocol)
    async with running_api(tmp_path) as api, connected(api) as caller:
        await api.endpoint()
        await caller.send(request())
        status, _, body = await caller.answer()
        [arrival] = await api.until_arrived(1)
        await caller.send(request(b"{"), request(BODY, "a: " + "x" * HEAD_MAX))
        refusals = [(await caller.answer())[0] for _ in range(2)]

        assert [type(each) for each in api.connections] == [HttpProtocol] * len(api.connections)
        assert (status, refusals) == (202, [400, 431])
        assert arrival.headers["webhook-id"] == msgspec.json.decode(body)["id"]
        assert await stored(api) == 1
