"""Run every benchmark scenario: what `commerce-event bench` measures, and what only developers need.

Run `python -m benchmarks.full` (about 10 minutes), with `--postgres URL` for PostgreSQL with one node and with two.
`--quick` is a smoke test. Prints the same report as `commerce-event bench`.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from benchmarks import backlog, hanging_endpoint, nodes
from benchmarks.backlog import Size
from commerce_event.bench import bulk_backlog, scenarios
from commerce_event.bench.harness import Harness, ShowProgress, Steps
from commerce_event.bench.processes import BenchError, start_module
from commerce_event.bench.report import Arrivals, Figure, machine
from commerce_event.bench.scenarios import Scenarios
from commerce_event.bench.stores import StoreFactory
from commerce_event.cli.bench import print_report, progress_bar

_FAN_OUTS: Final = (1, 10)
_FULL: Final = Size(5.0, (10_000, 1_000_000), 1_000_000, 30_000, 64, 1_000_000)
_QUICK: Final = Size(0.5, (10_000, 50_000), 50_000, 3_000, 16, 10_000)


def measure(folder: Path, postgres: str | None, size: Size, show: ShowProgress, arrivals: Arrivals) -> Iterator[Figure]:
    """Measure SQLite, and PostgreSQL next to it when the URL of a server is given. Raises BenchError."""
    sqlite = StoreFactory(folder)
    count = scenarios.ACCEPT_STEPS + backlog.steps_of(size) + scenarios.LATENCY_STEPS * len(_FAN_OUTS)
    count += hanging_endpoint.STEPS + bulk_backlog.STEPS + (nodes.steps_of(size) if postgres else 0)
    steps = Steps(show, count)
    with start_module("commerce_event.bench.receiver") as receiver:
        harness = Harness(size.seconds, receiver, arrivals)
        basic = Scenarios(harness, sqlite, steps)
        yield from basic.accept()
        yield from backlog.measure(harness, sqlite, basic, steps, size)
        for fan_out in _FAN_OUTS:
            yield from basic.end_to_end(fan_out)
        yield from hanging_endpoint.HangingEndpoint(harness, sqlite, steps).measure()
        yield from bulk_backlog.BulkBacklog(harness, sqlite, steps, size.bulk_backlog).measure()
        if postgres:
            yield from nodes.Nodes(harness, sqlite, StoreFactory(folder, postgres), steps, size).measure()


def main() -> int:
    parser = argparse.ArgumentParser(description="Run every benchmark scenario.")
    parser.add_argument("--quick", action="store_true", help="small counts: a smoke test, not a measurement")
    parser.add_argument("--duration", type=float, help="seconds under load for each figure")
    parser.add_argument("--dir", type=Path, help="folder for the stores; its disk decides the result")
    parser.add_argument("--postgres", help="URL of a PostgreSQL server to measure as well")
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    chosen = parser.parse_args()
    size = _QUICK if chosen.quick else _FULL
    if chosen.duration is not None:
        size = msgspec.structs.replace(size, seconds=chosen.duration)
    facts, arrivals = machine(), Arrivals()
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=chosen.dir) as folder, progress_bar() as show:
        try:
            figures = list(measure(Path(folder), chosen.postgres, size, show, arrivals))
        except BenchError as error:
            print(error, file=sys.stderr)
            return 1
    all_met = print_report(facts, arrivals, figures, quick=chosen.quick, as_json=chosen.json)
    return 1 if chosen.check and not all_met else 0


if __name__ == "__main__":
    sys.exit(main())
