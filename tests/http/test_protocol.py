"""The two ways into the server: whatever way a request takes, it is answered alike and in order."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from api_server import ADMIN_KEY, DEADLINE_S, Api
from caller import BODY, Caller, connected, request

from commerce_event.http.protocol import HttpProtocol


@pytest.fixture
async def caller(api: Api) -> AsyncIterator[Caller]:
    async with connected(api) as caller:
        yield caller


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every piece that went the short way."""
    taken: list[bytes] = []
    take = HttpProtocol._take

    def noting(self: HttpProtocol, data: bytes) -> bool:
        went = take(self, data)
        if went:
            taken.append(data)
        return went

    monkeypatch.setattr(HttpProtocol, "_take", noting)
    return taken


async def accepted(api: Api) -> int:
    return len((await api.admin.get("/v1/events")).json()["items"])


async def test_whole_event_goes_the_short_way_and_is_answered_like_any_other(
    caller: Caller, api: Api, short: list[bytes]
) -> None:
    await caller.send(request())
    status, headers, body = await caller.answer()
    await caller.send(request()[:40], request()[40:])
    slow_status, slow_headers, slow_body = await caller.answer()

    assert len(short) == 1
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
async def test_refusal_is_the_same_problem_on_both_ways(
    caller: Caller, short: list[bytes], piece: bytes, expected: int
) -> None:
    await caller.send(piece)
    status, headers, body = await caller.answer()
    await caller.send(piece[:40], piece[40:])
    slow_status, slow_headers, slow_body = await caller.answer()

    assert len(short) == 1
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
async def test_unusual_request_goes_the_long_way_and_is_accepted_once(
    caller: Caller, api: Api, short: list[bytes], piece: bytes
) -> None:
    await caller.send(piece)
    status, headers, _ = await caller.answer()
    while status == 100:
        status, headers, _ = await caller.answer()

    assert not short
    assert status == 202
    assert headers["content-type"] == "application/json"
    assert await accepted(api) == 1


async def test_wish_for_another_protocol_is_not_heard_and_the_event_is_accepted(caller: Caller, api: Api) -> None:
    wish = request(BODY, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAB")

    await caller.send(wish)
    await caller.send(wish[:-20], wish[-20:])
    statuses = [(await caller.answer())[0] for _ in range(2)]

    assert statuses == [202, 202]


async def test_body_over_the_limit_is_refused_with_413(caller: Caller, api: Api, short: list[bytes]) -> None:
    await caller.send(request(b'{"a":"' + b"x" * api.node.settings.max_body + b'"}'))

    assert (await caller.answer())[0] == 413
    assert not short


async def test_requests_sent_without_waiting_are_answered_in_order(caller: Caller, api: Api) -> None:
    good, bad = request(), request(b"{")

    await caller.send(good, bad, good + bad, good)
    statuses = [(await caller.answer())[0] for _ in range(5)]

    assert statuses == [202, 400, 202, 400, 202]
    assert await accepted(api) == 3


async def test_requests_sent_one_by_one_without_waiting_are_all_answered(
    caller: Caller, api: Api, short: list[bytes]
) -> None:
    await caller.send(*[request()] * 3)
    for _ in range(3):
        assert (await caller.answer())[0] == 202
    await caller.send(*[request()] * 3)
    statuses = [(await caller.answer())[0] for _ in range(3)]

    assert statuses == [202] * 3
    assert short
    assert await accepted(api) == 6


async def test_bytes_inside_another_request_are_never_taken_for_one(
    caller: Caller, api: Api, short: list[bytes]
) -> None:
    inner = request()
    head = f"POST /v1/events HTTP/1.1\r\nHost: shop\r\nContent-Type: text/plain\r\nContent-Length: {len(inner)}\r\n\r\n"

    await caller.send(head.encode(), inner)
    status, _, _ = await caller.answer()

    assert status in {401, 415}
    assert not short
    assert await accepted(api) == 0


async def test_head_continued_by_what_looks_like_a_request_is_one_bad_request(
    caller: Caller, api: Api, short: list[bytes]
) -> None:
    await caller.send(b"GET /healthz HTTP/1.1\r\nX-Name: ", request())
    caller.writer.write_eof()
    await caller.ended()

    assert not short
    assert await accepted(api) == 0


async def test_request_being_answered_at_shutdown_is_answered_and_then_closed(
    caller: Caller, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections: list[HttpProtocol] = []
    take = HttpProtocol._take

    def and_shut_down(self: HttpProtocol, data: bytes) -> bool:
        went = take(self, data)
        self.shutdown()
        connections.append(self)
        return went

    monkeypatch.setattr(HttpProtocol, "_take", and_shut_down)
    await caller.send(request())
    status, headers, _ = await caller.answer()

    assert status == 202
    assert headers["connection"] == "close"
    assert await caller.ended() == b""


async def test_caller_that_leaves_before_the_answer_harms_nobody(caller: Caller, api: Api) -> None:
    caller.writer.write(request())
    await caller.writer.drain()
    caller.writer.transport.abort()
    async with asyncio.timeout(DEADLINE_S):
        while await accepted(api) < 1:
            await asyncio.sleep(0)

    assert (await api.publish())["duplicate"] is False


async def test_who_waits_for_one_answer_never_gets_the_refusal_of_the_next_request_for_it(
    caller: Caller, api: Api
) -> None:
    endpoint = await api.endpoint()
    api.receiver.hold()
    await caller.send(request(b"", path=f"/v1/endpoints/{endpoint['id']}/test"))
    await api.until_arrived(1)

    await caller.send(b"POST /v1/events HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    said = await caller.ended()
    api.receiver.let_go()

    assert said == b""
