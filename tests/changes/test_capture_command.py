"""The command, as a person and a service manager use it."""

import asyncio
import json
import random
import signal
from collections.abc import AsyncIterator

import pytest
from change_receiver import SOURCE, ChangeReceiver
from command_line import Finished, finished, interrupt, run, start
from followed_database import Followed
from running_capture import Capture

CUSTOMER = "CREATE TABLE customer (id int PRIMARY KEY, name text)"
SECRET = "a-secret-that-must-stay-hidden"


class CaptureCommand:
    def __init__(self, followed: Followed, receiver: ChangeReceiver) -> None:
        url = followed.as_user("postgres").url.replace(":secret@", f":{SECRET}@")
        slot = Capture(followed, receiver).slot
        self._arguments = ("capture", url, "--source", SOURCE, "--slot", slot)
        self._environment = {"COMMERCE_EVENT_URL": receiver.url, "COMMERCE_EVENT_KEY": "k" * 20}

    async def run(self, *options: str) -> Finished:
        done = await run(*self._arguments, *options, environment=self._environment)
        assert SECRET not in done.out + done.err
        return done

    async def start(self, *options: str) -> asyncio.subprocess.Process:
        return await start(*self._arguments, *options, environment=self._environment)


@pytest.fixture
async def command(followed: Followed, receiver: ChangeReceiver) -> CaptureCommand:
    await followed.run(CUSTOMER)
    receiver.map_table("public.customer", "name")
    return CaptureCommand(followed, receiver)


@pytest.fixture
async def running(command: CaptureCommand) -> AsyncIterator[asyncio.subprocess.Process]:
    assert (await command.run("--setup")).code == 0
    process = await command.start()
    yield process
    if process.returncode is None:
        process.kill()
        await finished(process)


async def test_command_sets_up_follows_and_tears_down(
    followed: Followed, receiver: ChangeReceiver, command: CaptureCommand
) -> None:
    missing = await command.run("--status")
    made = await command.run("--setup")
    process = await command.start()
    await followed.run("INSERT INTO customer VALUES (1, 'Ann')")
    await receiver.until_rows(1)
    status = await command.run("--status", "--json")
    stopped = await interrupt(process, signal.SIGTERM)
    idle = await command.run("--status")
    removed = await command.run("--teardown")

    assert (missing.code, made.code, status.code, stopped.code, idle.code, removed.code) == (1, 0, 0, 0, 1, 0)
    assert "create it with --setup" in missing.err
    assert "Created the publication commerce_event_shop for public.customer." in made.out
    assert status.json["slot_state"] == "ok"
    assert status.json["warnings"] == []
    assert "stop with Ctrl-C" in stopped.err
    assert "Stopped: 1 changes sent." in stopped.err
    assert SECRET not in stopped.err
    assert "Nothing follows the slot" in idle.err
    assert "Dropped the slot" in removed.out


async def test_command_killed_at_any_moment_loses_and_duplicates_nothing(
    followed: Followed, receiver: ChangeReceiver, command: CaptureCommand
) -> None:
    assert (await command.run("--setup")).code == 0
    chance = random.Random(1)  # of the sizes, not of the moments
    written = 0
    stop = asyncio.Event()

    async def write() -> None:
        nonlocal written
        writer = Followed(followed.url)
        while not stop.is_set():
            if written > len(receiver.rows) + 5_000:  # the capture catches up in the end
                await asyncio.sleep(0.005)
                continue
            size = chance.choice([1, 1, 3, 50, 2_500])
            await writer.run(f"INSERT INTO customer SELECT generate_series({written}, {written + size - 1})")
            written += size
        await writer.close()

    writing = asyncio.create_task(write())
    try:
        for number in range(5):
            process = await command.start()
            before = len(receiver.rows)
            receiver.lost_answers = number % 2
            await receiver.until(lambda before=before, number=number: len(receiver.rows) > before + 500 * number)  # type: ignore[misc]
            await interrupt(process, signal.SIGKILL)
    finally:
        stop.set()
        await writing
    process = await command.start()
    await receiver.until_rows(written)
    await interrupt(process, signal.SIGINT)

    assert receiver.values() == list(range(written))
    assert receiver.positions == sorted(receiver.positions)


async def test_command_survives_a_server_that_goes_away(
    followed: Followed, receiver: ChangeReceiver, running: asyncio.subprocess.Process
) -> None:
    await followed.run("INSERT INTO customer VALUES (1)")
    await receiver.until_rows(1)
    receiver.failures = [503] * 5
    await followed.run("INSERT INTO customer VALUES (2)")
    await receiver.until_rows(2)
    done = await interrupt(running, signal.SIGINT)

    assert done.code == 0
    assert receiver.values() == [1, 2]


async def test_command_ends_while_the_server_does_not_answer(
    followed: Followed, receiver: ChangeReceiver, running: asyncio.subprocess.Process
) -> None:
    await receiver.until(lambda: receiver.position is not None)
    receiver.gate.clear()
    await followed.run("INSERT INTO customer VALUES (1)")
    await receiver.held.wait()
    done = await interrupt(running, signal.SIGTERM)

    assert done.code == 0
    assert receiver.rows == []


async def test_command_prints_its_status_as_json_lines(
    receiver: ChangeReceiver, command: CaptureCommand, followed: Followed
) -> None:
    assert (await command.run("--setup")).code == 0
    process = await command.start("--json")
    assert process.stdout is not None
    async with asyncio.timeout(60):
        line = json.loads(await process.stdout.readline())
    done = await interrupt(process, signal.SIGTERM)

    assert line["state"] == "running"
    assert (line["rows"], line["position"]) == (0, receiver.position)
    assert done.code == 0


async def test_command_backfill_asks_or_needs_yes(
    followed: Followed, receiver: ChangeReceiver, command: CaptureCommand, running: asyncio.subprocess.Process
) -> None:
    await followed.run("INSERT INTO customer VALUES (1, 'Ann'), (2, 'Ben')")
    await receiver.until_rows(2)

    refused = await command.run("--backfill", "customer", "--as-inserted")
    none = await command.run("--backfill", "customer", "--as-inserted", "--where", "id > 5")
    sent = await command.run("--backfill", "customer", "--where", "id = 2", "--as-inserted", "--yes")
    read = await command.run("--backfill", "customer")

    assert (refused.code, none.code, sent.code, read.code) == (2, 0, 0, 0)
    assert "2 rows of customer will be sent as if inserted" in refused.err
    assert "--yes" in refused.err
    assert (none.out, sent.out, read.out) == ("0 rows sent.\n", "1 rows sent.\n", "2 rows sent.\n")
    assert [row["op"] for row in receiver.rows] == ["c", "c", "c", "r", "r"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--setup", "--teardown"), "separate actions"),
        (("--where", "id = 1"), "belong to --backfill"),
        (("--backfill", "nothing"), "has no table public.nothing"),
    ],
)
async def test_command_used_wrongly_says_how(options: tuple[str, ...], expected: str, command: CaptureCommand) -> None:
    done = await command.run(*options)

    assert done.code in {1, 2}
    assert expected in done.err
