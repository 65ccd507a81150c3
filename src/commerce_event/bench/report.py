"""What a run reports: figures beside their goals, and the machine that they hold for."""

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

BESIDE_CLIENT: Final = "of the HTTP client alone"
MIB: Final = 1024**2
NOTE: Final = (
    "Compare the ratios of one run: absolute figures differ between machines and moments. When load_before is near the "
    "number of cores, or the process of a ceiling did not get a whole core, other work was measured too."
)


class Figure(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line. ``of`` names the line that it explains; ``goal`` and ``met`` are set where there is a goal.

    ``cores`` tells how much of one processor core each process used meanwhile, where that was watched.
    """

    name: str
    value: float
    unit: str
    of: str | None = None
    goal: str | None = None
    met: bool | None = None
    cores: dict[str, float] | None = None


class Arrivals(msgspec.Struct):
    """All deliveries that had to arrive, and what the receiver saw of them."""

    wanted: int = 0
    missing: int = 0
    repeated: int = 0


def at_least(goal: float, value: float) -> dict[str, Any]:
    return {"goal": f"≥ {goal:,g}", "met": value >= goal}


def at_most(goal: float, value: float) -> dict[str, Any]:
    return {"goal": f"≤ {goal:,g}", "met": value <= goal}


def missed(figures: Sequence[Figure], facts: Mapping[str, Any], *, quick: bool) -> str | None:
    """Return one line that says which goals were missed and why, None when none was."""
    found = [figure for figure in figures if figure.met is False]
    if not found:
        return None
    names = "; ".join(f"{_full_name(figure)} {figure.value:,.4g} ({figure.goal})" for figure in found)
    return f"Missed: {names}. Why: {_why(found, facts, quick=quick)}."


def _full_name(figure: Figure) -> str:
    return figure.name if figure.of is None else f"{figure.of}, {figure.name}"


def _why(found: Sequence[Figure], facts: Mapping[str, Any], *, quick: bool) -> str:
    if quick:
        return "small counts measure starting up, not the pace"
    if facts["load_before"] >= facts["cores"] / 2:
        return f"other work had the machine, load {facts['load_before']:g} on {facts['cores']} cores before the run"
    if all(figure.name == BESIDE_CLIENT for figure in found):
        return "half of a client as lean as ours is out of reach for one interpreter (docs/explanation/performance.md)"
    return "this machine is slower than the goals were set for, or other work came in during the run"


def machine() -> dict[str, Any]:
    """Return what the figures depend on; asked for before a run, since the run itself is a load."""
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
