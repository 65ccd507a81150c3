"""Long poll: calls that wait for the next event of a client, what wakes and ends them, and what they may cost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_server import DEADLINE_S, Api, Json, example, expect, expect_problem, running_api
from stores import Engine, PostgresEngine, SqliteEngine

from commerce_event.api import waiting_calls
from commerce_event.api.read_limits import READS_PER_OWNER
from commerce_event.api.waiting_calls import WAITING_PER_OWNER, WAKES_MAX, WaitingCalls
from commerce_event.core.model import Event
from commerce_event.core.problems import Problem
from commerce_event.core.vault import new_key
from commerce_event.store.port import StoreUnavailableError

LONG_S = 30
SETTING: Json = {
    "client_id": 1, "event_type": "CompanyChangedNotification", "entity": "tClientCompany", "enabled": True,
    "on_insert": True, "on_update": True, "on_delete": True,
}  # fmt: skip
CHANGE: Json = {
    "client_id": 1, "entity": "tClientCompany", "operation": "insert", "key": {"CompanyId": 7}, "after": {"Name": "x"},
}  # fmt: skip


@pytest.fixture(params=["sqlite", "postgres"])
async def any_api(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Api]:
    """Return the API on each engine."""
    engine: Engine = SqliteEngine(tmp_path) if request.param == "sqlite" else PostgresEngine(tmp_path)
    settings: Json = {}
    if isinstance(engine, PostgresEngine):
        settings = {"store": await engine.url(), "secret_key": new_key()}
    async with running_api(tmp_path, **settings) as running:
        yield running
    await engine.close_all()


def wait(api: Api, *, after: int = 0, client_id: int = 1, wait_s: int = LONG_S, **more: Any) -> asyncio.Task[Any]:
    """Make a call that waits, as an admin or as ``caller``."""
    caller: httpx.AsyncClient = more.pop("caller", api.admin)
    query = {"client_id": client_id, "after": after, "wait_s": wait_s, **more}
    return asyncio.create_task(caller.get("/v1/events", params=query))


async def until_waiting(api: Api, count: int = 1) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while api.node.waiting_calls.count != count:
            await asyncio.sleep(0.001)


async def sequences(call: asyncio.Task[Any]) -> list[int]:
    """Return the sequence numbers of the answer, which must come before the wait has ended."""
    async with asyncio.timeout(LONG_S - 5):
        return [event["sequence"] for event in expect(await call, 200)["items"]]


async def publish_all(api: Api, count: int) -> None:
    await asyncio.gather(*(api.publish() for _ in range(count)))


# -- The query


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"wait_s": 1}, "?wait_s"),
        ({"wait_s": 0}, "?wait_s"),
        ({"wait_s": 1, "client_id": 1}, "?wait_s"),
        ({"wait_s": 1, "after": 0}, "?client_id"),
        ({"wait_s": 1, "after": 0, "client_id": 1, "type": "JobCompletedEvent"}, "?after"),
        ({"wait_s": 31, "after": 0, "client_id": 1}, "?wait_s"),
        ({"wait_s": -1, "after": 0, "client_id": 1}, "?wait_s"),
        ({"wait_s": 1.5, "after": 0, "client_id": 1}, "?wait_s"),
        ({"wait_s": "soon", "after": 0, "client_id": 1}, "?wait_s"),
        ({"wait_s": 1, "after": 0, "client_id": 1, "cursor": "x"}, "?cursor"),
    ],
)
async def test_wait_with_an_invalid_query_is_refused_with_the_parameter(api: Api, query: Json, parameter: str) -> None:
    expect_problem(await api.admin.get("/v1/events", params=query), 422, parameter)
    assert api.node.waiting_calls.count == 0


async def test_wait_for_another_client_is_refused(api: Api) -> None:
    caller, _ = await api.key("read", 1)
    expect_problem(await wait(api, client_id=2, caller=caller), 403)
    publisher, _ = await api.key("publish", 1)
    expect_problem(await wait(api, caller=publisher), 403)
    expect_problem(await wait(api, caller=await api.caller(None)), 401)
    assert api.node.waiting_calls.count == 0


@pytest.mark.parametrize("wait_s", [None, 0])
async def test_call_without_a_wait_is_answered_with_an_empty_list(api: Api, wait_s: int | None) -> None:
    query = {"client_id": 1, "after": 0, **({} if wait_s is None else {"wait_s": wait_s})}
    async with asyncio.timeout(LONG_S - 5):
        assert expect(await api.admin.get("/v1/events", params=query), 200) == {"items": [], "next_cursor": None}


# -- What wakes and ends a wait


async def test_wait_with_events_is_answered_with_a_page(any_api: Api) -> None:
    for _ in range(3):
        await any_api.publish()
    assert await sequences(wait(any_api)) == [1, 2, 3]
    assert await sequences(wait(any_api, after=1, limit=1)) == [2]
    page = expect(await wait(any_api, limit=2), 200)
    assert await sequences(wait(any_api, limit=2, cursor=page["next_cursor"])) == [3]


async def test_wait_ends_with_an_empty_list(any_api: Api) -> None:
    await any_api.publish()
    assert expect(await wait(any_api, after=1, wait_s=1), 200) == {"items": [], "next_cursor": None}
    assert any_api.node.waiting_calls.count == 0


async def test_wait_is_answered_with_the_next_event_of_its_client(any_api: Api) -> None:
    await any_api.publish()
    calls = [wait(any_api, after=1), wait(any_api, client_id=2), wait(any_api, after=2)]
    await until_waiting(any_api, 3)
    await any_api.publish(3)
    await any_api.publish(1)
    assert await sequences(calls[0]) == [2]
    assert not calls[1].done()
    assert not calls[2].done()
    await any_api.publish(1)
    assert await sequences(calls[2]) == [3]
    await any_api.publish(2)
    assert await sequences(calls[1]) == [1]


async def test_own_commits_wake_without_a_poll(any_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_calls, "_POLL_S", 3_600.0)
    setting = expect(await any_api.admin.post("/v1/event-settings", json=SETTING), 201)
    assert setting["enabled"]

    async def batch() -> None:
        items = [{"type": "OrderConfirmedEvent", "data": example()} for _ in range(3)]
        expect(await any_api.admin.post("/v1/events", json=items), 200)

    async def notification() -> None:
        assert len(expect(await any_api.admin.post("/v1/changes", json=CHANGE), 202)["events"]) == 1

    async def accepted_refusal() -> None:
        expect_problem(
            await any_api.admin.post("/v1/events/OrderConfirmedEvent", json=example(OrderId=None)), 422, "/OrderId"
        )
        refused = expect(await any_api.admin.get("/v1/refusals"), 200)["items"][0]
        expect(await any_api.admin.post(f"/v1/refusals/{refused['id']}/accept"), 200)

    seen = 0
    for act, count in ((any_api.publish, 1), (batch, 3), (notification, 1), (accepted_refusal, 1)):
        call = wait(any_api, after=seen)
        await until_waiting(any_api)
        await act()
        assert await sequences(call) == list(range(seen + 1, seen + count + 1)), act
        seen += count


async def test_duplicate_wakes_no_call(api: Api) -> None:
    headers = {"Idempotency-Key": "once"}
    expect(await api.admin.post("/v1/events/OrderConfirmedEvent", json=example(), headers=headers), 202)
    call = wait(api, after=1)
    await until_waiting(api)
    expect(await api.admin.post("/v1/events/OrderConfirmedEvent", json=example(), headers=headers), 200)
    await api.publish()
    assert await sequences(call) == [2]


async def test_wait_is_woken_by_another_node(tmp_path: Path) -> None:
    engine = PostgresEngine(tmp_path)
    settings: Json = {"store": await engine.url(), "secret_key": new_key()}
    async with running_api(tmp_path, **settings) as first, running_api(tmp_path, **settings) as second:
        calls = [wait(first), wait(first, after=1), wait(first, client_id=2), wait(second)]
        await until_waiting(first, 3)
        await until_waiting(second)
        await second.publish()
        assert await sequences(calls[0]) == await sequences(calls[3]) == [1]
        await second.publish(2)
        await second.publish()
        assert await sequences(calls[1]) == [2]
        assert await sequences(calls[2]) == [1]
    await engine.close_all()


async def test_event_between_the_read_and_the_wait_is_not_missed(any_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_calls, "_POLL_S", 3_600.0)
    history = any_api.node.store.history
    events_after = history.events_after

    async def read_then_publish(client_id: int, sequence: int, limit: int) -> list[Event]:
        found = await events_after(client_id, sequence, limit)
        if not found:
            await any_api.publish()
        return found

    monkeypatch.setattr(history, "events_after", read_then_publish)
    for seen in range(5):
        assert await sequences(wait(any_api, after=seen)) == [seen + 1]


async def test_followers_under_load_see_every_event_once_in_order(
    any_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_calls, "_POLL_S", 3_600.0)
    count = 150

    async def follow(limit: int) -> list[int]:
        seen: list[int] = []
        while len(seen) < count:
            seen += await sequences(wait(any_api, after=seen[-1] if seen else 0, limit=limit))
        return seen

    followers = [asyncio.create_task(follow(limit)) for limit in (1, 7, 200)]
    for burst in (1, 40, 9, 100):
        await until_waiting(any_api, 3)
        await publish_all(any_api, burst)
    assert await asyncio.gather(*followers) == [list(range(1, count + 1))] * 3


async def test_wait_of_a_key_that_is_revoked_ends_without_events(api: Api) -> None:
    caller, made = await api.key("read", 1)
    call = wait(api, caller=caller)
    await until_waiting(api)
    expect(await api.admin.delete(f"/v1/keys/{made['id']}"), 204)
    await api.publish()
    expect_problem(await call, 401)


async def test_wait_of_a_caller_that_has_gone_ends(api: Api) -> None:
    caller, _ = await api.key("read", 1)
    calls = [wait(api, caller=caller) for _ in range(5)]
    await until_waiting(api, 5)
    calls[0].cancel()
    await until_waiting(api, 4)
    await caller.aclose()
    for call in calls:
        call.cancel()
    await until_waiting(api, 0)


async def test_waits_end_with_an_empty_list_when_the_node_stops(api: Api) -> None:
    calls = [wait(api) for _ in range(3)]
    await until_waiting(api, 3)
    api.node.waiting_calls.close()
    for call in (*calls, wait(api)):  # the last one begins after that
        assert await sequences(call) == []


# -- What waits may cost


async def test_waits_hold_no_read_slot(api: Api) -> None:
    caller, _ = await api.key("read", 1)
    calls = [wait(api, caller=caller) for _ in range(READS_PER_OWNER * 5)]
    await until_waiting(api, len(calls))
    async with asyncio.timeout(LONG_S - 5):
        expect(await caller.get("/v1/events"), 200)
    await api.publish()
    assert [await sequences(call) for call in calls] == [[1]] * len(calls)


async def test_more_waits_of_a_caller_than_allowed_are_refused(api: Api) -> None:
    caller, _ = await api.key("read", 1)
    other, _ = await api.key("read", 2)
    calls = [wait(api, caller=caller) for _ in range(WAITING_PER_OWNER)]
    await until_waiting(api, WAITING_PER_OWNER)
    refused = await wait(api, caller=caller)
    problem = expect_problem(refused, 429)
    assert (problem["type"], refused.headers["retry-after"]) == ("/problems/too-many-requests", "1")
    expect(await caller.get("/v1/events", params={"client_id": 1, "after": 0}), 200)
    others = wait(api, client_id=2, caller=other)
    await until_waiting(api, WAITING_PER_OWNER + 1)

    calls[0].cancel()
    await until_waiting(api, WAITING_PER_OWNER)
    calls[0] = wait(api, caller=caller)
    await until_waiting(api, WAITING_PER_OWNER + 1)
    await api.publish()
    assert [await sequences(call) for call in calls] == [[1]] * len(calls)  # all read at once, and none is refused
    await api.publish(2)
    assert await sequences(others) == [1]


async def nothing(_client_ids: Any) -> dict[int, int]:
    return {}


async def test_waits_of_a_full_node_are_shared_by_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_calls, "WAITING_MAX", 10)
    calls = WaitingCalls(nothing)
    held = [calls.wait("a", 1, 0, LONG_S) for _ in range(10)]
    for each in held:
        each.__enter__()
    with pytest.raises(Problem), calls.wait("a", 1, 0, LONG_S):
        pass
    for _ in range(2):
        with calls.wait("b", 2, 0, LONG_S), calls.wait("c", 3, 0, LONG_S):
            assert calls.count == 12
    for each in held:
        each.__exit__(None, None, None)
    assert calls.count == 0


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not holds():
            await asyncio.sleep(0.001)


async def test_poll_reads_all_clients_at_once_and_ends_with_the_last_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_calls, "_POLL_S", 0.001)
    asked: list[list[int]] = []
    last = {1: 5, 2: 5, 3: 0}

    async def last_sequences(client_ids: Any) -> dict[int, int]:
        asked.append(sorted(client_ids))
        if len(asked) == 1:
            raise StoreUnavailableError("not now")
        if len(asked) == 2:
            raise ValueError("unexpected")
        return {client_id: last[client_id] for client_id in client_ids}

    calls = WaitingCalls(last_sequences)
    with calls.wait("a", 1, 4, LONG_S) as woken, calls.wait("a", 2, 5, LONG_S) as waiting, calls.wait("a", 3, 0, 1):
        assert await woken.next_event()
        assert asked == [[1, 2, 3]] * 3
        again = asyncio.create_task(woken.next_event())  # as after a read that found its event deleted
        before = len(asked)
        await until(lambda: len(asked) > before + 3)
        assert not again.done()
        last[2] = 6
        assert await waiting.next_event()
        again.cancel()
    polling = calls._polling
    assert polling is not None
    await asyncio.wait([polling])
    assert calls._polling is None


async def test_calls_are_woken_a_few_at_a_time_and_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_calls, "WAITING_PER_OWNER", 100)
    calls = WaitingCalls(nothing)
    with ExitStack() as waits:
        waiting = [waits.enter_context(calls.wait("a", 1, 0, LONG_S)) for _ in range(3 * WAKES_MAX)]
        wakes = [asyncio.create_task(call.next_event()) for call in waiting]
        await asyncio.sleep(0)
        for sequence in range(1, 100):
            calls.notice(1, sequence)
        assert len(calls._to_wake) == 2 * WAKES_MAX  # however many events there are
        assert await asyncio.gather(*wakes) == [True] * len(wakes)
        again = asyncio.create_task(waiting[0].next_event())
        await until(lambda: not calls._is_pausing)
        assert not again.done()
        calls.notice(1, 100)
        assert await again


async def test_wait_for_an_event_far_ahead_is_not_woken_by_earlier_ones(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    events_after = api.node.store.history.events_after

    async def counted(client_id: int, sequence: int, limit: int) -> list[Event]:
        nonlocal reads
        reads += 1
        return await events_after(client_id, sequence, limit)

    monkeypatch.setattr(api.node.store.history, "events_after", counted)
    call = wait(api, after=2**62)
    await until_waiting(api)
    await until(lambda: reads == 1)
    await publish_all(api, 20)
    api.node.waiting_calls.close()
    assert await sequences(call) == []
    assert reads == 1
