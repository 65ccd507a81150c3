"""The report of a run: figures, their goals, and the machine that they were measured on."""

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

OF_HTTP_CLIENT: Final = "of the HTTP client alone"
MIB: Final = 1024**2
NOTE: Final = (
    "Compare ratios: absolute figures differ between machines and from minute to minute. When load_before is near the "
    "number of cores, or a baseline's process did not get a whole core, other work on the machine was measured too."
)


class Figure(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the report.

    ``of`` names the figure that this one explains. ``goal`` and ``met`` are set when there is a goal. ``cores`` is how
    many processor cores each process used, when that was measured.
    """

    name: str
    value: float
    unit: str
    of: str | None = None
    goal: str | None = None
    met: bool | None = None
    cores: dict[str, float] | None = None


class Arrivals(msgspec.Struct):
    """How many deliveries had to arrive, did not arrive, and arrived more than once."""

    wanted: int = 0
    missing: int = 0
    repeated: int = 0


def at_least(goal: float, value: float) -> dict[str, Any]:
    return {"goal": f"≥ {goal:,g}", "met": value >= goal}


def at_most(goal: float, value: float) -> dict[str, Any]:
    return {"goal": f"≤ {goal:,g}", "met": value <= goal}


def missed_goals(figures: Sequence[Figure], facts: Mapping[str, Any], *, quick: bool) -> str | None:
    """Return one line that says which goals were missed and why; None when all were met."""
    found = [figure for figure in figures if figure.met is False]
    if not found:
        return None
    names = "; ".join(f"{_full_name(figure)} {figure.value:,.4g} ({figure.goal})" for figure in found)
    return f"Missed: {names}. Why: {_why(found, facts, quick=quick)}."


def _full_name(figure: Figure) -> str:
    return figure.name if figure.of is None else f"{figure.of}, {figure.name}"


def _why(found: Sequence[Figure], facts: Mapping[str, Any], *, quick: bool) -> str:
    if quick:
        return "--quick measures mostly the start"
    if facts["load_before"] >= facts["cores"] / 2:
        return f"the machine was busy before the run: load {facts['load_before']:g} on {facts['cores']} cores"
    if all(figure.name == OF_HTTP_CLIENT for figure in found):
        return "one Python process cannot send half as fast as the HTTP client alone (docs/explanation/performance.md)"
    return "this machine is slower than the one that the goals were set for, or other work ran during the run"


def machine() -> dict[str, Any]:
    """Describe the machine. Call it before a run, because the run itself raises the load."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "system": platform.platform(terse=True),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
