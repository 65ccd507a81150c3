"""Read a body within its limits of size and time; close so that the caller can still read the answer."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce_event.core.problems import Problem
from commerce_event.http import asgi
from commerce_event.http.asgi import (
    ON_HALF_CLOSE,
    DisconnectedError,
    Message,
    answer_problem,
    check_encoding,
    read_body,
    until_gone,
)
from commerce_event.http.body_budget import BodyBudget

LIMIT = 10
TOO_LARGE = Problem(413, "Too large.", headers={"Connection": "close"})


class Caller:
    """Sends these pieces, then nothing more; keeps what it is answered."""

    def __init__(self, *pieces: bytes, ends: bool = True, leaves: bool = False) -> None:
        self._messages: list[Message] = [
            {"type": "http.request", "body": piece, "more_body": not ends or index < len(pieces) - 1}
            for index, piece in enumerate(pieces)
        ]
        if leaves:
            self._messages.append({"type": "http.disconnect"})
        self.answered: list[Message] = []

    async def receive(self) -> Message:
        if not self._messages:
            await asyncio.Event().wait()
        return self._messages.pop(0)

    async def send(self, message: Message) -> None:
        self.answered.append(message)

    @property
    def unsent(self) -> int:
        return len(self._messages)


async def status_of(caller: Caller, headers: dict[bytes, bytes] | None = None) -> tuple[int, dict[str, str]]:
    with pytest.raises(Problem) as raised:
        await read_body(caller.receive, headers or {}, LIMIT)
    return raised.value.status, raised.value.headers


@settings(max_examples=50)
@given(pieces=st.lists(st.binary(max_size=6), min_size=1, max_size=6))
def test_read_body_is_whole_or_refused_however_it_is_cut(pieces: list[bytes]) -> None:
    async def outcome() -> bytes | int:
        try:
            return await read_body(Caller(*pieces).receive, {}, LIMIT)
        except Problem as problem:
            return problem.status

    whole = b"".join(pieces)
    assert asyncio.run(outcome()) == (whole if len(whole) <= LIMIT else 413)


@pytest.mark.parametrize("length", [b"11", b"9" * 5_000])
async def test_read_body_declared_length_beyond_the_limit_is_refused_unread(length: bytes) -> None:
    caller = Caller(b"x")
    assert (await status_of(caller, {b"content-length": length}))[0] == 413
    assert caller.unsent == 1


@pytest.mark.parametrize("length", [b"5", b"10", b"-1", b"ten", b""])
async def test_read_body_wrong_content_length_changes_nothing(length: bytes) -> None:
    assert await read_body(Caller(b"1234", b"567").receive, {b"content-length": length}, LIMIT) == b"1234567"


async def test_read_body_stops_reading_beyond_the_limit() -> None:
    caller = Caller(b"12345678", b"9012", b"never read", b"nor this")
    assert await status_of(caller) == (413, {"Connection": "close"})
    assert caller.unsent == 2


async def test_read_body_too_large_but_complete_keeps_the_connection() -> None:
    assert await status_of(Caller(b"x" * 11)) == (413, {})
    assert await status_of(Caller(b"x" * 6, b"x" * 6)) == (413, {})


@pytest.mark.parametrize("pieces", [(), (b"1",), (b"1", b"2")], ids=["never begins", "stops", "stops later"])
async def test_read_body_that_stops_is_408(pieces: Sequence[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "BODY_IDLE_S", 0.001)
    assert await status_of(Caller(*pieces, ends=False)) == (408, {"Connection": "close"})


async def test_read_body_that_keeps_coming_slowly_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "BODY_TIME_S", 0.001)

    async def dribble() -> Message:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"", "more_body": True}

    with pytest.raises(Problem) as raised:
        await read_body(dribble, {}, LIMIT)
    assert raised.value.status == 408


@pytest.mark.parametrize("pieces", [(), (b"1",)])
async def test_read_body_of_a_caller_that_leaves_raises_disconnected_error(pieces: Sequence[bytes]) -> None:
    with pytest.raises(DisconnectedError):
        await read_body(Caller(*pieces, ends=False, leaves=True).receive, {}, LIMIT)


async def test_answer_problem_with_close_discards_the_rest_of_the_body() -> None:
    caller = Caller(b"1", b"2", b"3")
    await answer_problem(caller.receive, caller.send, TOO_LARGE)
    assert caller.unsent == 0
    start, body, end = caller.answered
    assert start["status"] == 413
    assert (b"connection", b"close") in start["headers"]
    assert (b"content-length", b"%d" % len(body["body"])) in start["headers"]
    assert body["more_body"] is True  # the whole answer is out while the connection stays open
    assert end == {"type": "http.response.body", "body": b""}


@pytest.mark.parametrize("name", ["LINGER_IDLE_S", "LINGER_TIME_S"])
async def test_answer_problem_with_close_waits_a_limited_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, name, 0.001)
    caller = Caller(b"1", ends=False)
    await answer_problem(caller.receive, caller.send, TOO_LARGE)
    assert len(caller.answered) == 3


async def test_answer_problem_with_close_discards_a_limited_amount(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "_LINGER_MAX", 3)
    caller = Caller(*[b"12"] * 5, ends=False)
    await answer_problem(caller.receive, caller.send, TOO_LARGE)
    assert caller.unsent == 3


async def test_answer_problem_without_close_returns_at_once() -> None:
    caller = Caller(b"unread")
    await answer_problem(caller.receive, caller.send, Problem(401, "Who?"))
    assert caller.unsent == 1
    assert [message["type"] for message in caller.answered] == ["http.response.start", "http.response.body"]
    assert not caller.answered[-1]["more_body"]


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"deflate", b"identity, gzip", b"x"])
def test_check_encoding_compressed_is_415(encoding: bytes) -> None:
    with pytest.raises(Problem) as raised:
        check_encoding(encoding)
    assert raised.value.status == 415


@pytest.mark.parametrize("encoding", [b"", b"identity", b"Identity"])
def test_check_encoding_identity_is_accepted(encoding: Any) -> None:
    check_encoding(encoding)


async def test_read_body_beyond_the_share_is_refused_unread() -> None:
    budget = BodyBudget(10)
    with budget.share("a") as first, budget.share("a") as second, budget.share("b") as third:
        assert await read_body(Caller(b"12345678").receive, {b"content-length": b"8"}, LIMIT, first) == b"12345678"
        caller = Caller(b"123")
        with pytest.raises(Problem, match="Too many large requests") as raised:
            await read_body(caller.receive, {b"content-length": b"3"}, LIMIT, second)
        assert (raised.value.status, raised.value.headers["Retry-After"].isdigit()) == (503, True)
        assert caller.unsent == 1
        assert await read_body(Caller(b"12345").receive, {b"content-length": b"5"}, LIMIT, third) == b"12345"
    assert budget.used == 0


async def test_read_body_of_unknown_length_takes_its_share_piece_by_piece() -> None:
    budget = BodyBudget(5)
    caller = Caller(b"123", b"456", b"7")
    with pytest.raises(Problem, match="Too many large requests"), budget.share("a") as share:
        await read_body(caller.receive, {}, LIMIT, share)
    assert caller.unsent == 1
    assert budget.used == 0


async def test_until_gone_returns_when_the_caller_disconnects() -> None:
    async with asyncio.timeout(60):
        await until_gone({}, Caller(b"", leaves=True).receive)


async def test_until_gone_returns_when_the_caller_closes_its_side() -> None:
    scope: dict[str, Any] = {}
    waiting = asyncio.create_task(until_gone(scope, Caller(b"").receive))
    while ON_HALF_CLOSE not in scope:
        await asyncio.sleep(0)
    scope[ON_HALF_CLOSE]()
    async with asyncio.timeout(60):
        await waiting
