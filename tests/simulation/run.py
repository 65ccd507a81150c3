"""Do many simulated runs, or one of them again: ``python tests/simulation/run.py --seeds 5000``."""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

import msgspec
from judge import Judge
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from simulated_run import run_seeded


class Summary(msgspec.Struct):
    """The result of one run."""

    seed: int
    days: float
    counts: dict[str, int]
    violations: list[str]


def run_seed(seed: int, lines: bool = False) -> Summary:
    """Run and judge one seed; an exception in it is a violation too."""
    try:
        record = run_seeded(seed, lines=lines)
    except Exception as error:
        return Summary(seed, 0.0, {}, [f"the run ended with an exception: {type(error).__name__}: {error}"])
    if record.lines is not None:
        print("\n".join(record.lines))
    return Summary(seed, record.end_s / 86_400, record.counts, Judge(record).judge())


def main() -> int:
    asked = _arguments()
    console = Console()
    begun = time.monotonic()
    if asked.seed is not None:
        found = [run_seed(asked.seed, asked.trace)]
    else:
        found = list(_run_many(asked.first, asked.seeds, asked.jobs, console))
    console.print(_table(found, time.monotonic() - begun))
    failed = [each for each in found if each.violations]
    for each in failed[:20]:
        console.print(f"seed {each.seed}: {len(each.violations)} violations", style="red")
        for violation in each.violations[:5]:
            console.print(f"  {violation[:500]}", markup=False)
        console.print(f"  replay it: python tests/simulation/run.py --seed {each.seed} --trace")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Do simulated runs and judge them.")
    parser.add_argument("--seeds", type=int, default=100, help="how many runs")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="run this one alone")
    parser.add_argument("--trace", action="store_true", help="with --seed: print what happened in it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at once")
    return parser.parse_args()


def _run_many(first: int, count: int, jobs: int, console: Console) -> Iterator[Summary]:
    columns = (TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress, ProcessPoolExecutor(jobs) as pool:
        task = progress.add_task("runs", total=count)
        for summary in pool.map(run_seed, range(first, first + count), repeat(False), chunksize=1):
            progress.advance(task)
            yield summary


def _table(found: list[Summary], seconds: float) -> Table:
    table = Table(
        "seeds", "simulated days", "events", "attempts", "crashes", "disk full", "clock set", "seconds", "violations"
    )
    totals = [
        sum(each.counts.get(name, 0) for each in found)
        for name in ("accepted", "attempt", "crash", "disk full", "clock set")
    ]
    days, violations = sum(each.days for each in found), sum(len(each.violations) for each in found)
    table.add_row(
        str(len(found)), f"{days:,.0f}", *[f"{total:,}" for total in totals], f"{seconds:.1f}", str(violations)
    )
    return table


if __name__ == "__main__":
    sys.exit(main())
