"""What a command makes of the answers of a server that it follows: wrong ones are refused, and it tries again."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from commerce_event.cli import api as api_module
from commerce_event.cli import event_stream
from commerce_event.cli.api import Api
from commerce_event.cli.errors import UsageError, WorkFailedError
from commerce_event.cli.event_stream import EventStream, FollowedEvent

DEADLINE_S = 60.0
Reply = tuple[int, bytes]


def event(sequence: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"evt_{sequence:013d}", "sequence": sequence, "type": "OrderConfirmedEvent", "client_id": 1,
        "application_id": None, "accepted_at": "2026-01-31T00:00:00.000Z", "idempotency_key": None, "deliveries": 0,
        "warnings": [], "data": {"ClientId": 1}, **changes,
    }  # fmt: skip


def page(*events: dict[str, Any], **changes: Any) -> Reply:
    return 200, json.dumps({"items": list(events), "next_cursor": None, **changes}).encode()


class Server:
    """Gives the answers that a test chose, one after the other, and then none."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: list[Reply | None] = []
        self.queries: list[dict[str, str]] = []
        self._open: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split()[1].decode()
                self.queries.append({name: values[0] for name, values in parse_qs(urlsplit(path).query).items()})
                answer = self.answers.pop(0) if self.answers else None
                if answer is None:
                    break
                status, body = answer
                writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body))
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()
            self._open.discard(writer)

    async def until_closed(self) -> None:
        """Wait until the other side has closed every connection."""
        async with asyncio.timeout(DEADLINE_S):
            while self._open:
                await asyncio.sleep(0.001)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0) as listener:
        made.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        yield made


class Followed:
    """A stream from the server, and what it said."""

    def __init__(self, api: Api) -> None:
        self.said: list[str] = []
        self.stream = EventStream(api, 1, (), self.said.append)
        self._events = self.stream.events()

    async def next(self) -> FollowedEvent:
        async with asyncio.timeout(DEADLINE_S):
            return await anext(self._events)


@pytest.fixture
async def followed(server: Server) -> AsyncIterator[Followed]:
    with Api(server.url, "k") as api:
        yield Followed(api)
    await server.until_closed()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "_RETRY_S", 0.001)
    monkeypatch.setattr(event_stream, "_RETRY_MAX_S", 0.002)


async def test_stream_keeps_the_bytes_of_bodies_and_its_position(server: Server, followed: Followed) -> None:
    body = rb'{"b":1.50, "a" : 9007199254740993,"\u0061":"\u00e5"}'
    spread = page(event(4))[1].replace(b'{"ClientId": 1}', body)
    server.answers = [page(event(3), event(2)), (200, spread), page(event(7))]
    await followed.stream.begin(0)
    assert bytes((await followed.next()).data) == body
    assert (await followed.next()).sequence == 7
    assert [query.get("after") for query in server.queries] == [None, "3", "4"]


WRONG: dict[str, Reply] = {
    "not JSON": (200, b"<html>maintenance</html>"),
    "empty": (200, b""),
    "other JSON": (200, b'{"items": 7}'),
    "deep JSON": (200, b'{"items":' + b"[" * 100_000),
    "an event without a body": page({"id": "evt_0000000000001"}),
    "an id of another kind": page(event(8, id="dlv_0000000000001")),
    "an id that is none": page(event(8, id="evt_\r\nx: y")),
    "a type with a header": page(event(8, type="A\r\nx-injected: 1")),
    "a type with a line break": page(event(8, type="A\n")),
    "another client": page(event(8, client_id=2)),
    "the same event again": page(event(3)),
    "a number below zero": page(event(-1)),
    "another order": page(event(9), event(8)),
    "a number beyond 64 bits": (200, page(event(8))[1].replace(b'"sequence": 8', b'"sequence": 99999999999999999999')),
    "not UTF-8": (200, page(event(8))[1].replace(b'"ClientId"', b'"\xff"')),
    "an error": (500, b"oops"),
    "a gateway's error": (502, b"<html>"),
    "too many calls": (429, b'{"detail": "Too many calls wait for an event."}'),
    "too large": (200, b" " * 5_000),
}


@pytest.mark.parametrize("name", WRONG)
async def test_wrong_answer_is_reported_once_and_asked_for_again(
    server: Server, followed: Followed, at_once: None, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name == "too large":
        monkeypatch.setattr(api_module, "_ANSWER_MAX", 4_000)
    server.answers = [page(event(3)), WRONG[name], page(event(3)), WRONG[name], page(event(3)), page(event(4))]
    await followed.stream.begin(0)
    if name == "not UTF-8":  # the body is passed on as it is; the program reads it
        assert b"\xff" in bytes((await followed.next()).data)
        return
    assert (await followed.next()).sequence == 4
    assert len(followed.said) == 2, followed.said
    assert followed.said[0].endswith(". Waiting for it; no event is lost")
    assert followed.said[1] == "The server answers again"


async def test_server_that_is_gone_is_asked_again(server: Server, followed: Followed, at_once: None) -> None:
    server.answers = [page(event(3)), None, None, page(event(3)), page(event(4)), page(event(5))]
    await followed.stream.begin(0)
    assert [(await followed.next()).sequence for _ in range(2)] == [4, 5]
    assert len(followed.said) == 2


@pytest.mark.parametrize("status", [401, 403, 404, 422])
async def test_refused_call_ends_the_stream(server: Server, followed: Followed, status: int) -> None:
    server.answers = [page(event(3)), (status, b'{"detail": "No."}')]
    await followed.stream.begin(0)
    with pytest.raises(UsageError):
        await followed.next()


async def test_stream_that_cannot_begin_fails(server: Server, followed: Followed) -> None:
    server.answers = [WRONG["not JSON"]]
    with pytest.raises(WorkFailedError, match="is not a list of events; is it a commerce-event server"):
        await followed.stream.begin(0)


async def test_last_events_come_in_their_order_over_pages(server: Server, followed: Followed) -> None:
    server.answers = [
        page(event(9), event(8)), page(event(10), event(8), next_cursor="c"), page(event(7), event(9)),
    ]  # fmt: skip
    found = await followed.stream.begin(4)
    assert [each.sequence for each in found] == [7, 8, 9]  # 10 was accepted meanwhile, and is read next
    assert server.queries[1:] == [
        {"client_id": "1", "limit": "4"}, {"client_id": "1", "limit": "2", "cursor": "c"},
    ]  # fmt: skip
