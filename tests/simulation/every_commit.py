"""Let each commit of a short scenario fail in each way: ``python tests/simulation/every_commit.py``."""

import os
import sys
from concurrent.futures import ProcessPoolExecutor

from inline_store import FAULTS, FaultPoint
from judge import Judge
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scenario import run_scenario


def tried(point: FaultPoint) -> tuple[FaultPoint, list[str]]:
    """Return what is wrong after that fault."""
    try:
        return point, Judge(run_scenario(point)).judge()
    except Exception as error:
        return point, [f"the life came to a bad end: {type(error).__name__}: {error}"]


def main() -> int:
    console = Console()
    points = [FaultPoint(commit, fault) for commit in range(1, run_scenario().commits + 1) for fault in FAULTS]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = list(track(pool.map(tried, points, chunksize=16), "commits", len(points), console=console))
    table = Table("fault", "commits", "broken")
    for fault in FAULTS:
        broken = [bool(violations) for point, violations in found if point.fault == fault]
        table.add_row(fault, str(len(broken)), str(sum(broken)))
    console.print(table)
    failed = [(point, violations) for point, violations in found if violations]
    for point, violations in failed[:20]:
        console.print(f"{point}: {violations[0]}", style="red")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
