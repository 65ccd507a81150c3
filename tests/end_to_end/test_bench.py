"""The benchmark: it measures what it says, notices what is lost, and leaves nothing behind. No figure is judged."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from postgres import server_url

from commerce_event.bench.processes import BenchError, figures_of, printing_its_port
from commerce_event.http.uvicorn_server import listen

COMMAND = (sys.executable, "-m", "commerce_event", "bench", "--quick")
DEADLINE_S = 200.0
RATIOS = {
    "of the HTTP server alone",
    "of the HTTP client alone",
    "queue, 1 endpoint, large/small backlog",
    "queue, 8 endpoints, large/small backlog",
    "server peak memory, large/small backlog",
    "PostgreSQL queue, 1 endpoint, large/small backlog",
    "PostgreSQL queue, 8 endpoints, large/small backlog",
    "PostgreSQL, 10,000 deliveries later",
    "of SQLite in this run",
    "of the same without it",
}


async def start(folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COMMERCE_EVENT_")}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *COMMAND, "--dir", str(folder), *arguments, stdout=pipe, stderr=pipe, env=environment
    )


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def processes_naming(text: str) -> list[int]:
    """Return the processes whose command line or environment names something."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            told = (place / "cmdline").read_bytes() + (place / "environ").read_bytes()
        except OSError:
            continue  # it has ended
        if text.encode() in told:
            found.append(int(place.name))
    return found


async def test_quick_run_reports_every_scenario_and_nothing_is_missing(tmp_path: Path) -> None:
    process = await start(tmp_path, "--json", "--duration", "0.2", "--postgres", server_url())
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()

    assert process.returncode == 0, err.decode()
    report: dict[str, Any] = json.loads(out)
    assert report["arrivals"]["wanted"] > 0
    assert report["arrivals"]["missing"] == 0
    assert report["machine"].keys() == {"processor", "cores", "python", "sqlite", "system", "load_before"}
    figures = {(figure.get("of"), figure["name"]): figure for figure in report["figures"]}
    assert len(figures) == len(report["figures"])  # each can be told from the others
    assert all(figure["value"] > 0 and figure["unit"] for figure in figures.values())
    assert {figure["name"] for figure in figures.values() if figure["unit"] == "ratio"} == RATIOS
    assert all(
        "goal" in figure and "met" in figure
        for (of, _), figure in figures.items()
        if figure["unit"] == "ratio" and "SQLite" not in figure["name"]
    )
    for nodes in ("SQLite", "PostgreSQL, 1 node", "PostgreSQL, 2 nodes"):
        assert (None, f"{nodes}: durable accepts") in figures
        assert (None, f"{nodes}: end to end") in figures
    for fan_out in (1, 10):
        headline = f"end to end, fan-out {fan_out}"
        assert figures[None, headline]["cores"].keys() == {"server", "receiver", "load"}
        assert figures[headline, "deliveries"]["value"] == pytest.approx(fan_out * figures[None, headline]["value"])
        assert (
            figures[headline, "p50 at half of that rate"]["value"]
            <= (figures[headline, "p99 at half of that rate"]["value"])
        )
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_interrupted_run_leaves_no_process_and_no_file(tmp_path: Path, number: signal.Signals) -> None:
    process = await start(tmp_path)
    async with asyncio.timeout(DEADLINE_S):
        while len(processes_naming(str(tmp_path))) < 2:  # the run itself, and a server on a store in its folder
            await asyncio.sleep(0.05)
        process.send_signal(number)
        await process.communicate()

    assert process.returncode == 128 + number
    assert processes_naming(str(tmp_path)) == []
    assert left_in(tmp_path) == []


def test_receiver_tells_repeated_deliveries_from_different_ones() -> None:
    with printing_its_port("receiver") as receiver:
        for path, order in (("/0", 1), ("/0", 1), ("/0", 2), ("/1", 1)):
            receiver.api.post(path, content=b'{"OrderId":%d}' % order)
        counted = receiver.api.get("/figures").json()
        after = receiver.api.get("/figures").json()

    assert (counted["count"], counted["different"]) == (4, 3)
    assert (after["count"], after["different"]) == (0, 0)


def test_part_that_does_not_finish_is_ended_and_told_of() -> None:
    with listen("127.0.0.1", 0) as silent:
        silent.listen()  # connections are taken, nothing is ever answered
        with pytest.raises(BenchError, match="load failed or took longer than 1 s"):
            figures_of("load", silent.getsockname()[1], "key", 0.1, 1, 0.0, 0, timeout_s=1.0)
