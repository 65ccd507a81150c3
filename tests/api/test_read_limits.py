"""What reading may cost: pages have a size, a caller's reads take turns, and unsent answers count for their caller."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from api_server import DEADLINE_S, Api, Json, expect, plain_client
from starlette.responses import Response, StreamingResponse

from commerce_event.admin.endpoint_form import blank_form
from commerce_event.api import paging
from commerce_event.api.read_limits import READS_PER_OWNER, SharedResponse, SharedStream
from commerce_event.core.model import Event
from commerce_event.http.body_budget import BodyBudget

TEXT = "x" * 500


async def pages(client: httpx.AsyncClient, path: str, **query: Any) -> list[list[Json]]:
    """Return the entries of every page."""
    found: list[list[Json]] = []
    cursor: dict[str, str] = {}
    for _ in range(100):
        page = expect(await client.get(path, params={"limit": 7, **query, **cursor}), 200)
        found.append(page["items"])
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/v1/events", {}),
        ("/v1/events", {"expand": "true"}),
        ("/v1/events", {"client_id": 1, "after": 0}),
        ("/v1/events", {"q": "SO"}),
        ("/v1/events", {"state": "delivered"}),
        ("/v1/deliveries", {"expand": "true"}),
    ],
)
async def test_pages_of_large_events_are_shorter_and_show_each_once(
    api: Api, monkeypatch: pytest.MonkeyPatch, path: str, query: dict[str, Any]
) -> None:
    monkeypatch.setattr(paging, "BYTES_MAX", 2_000)
    monkeypatch.setattr(paging, "_STEP", 3)
    await api.endpoint()
    made = [
        (await api.publish(OrderNo=f"SO-{number}", X=TEXT * (number == 4) * 10 or TEXT))["id"] for number in range(9)
    ]
    await api.until_state("delivered")

    found = await pages(api.admin, path, **query)
    shown = [each["event_id"] if "deliveries" in path else each["id"] for page in found for each in page]
    assert sorted(shown) == sorted(made)
    assert len(shown) == len(made)
    assert max(len(page) for page in found) <= 3
    assert 1 in {len(page) for page in found}  # the event that is larger than a page has one of its own


async def test_page_of_small_events_is_full(api: Api) -> None:
    for _ in range(40):
        await api.publish()
    assert [len(page) for page in await pages(api.admin, "/v1/events", limit=39)] == [39, 1]


class Reads:
    """Reads of the store that hang."""

    def __init__(self, api: Api, monkeypatch: pytest.MonkeyPatch, client_id: int) -> None:
        self.begun = self.cancelled = 0
        self.may_end = asyncio.Event()
        events = api.node.store.history.events

        async def hang(query: Any, page: Any) -> list[Event]:
            if query.scope.client_ids == frozenset({client_id}):
                self.begun += 1
                try:
                    await self.may_end.wait()
                except asyncio.CancelledError:
                    self.cancelled += 1
                    raise
            return await events(query, page)

        monkeypatch.setattr(api.node.store.history, "events", hang)

    async def until(self, *, begun: int, cancelled: int = 0) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while (self.begun, self.cancelled) < (begun, cancelled):
                await asyncio.sleep(0.005)


async def test_reads_of_one_caller_take_turns_and_delay_no_other(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    greedy, _ = await api.key("read", 1)
    other, _ = await api.key("read", 2)
    reads = Reads(api, monkeypatch, client_id=1)
    many = [asyncio.create_task(greedy.get("/v1/events")) for _ in range(10)]
    await reads.until(begun=READS_PER_OWNER)
    for _ in range(5):
        expect(await other.get("/v1/events"), 200)
    assert reads.begun == READS_PER_OWNER

    reads.may_end.set()
    assert {each.status_code for each in await asyncio.gather(*many)} == {200}
    assert reads.begun == 10


async def test_previews_of_the_endpoint_form_take_turns(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    _, made = await api.key("manage", 1)
    async with plain_client(api.url, {}) as person:
        await person.post("/admin/sign-in", data={"key": made["key"]})
        csrf = re.findall(r'name="csrf" value="([^"]+)"', (await person.get("/admin")).text)[0]
        form = blank_form("1") | {
            "csrf": [csrf], "step": ["filter"], "go": ["try"], "url": [f"{api.receiver.url}/hook"],
        }  # fmt: skip
        reads = Reads(api, monkeypatch, client_id=1)
        many = [asyncio.create_task(person.post("/admin/endpoints/new", data=form)) for _ in range(5)]
        await reads.until(begun=READS_PER_OWNER)
        expect(await api.admin.get("/v1/events?client_id=2"), 200)
        assert reads.begun == READS_PER_OWNER

        reads.may_end.set()
        assert {each.status_code for each in await asyncio.gather(*many)} == {200}
        assert reads.begun == 5


async def test_read_whose_caller_has_gone_is_cancelled(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    greedy, _ = await api.key("read", 1)
    reads = Reads(api, monkeypatch, client_id=1)
    many = [asyncio.create_task(greedy.get("/v1/events")) for _ in range(READS_PER_OWNER + 1)]
    await reads.until(begun=READS_PER_OWNER)
    many[0].cancel()
    await reads.until(begun=READS_PER_OWNER + 1, cancelled=1)
    reads.may_end.set()
    await asyncio.gather(*many[1:])


async def test_shared_response_counts_for_its_owner_until_it_is_sent() -> None:
    bodies = BodyBudget(300_000)
    may_go_on = asyncio.Event()
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def slow(message: Any) -> None:
        sent.append(message)
        if len(sent) > 2:
            await may_go_on.wait()

    refused: list[Any] = []

    async def quick(message: Any) -> None:
        refused.append(message)

    content = b"x" * 200_000
    scope: Any = {"type": "http", "method": "GET"}
    first = asyncio.create_task(SharedResponse(Response(content), bodies, "a")(scope, receive, slow))
    await asyncio.sleep(0)
    assert bodies.used == 200_000
    async with asyncio.timeout(DEADLINE_S):
        await SharedResponse(Response(content), bodies, "a")(scope, receive, quick)
    assert refused[0]["status"] == 503
    assert (b"retry-after", b"1") in [(name, value[:1]) for name, value in refused[0]["headers"]]

    may_go_on.set()
    await first
    assert bodies.used == 0
    assert b"".join(each.get("body", b"") for each in sent) == content
    assert [each.get("more_body") for each in sent[1:]] == [True, True, True, False]


async def test_shared_stream_counts_a_piece_for_its_owner_until_all_is_sent() -> None:
    bodies = BodyBudget(300_000)
    may_go_on = asyncio.Event()
    sent: list[Any] = []
    refused: list[Any] = []

    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"
        await may_go_on.wait()
        yield b"b"

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def keep(message: Any) -> None:
        sent.append(message)

    async def quick(message: Any) -> None:
        refused.append(message)

    def stream() -> SharedStream:
        return SharedStream(StreamingResponse(pieces(), 200, {"X-Name": "list"}), bodies, "a", 200_000)

    scope: Any = {"type": "http", "method": "GET"}
    first = asyncio.create_task(stream()(scope, receive, keep))
    async with asyncio.timeout(DEADLINE_S):
        while len(sent) < 2:
            await asyncio.sleep(0)
        assert bodies.used == 200_000
        await stream()(scope, receive, quick)
        assert refused[0]["status"] == 503
        may_go_on.set()
        await first
    assert bodies.used == 0
    assert (b"x-name", b"list") in sent[0]["headers"]
    assert b"".join(each.get("body", b"") for each in sent) == b"ab"
