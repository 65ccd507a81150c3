"""Measure what one tenant, receiver or anonymous caller can do to another tenant (Linux only).

Run `python -m benchmarks.isolation`; docs/reference/isolation.md says how to read the result.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.isolation import names
from benchmarks.isolation.registry import Scenario
from benchmarks.isolation.report import WIDTH, print_table
from benchmarks.isolation.results import Result
from benchmarks.isolation.scenarios import SCENARIOS

_ATTACK_S: Final = 8.0
_MEMORY_MAX_MB: Final = 2_000
_OVERHEAD_S: Final = 55.0  # besides the attack, when everything takes as long as it may
_MISSED: Final = 1
_INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    scenarios = SCENARIOS
    parser = argparse.ArgumentParser(prog="python -m benchmarks.isolation", description=__doc__)
    parser.add_argument("--scenario", nargs="+", metavar="NAME", choices=sorted(scenarios), help="run only these")
    parser.add_argument("--list", action="store_true", help="list the scenarios and exit")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--report-only", action="store_true", help="exit with 0 although goals are missed")
    parser.add_argument("--seconds", type=float, default=_ATTACK_S, help="length of each attack (%(default)s)")
    parser.add_argument(
        "--memory-max",
        type=int,
        default=_MEMORY_MAX_MB,
        metavar="MB",
        help="kill a server that takes more, to protect the machine (%(default)s)",
    )
    options = parser.parse_args(arguments)
    chosen = [scenarios[name] for name in options.scenario or scenarios]
    console = Console()
    if console.width < WIDTH:
        console = Console(width=WIDTH)
    if options.list:
        console.print(_listed(chosen))
        return 0
    results: list[Result] = []
    interrupted = False
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no server outlives the run
    try:
        results.extend(_run(chosen, options.seconds, options.memory_max))  # those so far stay when it is interrupted
    except KeyboardInterrupt:
        interrupted = True
    if options.json:
        print(msgspec.json.format(msgspec.json.encode([_with_goals(result) for result in results])).decode())
    else:
        print_table(console, results)
    if interrupted:
        return _INTERRUPTED
    return _MISSED if not options.report_only and any(result.missed for result in results) else 0


def _listed(chosen: Sequence[Scenario]) -> Table:
    table = Table("scenario", "uses", "what the caller does", pad_edge=False)
    for each in chosen:
        table.add_row(each.name, each.kind, f"{each.summary}\n[dim]{each.details}[/]")
    return table


def _with_goals(result: Result) -> dict[str, object]:
    return {**msgspec.to_builtins(result), "missed": result.missed}


def _run(chosen: Sequence[Scenario], seconds: float, memory_max_mb: int) -> Iterator[Result]:
    """Run the scenarios one after the other, with a progress bar on stderr."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:38}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=len(chosen))
        for each in chosen:
            progress.update(task, description=each.name)
            yield _run_one(each, seconds, memory_max_mb)
            progress.advance(task)


def _run_one(scenario: Scenario, seconds: float, memory_max_mb: int) -> Result:
    """Run a scenario in processes that are gone afterwards."""
    prefix: Sequence[str] = ()
    if scenario.silent_names:
        if not names.available():
            return Result(scenario=scenario.name, skipped="needs `unshare` and the right to make namespaces")
        prefix = names.NAMESPACES
    command = [*prefix, sys.executable, "-m", "benchmarks.isolation.trial"]
    process = subprocess.Popen(
        [*command, scenario.name, str(seconds), str(memory_max_mb)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=seconds + _OVERHEAD_S)
        return msgspec.json.decode(output.splitlines()[-1], type=Result)
    except (subprocess.TimeoutExpired, IndexError, msgspec.DecodeError) as error:
        late = isinstance(error, subprocess.TimeoutExpired)
        said = "" if late else errors.decode(errors="replace").strip()[-500:]
        return Result(scenario=scenario.name, error=said or "did not end in time")
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the process, its server and its probe: they are a session of their own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


if __name__ == "__main__":
    sys.exit(main())
