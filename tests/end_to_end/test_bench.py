"""`commerce-event bench` and `python -m benchmarks.full` on this machine; the tests do not judge any figure."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from postgres import server_url

from commerce_event.bench.harness import Harness
from commerce_event.bench.processes import BenchError, run_module, start_module
from commerce_event.bench.report import Arrivals
from commerce_event.http.uvicorn_server import listen

COMMAND = (sys.executable, "-m", "commerce_event", "bench", "--quick")
DEVELOPER_COMMAND = (sys.executable, "-m", "benchmarks.full", "--quick")
ROOT = Path(__file__).parents[2]
DEADLINE_S = 200.0
RATIOS = {
    "of the HTTP server alone",
    "of the HTTP client alone",
    "p99, same endpoint/quiet",
    "p99, another endpoint/quiet",
    "server peak memory, backlog/quiet",
}
DEVELOPER_RATIOS = RATIOS | {
    "queue, 1 endpoint, large/small backlog",
    "queue, 8 endpoints, large/small backlog",
    "server peak memory, large/small backlog",
    "PostgreSQL queue, 1 endpoint, large/small backlog",
    "PostgreSQL queue, 8 endpoints, large/small backlog",
    "PostgreSQL, 10,000 deliveries later",
    "of SQLite in this run",
    "of the same without it",
}


async def start(folder: Path, *arguments: str, command: tuple[str, ...] = COMMAND) -> asyncio.subprocess.Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COMMERCE_EVENT_")}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *command, "--dir", str(folder), *arguments, stdout=pipe, stderr=pipe, env=environment, cwd=ROOT
    )


async def report_of(folder: Path, *arguments: str, command: tuple[str, ...] = COMMAND) -> dict[str, Any]:
    """Run to the end; check what holds for every report, and that nothing is left in the folder."""
    process = await start(folder, "--json", "--duration", "0.2", *arguments, command=command)
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    report: dict[str, Any] = json.loads(out)
    assert report["arrivals"]["wanted"] > 0
    assert report["arrivals"]["missing"] == 0
    assert report["machine"].keys() == {"processor", "cores", "python", "sqlite", "system", "load_before"}
    assert all(figure["value"] > 0 and figure["unit"] for figure in report["figures"])
    assert left_in(folder) == []
    return report


def by_name(report: dict[str, Any]) -> dict[tuple[str | None, str], dict[str, Any]]:
    figures = {(figure.get("of"), figure["name"]): figure for figure in report["figures"]}
    assert len(figures) == len(report["figures"])  # each can be told from the others
    return figures


def check_end_to_end(figures: dict[tuple[str | None, str], dict[str, Any]], fan_out: int) -> None:
    headline = f"end to end, fan-out {fan_out}"
    assert figures[None, headline]["cores"].keys() == {"server", "receiver", "load"}
    assert figures[headline, "deliveries"]["value"] == pytest.approx(fan_out * figures[None, headline]["value"])
    latencies = [figures[headline, f"p{percent} at half of that rate"]["value"] for percent in (50, 99)]
    assert latencies == sorted(latencies)


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


async def test_bench_quick_run_reports_throughput_latency_and_ratios(tmp_path: Path) -> None:
    figures = by_name(await report_of(tmp_path))

    ratios = [figure for figure in figures.values() if figure["unit"] == "ratio"]
    assert {ratio["name"] for ratio in ratios} == RATIOS
    assert all("goal" in ratio and "met" in ratio for ratio in ratios)
    assert (None, "durable accepts") in figures
    check_end_to_end(figures, fan_out=1)


async def test_bench_quick_run_on_postgres_reports_the_same_without_goals(tmp_path: Path) -> None:
    figures = by_name(await report_of(tmp_path, "--postgres", server_url()))

    assert {figure["name"] for figure in figures.values() if figure["unit"] == "ratio"} == RATIOS
    assert not any("goal" in figure or "met" in figure for figure in figures.values())
    check_end_to_end(figures, fan_out=1)


async def test_developer_benchmarks_quick_run_reports_every_scenario(tmp_path: Path) -> None:
    figures = by_name(await report_of(tmp_path, "--postgres", server_url(), command=DEVELOPER_COMMAND))

    assert {figure["name"] for figure in figures.values() if figure["unit"] == "ratio"} == DEVELOPER_RATIOS
    assert all(
        "goal" in figure and "met" in figure
        for (of, _), figure in figures.items()
        if figure["unit"] == "ratio" and "SQLite" not in figure["name"]
    )
    for nodes in ("SQLite", "PostgreSQL, 1 node", "PostgreSQL, 2 nodes"):
        assert (None, f"{nodes}: durable accepts") in figures
        assert (None, f"{nodes}: end to end") in figures
    for fan_out in (1, 10):
        check_end_to_end(figures, fan_out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_bench_interrupted_leaves_no_process_and_no_file(tmp_path: Path, number: signal.Signals) -> None:
    process = await start(tmp_path)
    async with asyncio.timeout(DEADLINE_S):
        while len(processes_naming(str(tmp_path))) < 2:  # the run itself, and a server on a store in its folder
            await asyncio.sleep(0.05)
        process.send_signal(number)
        await process.communicate()

    assert process.returncode == 128 + number
    assert processes_naming(str(tmp_path)) == []
    assert left_in(tmp_path) == []


def test_receiver_repeated_deliveries_are_counted_apart_from_different_ones() -> None:
    with start_module("commerce_event.bench.receiver") as receiver:
        for path, order in (("/0", 1), ("/0", 1), ("/0", 2), ("/1", 1)):
            receiver.api.post(path, content=b'{"OrderId":%d}' % order)
        counted = receiver.api.get("/figures").json()
        after = receiver.api.get("/figures").json()

    assert (counted["count"], counted["different"]) == (4, 3)
    assert (after["count"], after["different"]) == (0, 0)


def test_run_module_that_does_not_finish_is_killed_and_named() -> None:
    with listen("127.0.0.1", 0) as silent:
        silent.listen()  # connections are taken, nothing is ever answered
        with pytest.raises(BenchError, match="load failed or took longer than 1 s"):
            run_module("commerce_event.bench.load", silent.getsockname()[1], "key", 0.1, 1, 0.0, 0, timeout_s=1.0)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_load_without_time_publishes_one_event(rate: float) -> None:
    """On a busy machine the time of a short load can be over before the first event is sent."""
    with start_module("commerce_event.bench.baseline", "server") as server:
        load = run_module("commerce_event.bench.load", server.port, "key", 0.0, 4, rate, 0, timeout_s=60.0)

    assert (load["count"], load["refused"]) == (1, 0)


def test_load_refused_is_reported_with_the_status() -> None:
    with start_module("commerce_event.bench.receiver") as receiver:  # answers 200 instead of 202
        harness = Harness(0.0, receiver, Arrivals())
        with pytest.raises(BenchError, match="did not accept 1 of 1 events; the first answer was 200"):
            harness.load([receiver])
