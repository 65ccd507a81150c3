"""Existing rows are sent in the form of captured ones, after the changes that they contain."""

import asyncio
from contextlib import suppress
from typing import Final

import pytest
from change_receiver import ChangeReceiver
from followed_database import Followed
from running_capture import Capture

from commerce_event.changes.capture import follow
from commerce_event.changes.capture.backfill import Backfill, Selection
from commerce_event.changes.capture.errors import NeedsPersonError

PART: Final = """CREATE TABLE part (id int PRIMARY KEY, name text, price numeric(10, 2), active bool, at timestamptz,
    code char(4), tags text[], image bytea, double_id int GENERATED ALWAYS AS (id * 2) STORED)"""
ROW: Final = "'Chain ' || i, 9.90, i % 2 = 0, '2026-01-31 10:00+01', 'A', '{x,y}', '\\x00ff'"


@pytest.fixture(autouse=True)
def quick_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_HEARTBEAT_S", 0.1)


async def backfill(capture: Capture, selection: Selection) -> tuple[int, int]:
    """Send the rows; return how many were counted and sent."""
    database = capture.database()
    try:
        async with capture.server() as server:
            work = Backfill(database, server, selection)
            count = await work.count()
            await work.send(capture.said.append, lambda _: None, asyncio.Event())
            return count, work.sent
    finally:
        await database.close()


async def test_backfill_rows_look_like_captured_ones(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(PART)
    await capture.set_up("public.part")

    async with capture.running():
        await followed.run(f"INSERT INTO part SELECT i, {ROW} FROM generate_series(1, 2500) AS i")
        await receiver.until_rows(2_500)
        assert await backfill(capture, Selection("part", None, as_inserted=False)) == (2_500, 2_500)

    captured, read = receiver.rows[:2_500], receiver.rows[2_500:]
    assert [row["after"] for row in read] == [row["after"] for row in captured]
    assert {(row["op"], row["before"], row["source"]["snapshot"]) for row in read} == {("r", None, "incremental")}
    assert read[0]["source"]["table"] == "part"
    assert min(row["source"]["lsn"] for row in read) > max(row["source"]["lsn"] for row in captured)


async def test_backfill_as_inserted_sends_the_rows_that_meet_the_condition(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(PART, f"INSERT INTO part SELECT i, {ROW} FROM generate_series(1, 20) AS i")
    await capture.set_up("public.part")

    async with capture.running():
        await receiver.until(lambda: receiver.position is not None)
        sent = await backfill(capture, Selection("public.part", "id > 15 OR name = 'Chain 3'", as_inserted=True))

    assert sent == (6, 6)
    assert [(row["op"], row["after"]["id"]) for row in receiver.rows] == [("c", i) for i in (3, 16, 17, 18, 19, 20)]


async def test_backfill_comes_after_every_change_that_is_in_the_rows(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    """The last value that is received of each row is never older than one before it."""
    await followed.run("CREATE TABLE part (id int PRIMARY KEY, version int)", "INSERT INTO part VALUES (1, 0)")
    await capture.set_up("public.part")
    stop = asyncio.Event()

    async def write() -> None:
        writer = Followed(followed.url)
        version = 0
        while not stop.is_set():
            version += 1
            await writer.run(f"UPDATE part SET version = {version}")
        await writer.close()

    async with capture.running():
        await receiver.until(lambda: receiver.position is not None)
        writing = asyncio.create_task(write())
        try:
            await receiver.until_rows(20)
            for _ in range(5):
                await backfill(capture, Selection("part", None, as_inserted=False))
        finally:
            stop.set()
            await writing

    known = 0
    for row in receiver.rows:
        version = row["after"]["version"]
        if row["op"] == "u":
            assert version == known + 1
            known = version
        else:
            assert version <= known  # the server has it, or a newer one, and keeps that


async def test_backfill_lost_answer_duplicates_nothing(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(PART, f"INSERT INTO part SELECT i, {ROW} FROM generate_series(1, 20) AS i")
    await capture.set_up("public.part")

    async with capture.running():
        await receiver.until(lambda: receiver.position is not None)
        lsn = await followed.value("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        await receiver.until(lambda: int(str(receiver.position).split("/")[2], 16) >= lsn)
        receiver.lost_answers = 1
        await backfill(capture, Selection("part", None, as_inserted=True))

    assert receiver.values() == list(range(1, 21))


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection("nothing", None, as_inserted=False), "has no table public.nothing; it has public.part"),
        (Selection("part", "colour = 'red'", as_inserted=False), 'column "colour" does not exist'),
        (Selection("part", "id = 1; DROP TABLE part", as_inserted=False), "syntax error"),
    ],
)
async def test_backfill_of_what_is_not_there_says_so(
    selection: Selection, expected: str, followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(PART)
    await capture.set_up("public.part")

    async with capture.running():
        await receiver.until(lambda: receiver.position is not None)
        with pytest.raises(NeedsPersonError, match=expected):
            await backfill(capture, selection)


async def test_backfill_condition_cannot_change_the_database(
    followed: Followed, receiver: ChangeReceiver, capture: Capture
) -> None:
    await followed.run(
        PART,
        "CREATE FUNCTION grow() RETURNS bool LANGUAGE sql AS 'INSERT INTO part (id) VALUES (99) RETURNING true'",
        "INSERT INTO part (id) VALUES (1)",
    )
    await capture.set_up("public.part")

    async with capture.running():
        await receiver.until(lambda: receiver.position is not None)
        with suppress(NeedsPersonError):
            await backfill(capture, Selection("part", "grow()", as_inserted=False))

    assert await followed.value("SELECT count(*) FROM part") == 1


async def test_backfill_before_the_first_capture_says_to_start_it(followed: Followed, capture: Capture) -> None:
    await followed.run(PART)
    await capture.set_up("public.part")

    with pytest.raises(NeedsPersonError, match="start the capture first"):
        await backfill(capture, Selection("part", None, as_inserted=False))
