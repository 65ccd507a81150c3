"""Commands that are interrupted: each reports how far it got and exits with the right code."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from command_line import DEADLINE_S, Shell, finished, interrupt, start
from ports import free_port
from processes import ServerProcess

from commerce_event.http.uvicorn_server import listen

SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
LINES = "\n".join(json.dumps({"ClientId": 1, "JobId": number, "StatusId": 2}) for number in range(1_200))

GO_ON = "500 accepted, up to line 500 (lines up to 1000 may be accepted too); continue with --skip 500.\n"


async def line_with(stream: asyncio.StreamReader | None, text: str) -> str:
    assert stream is not None
    async with asyncio.timeout(DEADLINE_S):
        while text not in (line := (await stream.readline()).decode()):
            assert line, f"ended without {text!r}"
    return line


class OneBatch:
    """A server that takes the first batch and, once the second is there, waits until it is let go, then goes away."""

    def __init__(self) -> None:
        self.url = ""
        self.second = asyncio.Event()
        self.let_go = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        count = await self._batch(reader)
        body = json.dumps({"items": [], "accepted": count, "duplicates": 0, "refused": 0}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        await self._batch(reader)
        self.second.set()
        await self.let_go.wait()
        writer.close()

    async def _batch(self, reader: asyncio.StreamReader) -> int:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        return (await reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))).count(b"\n") + 1


@pytest.fixture
async def one_batch() -> AsyncIterator[OneBatch]:
    made = OneBatch()
    listener = listen("127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with await asyncio.start_server(made.serve, sock=listener):
        yield made
        made.let_go.set()


async def publishing(one_batch: OneBatch, folder: Path) -> asyncio.subprocess.Process:
    """Return a command whose first batch is taken and whose second is under way."""
    file = folder / "jobs.jsonl"
    file.write_text(LINES)
    environment = {"COMMERCE_EVENT_URL": one_batch.url, "COMMERCE_EVENT_KEY": "k"}
    process = await start("publish", "JobCompletedEvent", str(file), environment=environment)
    async with asyncio.timeout(DEADLINE_S):
        await one_batch.second.wait()
    return process


@SIGNALS
async def test_interrupted_demo_reports_no_result_and_leaves_no_files(number: signal.Signals, tmp_path: Path) -> None:
    process = await start("demo", "--once", "--count", "100000", environment={"TMPDIR": str(tmp_path)})
    await line_with(process.stderr, "Running a shop")
    done = await interrupt(process, number)

    assert done.code == 128 + number
    assert done.err.splitlines()[-1].startswith("commerce-event: Interrupted: ")
    assert done.err.splitlines()[-1].endswith("the rest was not checked.")
    assert "stopped early; arrivals were not checked" in done.out
    assert list(tmp_path.iterdir()) == []


@SIGNALS
async def test_interrupted_publish_says_where_to_continue(
    number: signal.Signals, one_batch: OneBatch, tmp_path: Path
) -> None:
    done = await interrupt(await publishing(one_batch, tmp_path), number)

    assert done.code == 128 + number
    assert done.err == f"commerce-event: Interrupted: {GO_ON}"


async def test_publish_to_a_vanished_server_says_where_to_continue(one_batch: OneBatch, tmp_path: Path) -> None:
    process = await publishing(one_batch, tmp_path)
    one_batch.let_go.set()
    done = await finished(process)

    assert done.code == 1
    assert f"did not answer (RemoteProtocolError); {GO_ON}" in done.err


async def test_interrupted_replay_command_leaves_the_replay_running(server: ServerProcess) -> None:
    server.set(COMMERCE_EVENT_HOLD_DELIVERIES="on")
    await server.start()
    shell = Shell(server)
    made = await shell.json("endpoints", "create", "--client", "1", "--to", f"http://127.0.0.1:{free_port()}/")
    await shell.json("publish", "JobCompletedEvent", stdin=LINES.splitlines()[0])
    process = await start(
        "replays", "start", "--endpoint", made["id"], "--since", "1h", "--only", "all", "--wait",
        environment=shell.environment,
    )  # fmt: skip
    id_ = (await line_with(process.stderr, "is started")).split()[1]
    async with asyncio.timeout(DEADLINE_S):
        while (await shell.json("replays", "get", id_))["queued_at"] is None:
            pass
    done = await interrupt(process, signal.SIGINT)

    assert done.code == 130
    assert f"replay {id_} continues on the server" in done.err


@SIGNALS
async def test_server_logs_that_it_stops_and_has_stopped(number: signal.Signals, tmp_path: Path) -> None:
    process = await start("serve", "--port", "0", folder=tmp_path)
    await line_with(process.stderr, "Serving http://127.0.0.1:")
    done = await interrupt(process, number)

    assert done.code == 0
    assert done.err.splitlines()[0].startswith("Stopping")
    assert done.err.splitlines()[-1] == "Stopped."


async def test_ready_server_prints_its_address_for_programs(tmp_path: Path) -> None:
    process = await start("serve", "--port", "0", "--json", folder=tmp_path)
    ready = json.loads(await line_with(process.stdout, "{"))
    done = await interrupt(process, signal.SIGTERM)

    assert ready["url"].startswith("http://127.0.0.1:")
    assert ready["admin_key"].startswith("key_")
    assert done.code == 0
