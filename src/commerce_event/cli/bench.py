"""`commerce-event bench`: what this machine does."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from commerce_event.cli.errors import WorkFailedError
from commerce_event.cli.options import AsJson
from commerce_event.cli.output import Columns, console, print_json, table
from commerce_event.cli.signals import telling

_WIDTH = 125  # in a narrower terminal lines wrap, which is better than figures cut off
_MARKS = {True: "met", False: "missed", None: ""}


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Small counts: a smoke test, not a measurement.")] = False,
    duration: Annotated[
        float | None,
        typer.Option(min=0.2, max=600, help="Seconds under load for each figure.", show_default="5; 0.5 with --quick"),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--dir", exists=True, file_okay=False, help="Where to write; the disk matters.")
    ] = None,
    postgres: Annotated[
        str | None,
        typer.Option(
            help="A PostgreSQL server to measure as well, with one node and with two; makes and drops databases."
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 when a goal is missed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure accepts, deliveries, latency, CPU and memory, beside ceilings of the same run.

    Starts a server, a receiver and a load on 127.0.0.1, in a temporary folder. Compare ratios of one run: machines
    differ, and so do moments.
    """
    import msgspec

    from commerce_event.bench.harness import FULL, QUICK
    from commerce_event.bench.processes import BenchError
    from commerce_event.bench.report import NOTE, Arrivals, machine, missed
    from commerce_event.bench.run import figures_of_run

    size = QUICK if quick else FULL
    if duration is not None:
        size = msgspec.structs.replace(size, seconds=duration)
    facts = machine()
    with (
        telling(lambda: "no figure is printed"),
        tempfile.TemporaryDirectory(prefix="commerce-event-bench-", dir=folder) as place,
        _progress() as show,
    ):
        counted = Arrivals()
        try:
            found = list(figures_of_run(Path(place), postgres, size, show, counted))
        except BenchError as error:
            raise WorkFailedError(str(error)) from None
    figures, arrivals = msgspec.to_builtins(found), msgspec.to_builtins(counted)
    if as_json:
        print_json({"machine": facts, "note": NOTE, "arrivals": arrivals, "figures": figures})
    else:
        _print(facts, arrivals, figures, NOTE)
    shortfall = missed(found, facts, quick=quick)
    if shortfall is not None:
        console(stderr=True).print(shortfall, soft_wrap=True)
    if check and shortfall is not None:
        sys.exit(1)


def _print(facts: dict[str, Any], arrivals: dict[str, int], figures: list[dict[str, Any]], note: str) -> None:
    columns: Columns = {
        "": lambda row: f"  {row['name']}" if "of" in row else row["name"],
        "figure": lambda row: f"{row['value']:,.2f}" if row["value"] < 100 else f"{row['value']:,.0f}",
        "unit": "unit",
        "goal": "goal",
        "result": lambda row: _MARKS[row.get("met")],
        "cores used": lambda row: ", ".join(f"{name} {share:.2f}" for name, share in row.get("cores", {}).items()),
    }
    out = console()
    out.width = max(out.width, _WIDTH)
    out.print(", ".join(f"{name} {value}" for name, value in facts.items()))
    out.print(table(figures, columns))
    out.print("{wanted:,} deliveries had to arrive: {missing} missing, {repeated} repeated".format(**arrivals))
    out.print(note)


@contextmanager
def _progress() -> Iterator[Any]:
    """Show a bar on standard error; yields what is to be told of the work and the share of it that is done."""
    columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    shown = console(stderr=True)
    with Progress(
        *columns, console=shown, transient=True, refresh_per_second=2, disable=not sys.stderr.isatty()
    ) as progress:
        task = progress.add_task("starting", total=1.0)
        yield lambda what, share: progress.update(task, description=what, completed=share)
