"""`commerce-event bench`: what this machine does."""

import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from commerce_event.cli.errors import WorkFailedError
from commerce_event.cli.options import AsJson
from commerce_event.cli.output import Columns, console, print_json, table


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Small counts: a smoke test, not a measurement.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 when a goal is missed.")] = False,
    folder: Annotated[Path | None, typer.Option("--dir", help="Where to write; the disk matters.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure accepts, deliveries, latency, CPU and memory, beside ceilings of the same run.

    Starts a server, receivers and a load on 127.0.0.1, in a temporary folder. Compare ratios of one run: machines
    differ, and so do moments.
    """
    import apsw
    import msgspec

    from commerce_event.bench.processes import BenchError
    from commerce_event.bench.scenarios import FULL, QUICK, Figure, run

    machine = {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "system": platform.platform(terse=True),
    }
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="commerce-event-bench-", dir=folder) as place:
        shown = console(stderr=True)
        with shown.status("starting") as status:
            try:
                figures += run(Path(place), QUICK if quick else FULL, status.update)
            except BenchError as error:
                raise WorkFailedError(str(error)) from None
    if as_json:
        print_json({"machine": machine, "figures": msgspec.to_builtins(figures)})
    else:
        marks = {True: "met", False: "missed", None: ""}
        columns: Columns = {
            "": "name", "figure": lambda row: f"{row['value']:,.2f}" if row["value"] < 100 else f"{row['value']:,.0f}",
            "unit": "unit", "goal": lambda row: row.get("wanted"), "result": lambda row: marks[row.get("met")],
        }  # fmt: skip
        console().print(", ".join(f"{name} {value}" for name, value in machine.items()))
        console().print(table(msgspec.to_builtins(figures), columns))
    if check and any(figure.met is False for figure in figures):
        sys.exit(1)
