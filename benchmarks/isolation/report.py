"""The table of results: a row for each scenario, a mark for each goal."""

from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.isolation.results import (
    DELIVERY_P99_MS,
    MEMORY_MB,
    PUBLISH_P99_MS,
    STOP_S,
    Phase,
    Result,
)

WIDTH: Final = 132  # narrower, and figures would be cut off
_PHASES: Final = ("before", "during", "after")
_SHOWN_MAX: Final = 4  # outcomes of the caller

_EXPLAINED: Final = (
    f"B's goals, during and after: refused 0 times, publish p99 at most {PUBLISH_P99_MS:.0f} ms, delivery p99 at most "
    f"{DELIVERY_P99_MS / 1000:.0f} s. The server's: at most {MEMORY_MB} MB, SIGTERM obeyed within {STOP_S:.0f} s. "
    "Times are p50/p99 in ms, before, during and after; ✓ met, ✗ missed."
)


def print_table(console: Console, results: Sequence[Result]) -> None:
    """Print all results, then what went wrong in words, then a summary."""
    table = Table(title="What tenant B sees", caption=_EXPLAINED, caption_justify="left", pad_edge=False)
    table.add_column("scenario", no_wrap=True)
    for title in ("refused", "publish", "delivery", "memory", "SIGTERM"):
        table.add_column(title, justify="right", no_wrap=True)
    for result in results:
        table.add_row(result.scenario, *_cells(result))
    console.print(table)
    for result in results:
        for text in filter(None, (result.error, result.note, result.skipped)):
            console.print(f"{result.scenario}: {text}", style="yellow", highlight=False, markup=False)
    counted = [result for result in results if result.skipped is None]
    met = sum(not result.missed for result in counted)
    skipped = f", {len(results) - len(counted)} skipped" if len(counted) < len(results) else ""
    console.print(f"{met} of {len(counted)} scenarios meet every goal{skipped}.", style="bold")


def _cells(result: Result) -> list[str]:
    if result.during is None or result.after is None:
        return ["skipped" if result.skipped else "[red]error[/]", "", "", "", ""]
    missed = result.missed
    refused = str(result.during.refused + result.after.refused)
    if result.refusals:
        refused += f" ({', '.join(sorted(result.refusals))})"
    memory = "?" if result.memory_mb is None else f"{result.memory_mb:,} MB"
    stop = "killed" if result.stop_s is None else f"{result.stop_s:.1f} s"
    return [
        _marked(refused, "refused" in missed),
        _marked(_times(result, lambda each: (each.publish_p50_ms, each.publish_p99_ms)), "publish" in missed),
        _marked(_times(result, lambda each: (each.delivery_p50_ms, each.delivery_p99_ms)), "delivery" in missed),
        _marked(memory, "memory" in missed),
        _marked(stop, "stop" in missed),
    ]


def _times(result: Result, of: Callable[[Phase], tuple[float | None, float | None]]) -> str:
    phases = (getattr(result, name) for name in _PHASES)
    return "  ".join("-" if phase is None else "/".join(_ms(figure) for figure in of(phase)) for phase in phases)


def _ms(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:,.0f}"


def _marked(text: str, missed: bool) -> str:
    return f"[red]{text} ✗[/]" if missed else f"{text} [green]✓[/]"
