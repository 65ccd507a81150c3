"""The client against a server whose answers the test chooses, on real sockets."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import wait
from typing import Any

import pytest

from commerce_event_sdk import AsyncClient, Client
from commerce_event_sdk.publishing import (
    Accepted,
    BufferFullError,
    ClientClosedError,
    EventRefusedError,
    NotAcceptedError,
    RequestRefusedError,
)
from scripted_server import DEADLINE_S, KEY, ScriptedServer, problem, scripted_server, until, unused_port

NEVER_S = 600.0  # a test that waits so long fails by its time limit


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as running:
        yield running


def publish(client: Client, count: int, start: int = 0) -> list[Any]:
    return [client.publish("Own", {"Number": number}, id=f"k{number}") for number in range(start, start + count)]


def results(futures: list[Any]) -> list[Accepted]:
    return [each.result(DEADLINE_S) for each in futures]


def numbers(server: ScriptedServer) -> list[int]:
    return [each["data"]["Number"] for each in server.accepted.values()]


def test_publish_events_are_accepted_in_order_over_one_connection(server: ScriptedServer) -> None:
    with Client(server.url, KEY, batch_events=10) as client:
        accepted = results(publish(client, 35))
        again = client.publish("Own", {"Number": 3}, id="k3").result(DEADLINE_S)
    assert [each.id for each in accepted] == [f"evt_{number}" for number in range(35)]
    assert not any(each.duplicate for each in accepted)
    assert again == Accepted("evt_3", duplicate=True, deliveries=0)
    assert numbers(server) == list(range(35))
    assert max(map(len, server.requests)) <= 10
    assert server.connection_count == 1
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_publish_without_id_gives_each_event_another(server: ScriptedServer) -> None:
    with Client(server.url, KEY) as client:
        results([client.publish("Own", {"Number": 1}) for _ in range(20)])
    assert len(server.accepted) == 20


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_publish_temporary_failure_sends_the_same_ids_again(server: ScriptedServer, status: int) -> None:
    server.then(problem(status), problem(status, Retry_After="0"))
    with Client(server.url, KEY) as client:
        future = client.publish("Own", {"Number": 1})
        assert not future.result(DEADLINE_S).duplicate
    assert len(server.requests) == 3
    assert server.requests[0] == server.requests[1] == server.requests[2]


def test_publish_retry_after_is_waited_for(server: ScriptedServer, caplog: pytest.LogCaptureFixture) -> None:
    server.then(problem(503, Retry_After="3600"))
    with caplog.at_level(logging.WARNING):
        client = Client(server.url, KEY)
        future = client.publish("Own", {"Number": 1})
        until(lambda: "next attempt" in caplog.text)
        assert float(caplog.text.rpartition("next attempt in ")[2].split()[0]) >= 3600
    client.close()  # tries once more at once
    assert future.result(0).id == "evt_0"


def test_publish_answer_cut_in_the_middle_finds_the_duplicates(server: ScriptedServer) -> None:
    server.then(server.cut)
    with Client(server.url, KEY) as client:
        accepted = results(publish(client, 1))
    assert accepted == [Accepted("evt_0", duplicate=True, deliveries=0)]
    assert server.requests == [["k0"], ["k0"]]


def test_publish_connection_dropped_before_the_answer_sends_again(server: ScriptedServer) -> None:
    server.then(server.drop, server.drop)
    with Client(server.url, KEY) as client:
        assert [each.duplicate for each in results(publish(client, 3))] == [False] * 3
    assert numbers(server) == [0, 1, 2]


def test_publish_on_a_connection_closed_while_idle_succeeds_at_once(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    def answer_and_close(handler: Any, items: list[dict[str, Any]]) -> None:
        handler.json(200, {"items": server.store(items)})
        handler.close_connection = True

    server.then(answer_and_close)
    with Client(server.url, KEY) as client:
        results(publish(client, 1))
        results(publish(client, 1, 1))
    assert server.connection_count == 2
    assert "next attempt" not in caplog.text


def test_publish_batch_stored_in_part_sends_only_the_rest_in_order(server: ScriptedServer) -> None:
    held = threading.Event()

    def wait_then_store_two(handler: Any, items: list[dict[str, Any]]) -> None:
        held.wait(DEADLINE_S)
        server.store_first(0)(handler, items)

    server.then(wait_then_store_two, server.store_first(2), server.store_first(1))
    with Client(server.url, KEY) as client:
        futures = publish(client, 6)
        held.set()
        results(futures)
    assert numbers(server) == list(range(6))
    assert server.requests[-1] == ["k3", "k4", "k5"]


def test_publish_refused_event_fails_alone(server: ScriptedServer) -> None:
    server.refused_types = {"Broken"}
    client = Client(server.url, KEY)
    futures = [client.publish(name, {"Number": 1}, id=f"{name}") for name in ("First", "Broken", "Last")]
    wait(futures, DEADLINE_S)
    error = futures[1].exception(0)
    assert isinstance(error, EventRefusedError)
    assert (error.status, error.errors) == (422, (("/OrderId", "is required"),))
    assert list(server.accepted) == ["First", "Last"]
    [left] = client.close()
    assert (left.event_type, left.id, left.event) == ("Broken", "Broken", {"Number": 1})
    assert "is required" in left.reason
    assert client.close() == [left]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 415])
def test_publish_refused_request_fails_its_events_without_the_key(
    server: ScriptedServer, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    server.then(problem(status, f"The key {KEY} is wrong."))
    client = Client(server.url, KEY)
    error = client.publish("Own", {"Number": 1}).exception(DEADLINE_S)
    left = client.close()
    assert isinstance(error, RequestRefusedError)
    assert error.status == status
    for text in (str(error), repr(error), repr(client), repr(left), caplog.text, repr(client._sender)):
        assert KEY not in text
    assert len(server.requests) == 1


def test_publish_redirect_names_the_address(server: ScriptedServer) -> None:
    server.then(problem(308, Location="https://elsewhere.example/v1/events"))
    client = Client(server.url, KEY)
    error = client.publish("Own", {}).exception(DEADLINE_S)
    assert "https://elsewhere.example/v1/events" in str(error)
    client.close()


@pytest.mark.parametrize("answer", [{}, [], {"items": []}, {"items": [{"status": 202}]}, {"items": ["x"]}])
def test_publish_answer_of_another_kind_of_server_is_an_error(server: ScriptedServer, answer: Any) -> None:
    server.then(lambda handler, _items: handler.json(200, answer))
    client = Client(server.url, KEY)
    error = client.publish("Own", {}).exception(DEADLINE_S)
    assert "does not answer as Commerce Event does" in str(error)
    client.close()


def test_publish_request_too_large_is_sent_in_halves(server: ScriptedServer) -> None:
    def refuse_more_than_two(handler: Any, items: list[dict[str, Any]]) -> None:
        if len(items) > 2:
            problem(413)(handler, items)
        else:
            handler.json(200, {"items": server.store(items)})

    server.answer = refuse_more_than_two  # type: ignore[method-assign]
    with Client(server.url, KEY) as client:
        results(publish(client, 9))
    assert numbers(server) == list(range(9))


def test_publish_one_event_that_the_request_limit_refuses_fails(server: ScriptedServer) -> None:
    server.then(problem(413))
    client = Client(server.url, KEY)
    error = client.publish("Own", {"Number": 1}).exception(DEADLINE_S)
    assert isinstance(error, EventRefusedError)
    assert error.status == 413
    client.close()


def test_publish_bytes_of_a_request_are_bounded(server: ScriptedServer) -> None:
    with Client(server.url, KEY) as client:
        results([client.publish("Own", {"Number": number, "Text": "x" * 200_000}) for number in range(8)])
    assert numbers(server) == list(range(8))
    assert max(map(len, server.requests)) <= 2


def test_publish_answer_that_drips_ends_with_the_timeout(server: ScriptedServer) -> None:
    def drip(handler: Any, items: list[dict[str, Any]]) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not server.released.wait(0.02):
            handler.wfile.write(b" ")

    server.then(drip)
    with Client(server.url, KEY, timeout_s=0.3) as client:
        assert results(publish(client, 1))[0].id == "evt_0"
    assert len(server.requests) == 2


def test_publish_full_buffer_raises_waits_or_times_out(server: ScriptedServer) -> None:
    server.then(server.hang)
    client = Client(server.url, KEY, max_buffered_events=3)
    futures = publish(client, 3)
    with pytest.raises(BufferFullError):
        client.publish("Own", {"Number": 3}, block=False)
    with pytest.raises(BufferFullError):
        client.publish("Own", {"Number": 3}, timeout_s=0.01)
    waiting = threading.Thread(target=lambda: futures.extend(publish(client, 1, 3)))
    waiting.start()
    server.released.set()
    waiting.join(DEADLINE_S)
    results(futures)
    assert client.close() == []
    assert numbers(server) == [0, 1, 2, 3]


def test_publish_buffer_counts_bytes(server: ScriptedServer) -> None:
    server.then(server.hang)
    client = Client(server.url, KEY, max_buffered_bytes=1_000)
    client.publish("Own", {"Text": "x" * 600})
    with pytest.raises(BufferFullError):
        client.publish("Own", {"Text": "x" * 600}, block=False)
    with pytest.raises(ValueError, match="the buffer holds 1000"):
        client.publish("Own", {"Text": "x" * 1_000})
    server.released.set()
    assert client.close(DEADLINE_S) == []


def test_publish_in_a_callback_never_waits_for_room(server: ScriptedServer) -> None:
    server.then(server.hang)
    client = Client(server.url, KEY, max_buffered_events=2)
    raised: list[BaseException] = []

    def publish_three(_future: Any) -> None:
        try:
            publish(client, 3, 10)
        except BufferFullError as error:
            raised.append(error)

    first = client.publish("Own", {"Number": 0})
    first.add_done_callback(publish_three)
    server.released.set()
    first.result(DEADLINE_S)
    assert client.close(DEADLINE_S) == []
    assert len(raised) == 1
    assert numbers(server) == [0, 10, 11]


def test_cancelled_future_is_not_sent(server: ScriptedServer) -> None:
    server.then(server.hang)
    client = Client(server.url, KEY)
    first = client.publish("Own", {"Number": 0})
    assert server.hanging.wait(DEADLINE_S)
    futures = publish(client, 3, 1)
    assert futures[1].cancel()
    server.released.set()
    results([first, futures[0], futures[2]])
    assert client.close() == []
    assert numbers(server) == [0, 1, 3]


def test_close_sends_what_waits(server: ScriptedServer) -> None:
    client = Client(server.url, KEY, batch_events=7)
    futures = publish(client, 100)
    assert client.close(DEADLINE_S) == []
    assert all(each.done() for each in futures)
    with pytest.raises(ClientClosedError):
        client.publish("Own", {})


def test_close_with_a_hanging_server_says_what_was_not_accepted(server: ScriptedServer) -> None:
    server.then(server.hang)
    client = Client(server.url, KEY, timeout_s=NEVER_S)
    futures = publish(client, 1)
    assert server.hanging.wait(DEADLINE_S)
    futures += publish(client, 2, 1)
    left = client.close(0.05)
    assert [(each.id, each.event) for each in left] == [(f"k{number}", {"Number": number}) for number in range(3)]
    assert all("did not answer in time" in each.reason for each in left)
    for future in futures:
        with pytest.raises(NotAcceptedError, match="did not answer in time"):
            future.result(0)


def test_close_cuts_a_request_on_a_connection_that_was_used_before(server: ScriptedServer) -> None:
    client = Client(server.url, KEY, timeout_s=NEVER_S)
    results(publish(client, 1))
    server.then(server.hang)
    publish(client, 1, 1)
    assert server.hanging.wait(DEADLINE_S)
    assert [each.id for each in client.close(0.05)] == ["k1"]
    assert server.requests == [["k0"], ["k1"]]


def test_close_without_a_server_names_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    client = Client(f"http://127.0.0.1:{unused_port()}", KEY)
    client.publish("Own", {"Number": 1}, id="k1")
    until(lambda: "next attempt" in caplog.text)
    [left] = client.close(0.05)
    assert "no answer from 127.0.0.1" in left.reason


def test_close_wakes_callers_that_wait_for_room(server: ScriptedServer) -> None:
    server.then(server.hang)
    client = Client(server.url, KEY, max_buffered_events=1, timeout_s=NEVER_S)
    client.publish("Own", {"Number": 0})
    raised: list[BaseException] = []

    def wait_for_room() -> None:
        try:
            client.publish("Own", {"Number": 1})
        except ClientClosedError as error:
            raised.append(error)

    thread = threading.Thread(target=wait_for_room)
    thread.start()
    client.close(0.05)
    thread.join(DEADLINE_S)
    assert len(raised) == 1


def test_with_block_raises_when_events_were_not_accepted(server: ScriptedServer) -> None:
    server.refused_types = {"Broken"}
    with pytest.raises(NotAcceptedError, match="1 events were not accepted: Broken"), Client(server.url, KEY) as client:
        client.publish("Broken", {})


def test_with_block_that_raised_keeps_its_error(server: ScriptedServer, caplog: pytest.LogCaptureFixture) -> None:
    server.refused_types = {"Broken"}

    def fail_in_the_block() -> None:
        with Client(server.url, KEY) as client:
            client.publish("Broken", {})
            raise KeyError

    with pytest.raises(KeyError):
        fail_in_the_block()
    assert "1 events were not accepted" in caplog.text


@pytest.mark.parametrize(
    "url", ["", "events.example.com", "ftp://x", "http://", "http://u:p@x", "http://x?a=1", "http://x:99999"]
)
def test_client_wrong_url_raises_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="the URL of the server") as raised:
        Client(url, KEY)
    assert "u:p" not in str(raised.value)


@pytest.mark.parametrize("key", ["", "a b", "a\nb", "schlüssel"])
def test_client_wrong_key_raises_without_repeating_it(key: str) -> None:
    with pytest.raises(ValueError, match="the key must be printable ASCII") as raised:
        Client("http://x", key)
    assert not key or key not in str(raised.value)


def test_client_url_with_a_path_is_kept(server: ScriptedServer) -> None:
    with Client(f"{server.url}/behind/", KEY) as client:
        results(publish(client, 1))
    assert server.paths == ["/behind/v1/events"]


def test_client_in_another_process_refuses_to_publish(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(server.url, KEY)
    with monkeypatch.context() as patched:
        patched.setattr(os, "getpid", lambda: -1)
        with pytest.raises(RuntimeError, match="forked"):
            client.publish("Own", {})
    assert client.close() == []


PROGRAM = """
import sys
from commerce_event_sdk import Client
client = Client(sys.argv[1], sys.argv[2])
client.publish("Own", {"Number": 1}, id="k1")
"""


def run_program(url: str) -> str:
    command = [sys.executable, "-c", PROGRAM, url, KEY]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=DEADLINE_S)
    return done.stderr


def test_program_that_ends_without_close_sends_what_it_can(server: ScriptedServer) -> None:
    assert run_program(server.url) == ""
    assert list(server.accepted) == ["k1"]


def test_program_that_ends_without_close_warns_about_lost_events() -> None:
    errors = run_program(f"http://127.0.0.1:{unused_port()}")
    assert "was not closed: 1 events were not accepted: Own k1" in errors
    assert KEY not in errors


async def test_async_publish_many_at_once_waits_for_room(server: ScriptedServer) -> None:
    async with AsyncClient(server.url, KEY, max_buffered_events=5, batch_events=3) as client:
        accepted = await asyncio.gather(*(client.publish("Own", {"Number": number}) for number in range(60)))
    assert len({each.id for each in accepted}) == 60
    assert sorted(numbers(server)) == list(range(60))


async def test_async_publish_refused_event_raises_and_close_has_nothing_left(server: ScriptedServer) -> None:
    server.refused_types = {"Broken"}
    async with AsyncClient(server.url, KEY) as client:
        with pytest.raises(EventRefusedError):
            await client.publish("Broken", {})
        assert (await client.publish("Own", {"Number": 1}, id="k1")).id == "evt_0"
        assert "AsyncClient" in repr(client)


async def test_async_publish_cancelled_while_waiting_gives_the_room_to_others(server: ScriptedServer) -> None:
    server.then(server.hang)
    async with AsyncClient(server.url, KEY, max_buffered_events=1) as client:
        first = asyncio.create_task(client.publish("Own", {"Number": 0}))
        await asyncio.to_thread(server.hanging.wait, DEADLINE_S)
        tasks = [asyncio.create_task(client.publish("Own", {"Number": number})) for number in (1, 2, 3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[1].cancel()
        server.released.set()
        await asyncio.wait_for(asyncio.gather(first, tasks[2]), DEADLINE_S)
    assert numbers(server) == [0, 3]


async def test_async_close_wakes_coroutines_that_wait_for_room(server: ScriptedServer) -> None:
    server.then(server.hang)
    client = AsyncClient(server.url, KEY, max_buffered_events=1)
    first = asyncio.create_task(client.publish("Own", {"Number": 0}))
    await asyncio.to_thread(server.hanging.wait, DEADLINE_S)
    second = asyncio.create_task(client.publish("Own", {"Number": 1}))
    await asyncio.sleep(0)
    await client.close(0.05)
    for task, error in ((first, NotAcceptedError), (second, ClientClosedError)):
        with pytest.raises(error):
            await asyncio.wait_for(task, DEADLINE_S)


async def test_async_close_with_a_hanging_server_says_what_was_not_accepted(server: ScriptedServer) -> None:
    server.then(server.hang)
    client = AsyncClient(server.url, KEY, timeout_s=NEVER_S)
    task = asyncio.create_task(client.publish("Own", {"Number": 0}, id="k0"))
    await asyncio.to_thread(server.hanging.wait, DEADLINE_S)
    [left] = await client.close(0.05)
    assert left.id == "k0"
    with pytest.raises(NotAcceptedError):
        await task


@pytest.fixture(autouse=True)
def _no_client_is_left_open() -> Iterator[None]:
    yield
    left = [each.name for each in threading.enumerate() if each.name == "commerce-event-client"]
    assert not left, left


def test_close_returns_refused_events_of_bounded_size(server: ScriptedServer) -> None:
    server.refused_types = {"Own"}
    with_bound = Client(server.url, KEY, max_buffered_bytes=10_000)
    futures = [with_bound.publish("Own", {"Text": "x" * 3_000, "Number": number}) for number in range(20)]
    wait(futures, DEADLINE_S)
    assert [each.event["Number"] for each in with_bound.close() if isinstance(each.event, dict)] == [17, 18, 19]
