"""`commerce-event bench`: measure this machine."""

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from commerce_event.cli.errors import WorkFailedError
from commerce_event.cli.options import AsJson
from commerce_event.cli.output import Columns, console, print_json, table
from commerce_event.cli.signals import report_interrupt

if TYPE_CHECKING:
    from commerce_event.bench.harness import ShowProgress
    from commerce_event.bench.report import Arrivals, Figure

_WIDTH_MIN = 125  # in a narrower terminal lines wrap, which is better than figures cut off
_RESULTS = {True: "met", False: "missed", None: ""}


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Small counts: a smoke test, not a measurement.")] = False,
    duration: Annotated[
        float | None,
        typer.Option(min=0.2, max=600, help="Seconds under load for each figure.", show_default="5; 0.5 with --quick"),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", exists=True, file_okay=False, help="Folder for the stores; its disk decides the result."),
    ] = None,
    postgres: Annotated[
        str | None,
        typer.Option(help="URL of a PostgreSQL server to measure instead of SQLite; creates and drops databases."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 when a goal is missed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure throughput and latency, and compare both with what this machine can do at most.

    Starts a server, a receiver and a load on 127.0.0.1, with stores in a temporary folder. Compare the ratios, not the
    absolute figures: machines differ, and one machine is not always equally fast.
    """
    import msgspec

    from commerce_event.bench.processes import BenchError
    from commerce_event.bench.report import Arrivals, machine
    from commerce_event.bench.scenarios import FULL, QUICK, measure

    size = QUICK if quick else FULL
    if duration is not None:
        size = msgspec.structs.replace(size, seconds=duration)
    facts = machine()
    arrivals = Arrivals()
    with (
        report_interrupt(lambda: "no figures were measured"),
        tempfile.TemporaryDirectory(prefix="commerce-event-bench-", dir=folder) as stores,
        progress_bar() as show,
    ):
        try:
            figures = measure(Path(stores), postgres, size, show, arrivals)
        except BenchError as error:
            raise WorkFailedError(str(error)) from None
    all_met = print_report(facts, arrivals, figures, quick=quick, as_json=as_json)
    if check and not all_met:
        sys.exit(1)


def print_report(
    facts: Mapping[str, Any], arrivals: "Arrivals", figures: "Sequence[Figure]", *, quick: bool, as_json: bool
) -> bool:
    """Print the report of a run; return whether all goals were met."""
    import msgspec

    from commerce_event.bench.report import NOTE, missed_goals

    rows = msgspec.to_builtins(figures)
    if as_json:
        print_json({"machine": facts, "note": NOTE, "arrivals": msgspec.to_builtins(arrivals), "figures": rows})
    else:
        columns: Columns = {
            "": lambda row: f"  {row['name']}" if "of" in row else row["name"],
            "figure": lambda row: f"{row['value']:,.2f}" if row["value"] < 100 else f"{row['value']:,.0f}",
            "unit": "unit",
            "goal": "goal",
            "result": lambda row: _RESULTS[row.get("met")],
            "cores used": lambda row: ", ".join(f"{name} {share:.2f}" for name, share in row.get("cores", {}).items()),
        }
        out = console()
        out.width = max(out.width, _WIDTH_MIN)
        out.print(", ".join(f"{name} {value}" for name, value in facts.items()))
        out.print(table(rows, columns))
        out.print(f"{arrivals.wanted:,} deliveries sent: {arrivals.missing} missing, {arrivals.repeated} repeated")
        out.print(NOTE)
    missed = missed_goals(figures, facts, quick=quick)
    if missed is not None:
        console(stderr=True).print(missed, soft_wrap=True)
    return missed is None


@contextmanager
def progress_bar() -> Iterator["ShowProgress"]:
    """Show a progress bar on standard error; yield the function that takes a step's name and the share that is done."""
    columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(
        *columns,
        console=console(stderr=True),
        transient=True,
        refresh_per_second=2,
        disable=not sys.stderr.isatty(),
    ) as progress:
        task = progress.add_task("starting", total=1.0)
        yield lambda name, share: progress.update(task, description=name, completed=share)
