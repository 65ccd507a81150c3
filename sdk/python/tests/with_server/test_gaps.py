"""The search for gaps, against a real server and real inboxes."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from api_server import ADMIN_KEY, Api, running_api
from commerce_event.contract.catalogue import EVENT_TYPES
from kills import MEMORY_DISK, new_database

from commerce_event_sdk import Delivery, OrderCancelledEvent, OrderConfirmedEvent, Receiver
from commerce_event_sdk.content_keys import business_key
from commerce_event_sdk.inbox import Inbox
from commerce_event_sdk.inbox.gaps import GapReport, Gaps, GapsError
from faulty_api import FaultyApi


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    with new_database(request.param) as made:
        yield made


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with closing(Inbox.sqlite(tmp_path / "inbox.db")) as opened:
        yield opened


def _gaps(inbox: Inbox, api: Api, **options: Any) -> Gaps:
    return Gaps(inbox, api.url, ADMIN_KEY, 1, **{"grace_s": 0.0, "start": 0, **options})


async def _run(gaps: Gaps) -> GapReport:
    return await asyncio.to_thread(gaps.run_once)


async def _publish(api: Api, count: int, **changes: Any) -> list[str]:
    return [(await api.publish(ClientOrderRef=f"B-{number}", **changes))["id"] for number in range(count)]


def _ids(inbox: Inbox) -> list[str]:
    return sorted(each.id for each in inbox.messages(limit=10_000))


async def test_gaps_fetches_what_never_arrived_and_nothing_twice(api: Api, database: str) -> None:
    ids = await _publish(api, 5)
    opened = Inbox.postgres(database) if database.startswith("postgres") else Inbox.sqlite(database)
    with closing(opened) as inbox:
        inbox.put(Delivery("OrderConfirmedEvent", ids[2], b"{}", sequence=3), None)
        assert await _run(_gaps(inbox, api)) == GapReport(position=5, checked=5, fetched=4, lost=())
        assert await _run(_gaps(inbox, api)) == GapReport(position=5, checked=0, fetched=0, lost=())
        assert _ids(inbox) == sorted(ids)
        inbox.put(Delivery("OrderConfirmedEvent", ids[0], b"{}", sequence=1), None)  # it arrives after all
        assert _ids(inbox) == sorted(ids)


async def test_gaps_stores_an_event_as_its_delivery_would_have(api: Api, inbox: Inbox) -> None:
    accepted = await api.publish(OrderId=9_007_199_254_740_993, FirstName="Åsa \U0001f600")
    await _run(_gaps(inbox, api))
    seen: list[tuple[OrderConfirmedEvent, Delivery]] = []
    receiver = Receiver(header=("x", "y"), inbox=inbox)
    receiver.on(OrderConfirmedEvent)(lambda event, delivery: seen.append((event, delivery)))
    inbox.worker(receiver).run_until_idle()
    ((event, delivery),) = seen
    assert (event.OrderId, event.FirstName) == (9_007_199_254_740_993, "Åsa \U0001f600")
    assert (delivery.webhook_id, delivery.sequence, delivery.is_replay) == (accepted["id"], 1, False)
    (message,) = inbox.messages()
    assert message.business_key == event.business_key


async def test_gaps_over_many_pages_fetches_every_event(api: Api, inbox: Inbox) -> None:
    lines = "\n".join(_job(number) for number in range(450))
    answer = await api.admin.post("/v1/events", content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert answer.json()["accepted"] == 450
    assert await _run(_gaps(inbox, api)) == GapReport(position=450, checked=450, fetched=450, lost=())


async def test_gaps_for_types_fetches_only_those(api: Api, inbox: Inbox) -> None:
    await _publish(api, 2)
    cancelled = (await api.publish(type_="OrderCancelledEvent"))["id"]
    report = await _run(_gaps(inbox, api, types={"OrderCancelledEvent"}))
    assert (report.position, report.fetched) == (3, 1)
    assert _ids(inbox) == [cancelled]


async def test_gaps_for_a_receiver_fetches_what_it_has_handlers_for(api: Api, inbox: Inbox) -> None:
    await _publish(api, 2)
    cancelled = (await api.publish(type_="OrderCancelledEvent"))["id"]
    receiver = Receiver(header=("x", "y"))
    receiver.on(OrderCancelledEvent)(lambda _event: None)
    await _run(_gaps(inbox, api, receiver=receiver))
    assert _ids(inbox) == [cancelled]


async def test_gaps_for_an_application_leaves_out_those_of_others(api: Api, inbox: Inbox) -> None:
    own = (await api.publish(ApplicationId=7))["id"]
    await api.publish(ApplicationId=8)
    of_all = (await api.publish(type_="CompanyChangedNotification", ApplicationId=None))["id"]
    report = await _run(_gaps(inbox, api, application_id=7))
    assert (report.checked, report.fetched) == (3, 2)
    assert _ids(inbox) == sorted([own, of_all])


async def test_gaps_of_one_client_fetches_none_of_another(api: Api, inbox: Inbox) -> None:
    await api.publish(client_id=2)
    assert (await _run(_gaps(inbox, api))).checked == 0


async def test_gaps_leaves_young_events_to_delivery(api: Api, inbox: Inbox) -> None:
    await _publish(api, 3)
    assert await _run(_gaps(inbox, api, grace_s=3600.0)) == GapReport(position=0, checked=0, fetched=0, lost=())
    assert (await _run(_gaps(inbox, api))).fetched == 3


async def test_gaps_without_a_start_begins_with_the_oldest_event_in_the_inbox(api: Api, inbox: Inbox) -> None:
    ids = await _publish(api, 5)
    inbox.put(Delivery("OrderConfirmedEvent", ids[2], b'{"ClientId": 1}', sequence=3), None)
    assert await _run(_gaps(inbox, api, start=None)) == GapReport(position=5, checked=3, fetched=2, lost=())


async def test_gaps_without_a_start_and_an_empty_inbox_begins_now(api: Api, inbox: Inbox) -> None:
    await _publish(api, 3)
    assert await _run(_gaps(inbox, api, start=None)) == GapReport(position=3, checked=0, fetched=0, lost=())
    later = await _publish(api, 1)
    assert (await _run(_gaps(inbox, api, start=None))).fetched == 1
    assert _ids(inbox) == later


async def test_gaps_reports_events_that_the_server_deleted(api: Api, inbox: Inbox) -> None:
    await _publish(api, 2)
    await _run(_gaps(inbox, api))
    await _publish(api, 4)
    await _delete_oldest(api, 4)
    report = await _run(_gaps(inbox, api))
    assert report == GapReport(position=6, checked=2, fetched=2, lost=((3, 4),))
    assert (await _run(_gaps(inbox, api))).lost == ()


async def test_gaps_from_an_explicit_start_does_not_miss_what_was_deleted_before(api: Api, inbox: Inbox) -> None:
    await _publish(api, 3)
    await _delete_oldest(api, 2)
    assert await _run(_gaps(inbox, api)) == GapReport(position=3, checked=1, fetched=1, lost=())


async def test_gaps_that_fail_to_store_leave_the_position(api: Api, inbox: Inbox, monkeypatch: Any) -> None:
    ids = await _publish(api, 3)
    gaps = _gaps(inbox, api)

    def store_and_fail(events: Any) -> int:
        raise OSError("the disk is gone")

    with monkeypatch.context() as broken:
        broken.setattr(gaps, "_store", store_and_fail)
        with pytest.raises(OSError, match="the disk is gone"):
            await _run(gaps)
    assert await _run(gaps) == GapReport(position=3, checked=3, fetched=3, lost=())
    assert _ids(inbox) == sorted(ids)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
async def test_gaps_killed_before_any_line_lose_nothing(api: Api) -> None:
    ids = await _publish(api, 3)
    program = Path(__file__).with_name("kill_gaps_at_each_line.py")
    positions = []
    with tempfile.TemporaryDirectory(dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None) as folder:
        command = [sys.executable, str(program), folder, api.url, ADMIN_KEY]
        ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        for line in range(1, int(ended.stdout) + 1):
            with closing(Inbox.sqlite(Path(folder) / f"inbox-{line}.db")) as inbox:
                positions.append(inbox.read_position("gaps:1") or 0)
                assert set(ids[: positions[-1]]) <= set(_ids(inbox)), f"position {positions[-1]} before line {line}"
                await _run(_gaps(inbox, api))
                assert _ids(inbox) == sorted(ids), f"killed before line {line}"
    assert sorted(set(positions)) == [0, 2, 3]


@pytest.mark.parametrize(
    ("key", "status", "remedy"),
    [("cek_wrong", 401, "Give a key with the role read for client 1."), (ADMIN_KEY, 404, "answered 404")],
)
async def test_gaps_refused_by_the_server_say_what_to_do(
    key: str, status: int, remedy: str, api: Api, inbox: Inbox
) -> None:
    url = api.url if status == 401 else f"{api.url}/not-there"
    with pytest.raises(GapsError, match=remedy) as caught:
        await _run(Gaps(inbox, url, key, 1))
    assert caught.value.status == status
    assert key not in str(caught.value)


async def test_gaps_with_a_key_for_another_client_are_refused(api: Api, inbox: Inbox) -> None:
    _, made = await api.key("read", 2)
    with pytest.raises(GapsError, match="client 1") as caught:
        await _run(Gaps(inbox, api.url, made["key"], 1))
    assert caught.value.status == 403


async def test_gaps_without_a_server_say_that_there_is_no_answer(inbox: Inbox) -> None:
    with pytest.raises(GapsError, match=r"no answer from http://127\.0\.0\.1:1:") as caught:
        await _run(Gaps(inbox, "http://127.0.0.1:1", ADMIN_KEY, 1))
    assert caught.value.status is None


@pytest.mark.parametrize("url", ["file:///etc/passwd", "events.example.com", "http://", "https://a.example?x=1"])
def test_gaps_refuse_what_is_no_address_of_a_server(url: str, inbox: Inbox) -> None:
    with pytest.raises(ValueError, match="is not the address of a server"):
        Gaps(inbox, url, ADMIN_KEY, 1)


@pytest.mark.parametrize(("status", "retry_after"), [(429, "7"), (503, "2"), (503, "Mon, 01 Jan"), (500, None)])
async def test_gaps_turned_away_keep_what_was_stored_and_how_long_to_wait(
    status: int, retry_after: str | None, inbox: Inbox
) -> None:
    with FaultyApi(events=450) as server:
        server.fail_after(requests=1, status=status, headers={"Retry-After": retry_after} if retry_after else {})
        gaps = Gaps(inbox, server.url, ADMIN_KEY, 1, start=0)
        with pytest.raises(GapsError) as caught:
            await _run(gaps)
        assert (caught.value.status, caught.value.retry_after_s) == (
            status,
            float(retry_after) if retry_after in ("7", "2") else 0.0,
        )
        server.recover()
        assert await _run(gaps) == GapReport(position=450, checked=250, fetched=250, lost=())
    assert len(inbox.messages(limit=1_000)) == 450


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"items": 5, "next_cursor": null}', b"[" * 100_000])
async def test_gaps_refuse_an_answer_that_is_no_page(body: bytes, inbox: Inbox) -> None:
    with FaultyApi(events=1) as server:
        server.answer_with(body)
        with pytest.raises(GapsError, match="does not answer as Commerce Event does"):
            await _run(Gaps(inbox, server.url, ADMIN_KEY, 1, start=0))


@pytest.mark.parametrize(
    "changes",
    [
        {"sequence": 0},
        {"sequence": 2**63},
        {"sequence": "1"},
        {"id": 5},
        {"id": "\ud800"},
        {"id": "x" * 257},
        {"type": []},
        {"data": 5},
        {"accepted_at": "soon"},
        {"accepted_at": None},
        {"application_id": "1"},
    ],
)
async def test_gaps_refuse_an_event_that_no_server_has(changes: dict[str, Any], inbox: Inbox) -> None:
    event = {
        "id": "evt_1", "sequence": 1, "type": "Own", "application_id": None, "accepted_at": "2026-01-01T00:00:00Z",
        "data": {},
    }  # fmt: skip
    with FaultyApi(events=1) as server:
        server.answer_with(json.dumps({"items": [event | changes], "next_cursor": None}).encode())
        with pytest.raises(GapsError, match="does not answer as Commerce Event does"):
            await _run(Gaps(inbox, server.url, ADMIN_KEY, 1, start=0, types={"Own"}))


async def test_gaps_end_at_a_page_that_comes_again(inbox: Inbox) -> None:
    with FaultyApi(events=1) as server:
        page = server._page(0, 1) | {"next_cursor": "more"}
        server.answer_with(json.dumps(page).encode())
        with pytest.raises(GapsError, match="does not answer as Commerce Event does"):
            await _run(Gaps(inbox, server.url, ADMIN_KEY, 1, start=0))
    assert len(inbox.messages()) == 1


async def test_gaps_show_what_a_server_says_as_printable_text(inbox: Inbox) -> None:
    with FaultyApi(events=1) as server:
        server.fail_after(requests=0, status=302, headers={"Location": f"/\x1b]0;x\x07{ADMIN_KEY}"})
        with pytest.raises(GapsError, match="it redirects to") as caught:
            await _run(Gaps(inbox, server.url, ADMIN_KEY, 1, start=0))
    assert str(caught.value).isprintable()
    assert ADMIN_KEY not in str(caught.value)


async def test_gaps_store_a_long_business_key_as_a_delivery_does(database: str) -> None:
    reference = random.Random(1).randbytes(5_000).hex()  # what PostgreSQL cannot compress for an index
    event = {
        "id": "evt_1", "sequence": 1, "type": "OrderReceivedEvent", "application_id": None,
        "accepted_at": "2026-01-01T00:00:00Z", "data": {"ClientId": 1, "ClientOrderRef": reference},
    }  # fmt: skip
    opened = Inbox.postgres(database) if database.startswith("postgres") else Inbox.sqlite(database)
    with closing(opened) as inbox, FaultyApi(events=1) as server:
        server.answer_with(json.dumps({"items": [event], "next_cursor": None}).encode())
        await _run(Gaps(inbox, server.url, ADMIN_KEY, 1, start=0))
        [message] = inbox.messages()
    assert message.business_key == business_key("OrderReceivedEvent", {"ClientOrderRef": reference})


async def test_gaps_send_the_key_to_no_other_server(inbox: Inbox) -> None:
    with FaultyApi(events=1) as server, FaultyApi(events=1) as other:
        server.fail_after(requests=0, status=302, headers={"Location": other.url})
        with pytest.raises(GapsError, match="give that address instead"):
            await _run(Gaps(inbox, server.url, ADMIN_KEY, 1, start=0))
        assert other.requests == 0


def test_gaps_started_run_again_after_an_error_until_they_are_stopped(inbox: Inbox) -> None:
    with FaultyApi(events=3) as server:
        server.fail_after(requests=0, status=500, headers={})
        gaps = Gaps(inbox, server.url, ADMIN_KEY, 1, start=0)
        gaps.start(every_s=0.01)
        server.wait_for(requests=3)
        server.recover()
        server.wait_for(requests=5)
        with pytest.raises(RuntimeError, match="runs already"):
            gaps.start()
        assert gaps.stop()
        assert len(_ids(inbox)) == 3
        assert not any(thread.name == "commerce-event-gaps" for thread in threading.enumerate())


def _command(path: Path, url: str | None, *options: str, key: str = ADMIN_KEY) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "commerce_event_sdk", "inbox", "gaps", "--database", f"sqlite:///{path}"]
    where = [] if url is None else ["--url", url]
    return subprocess.run(
        [*command, *where, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "COMMERCE_EVENT_KEY": key},
    )


async def test_command_fetches_the_wanted_events_and_says_how_many(api: Api, inbox: Inbox, tmp_path: Path) -> None:
    inbox.create_tables()
    await _publish(api, 2)
    cancelled = (await api.publish(type_="OrderCancelledEvent", ApplicationId=7))["id"]
    options = ("--client-id", "1", "--grace", "0", "--start", "0", "--types", "OrderCancelledEvent, X")
    arguments = (tmp_path / "inbox.db", api.url, *options, "--application-id", "7")
    done = await asyncio.to_thread(_command, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "3 events compared up to number 3, 1 fetched\n"
    assert _ids(inbox) == [cancelled]
    again = await asyncio.to_thread(_command, *arguments, "--json")
    assert json.loads(again.stdout) == {"position": 3, "checked": 0, "fetched": 0, "lost": []}


async def test_command_exits_with_1_when_events_are_lost(api: Api, inbox: Inbox, tmp_path: Path) -> None:
    await _publish(api, 1)
    await _run(_gaps(inbox, api))
    await _publish(api, 3)
    await _delete_oldest(api, 3)
    done = await asyncio.to_thread(_command, tmp_path / "inbox.db", api.url, "--client-id", "1", "--grace", "0")
    assert (done.returncode, done.stderr) == (1, "events 2 to 3 of client 1 are lost: the server deleted them\n")


@pytest.mark.parametrize(
    ("options", "url", "code", "told"),
    [
        (["--client-id", "1"], "http://127.0.0.1:1", 1, "inbox: no answer from http://127.0.0.1:1:"),
        (["--client-id", "1"], "ftp://127.0.0.1", 1, "inbox: 'ftp://127.0.0.1' is not the address of a server"),
        (["--client-id", "1"], None, 2, "inbox: give --url"),
        (["--client-id", "one"], "http://127.0.0.1:1", 2, "must be a whole number from 0, not one"),
        ([], "http://127.0.0.1:1", 2, "the following arguments are required: --client-id"),
    ],
)
def test_command_that_cannot_run_says_why_in_one_sentence(
    options: list[str], url: str | None, code: int, told: str, inbox: Inbox, tmp_path: Path
) -> None:
    inbox.create_tables()
    done = _command(tmp_path / "inbox.db", url, *options)
    assert done.returncode == code, done.stderr
    assert told in done.stderr.splitlines()[-1]
    assert ADMIN_KEY not in done.stderr


def test_command_with_an_interval_runs_until_it_is_interrupted(inbox: Inbox, tmp_path: Path) -> None:
    inbox.create_tables()
    with FaultyApi(events=3) as server:
        command = [sys.executable, "-m", "commerce_event_sdk", "inbox", "gaps", "--client-id", "1", "--start", "0"]
        options = ["--database", f"sqlite:///{tmp_path / 'inbox.db'}", "--url", server.url, "--every", "0"]
        variables = {**os.environ, "COMMERCE_EVENT_KEY": ADMIN_KEY}
        with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, env=variables, text=True) as running:
            server.wait_for(requests=3)
            running.send_signal(signal.SIGTERM)
            _, log = running.communicate(timeout=60)
        assert running.returncode == 0, log
    assert "3 missed events of client 1 fetched" in log
    assert len(_ids(inbox)) == 3


async def _delete_oldest(api: Api, count: int) -> None:
    """Delete events as retention does, without the wait."""
    deleted = await api.node.store.maintenance.expire(before_ms=api.node.clock.now_ms() + 1_000, limit=count)
    assert deleted == count


def _job(number: int) -> str:
    data = {**EVENT_TYPES["JobCompletedEvent"].example, "ClientId": 1, "JobId": number}
    return json.dumps({"type": "JobCompletedEvent", "data": data})
