"""Put each seeded bug into the product and have the oracle find it in a short run.

    python tests/seeded_bugs/try_seeded_bugs.py [BUG ...]

A fault meets a bug by chance, so a bug is tried with up to three seeds. Exits 1 when none of them finds it.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "oracle"))

import change_run
from chaos import Plan, run
from disk import can_mount
from faults import OF_A_DISK
from invariants import ENOUGH as TOO_LITTLE
from put_in import ALL_BUGS
from seeded_for_changes import CHANGE_BUGS

_BETWEEN = 40
_CHANGES_BETWEEN = 120
_QUIET_S = 20.0
_SEEDS = 3


def broken_by(bug: str, folder: Path, seed: int) -> dict[str, list[str]]:
    """Run the product with a bug under the faults that show it; return what is broken, by invariant."""
    if bug in CHANGE_BUGS:
        engine, faults = ALL_BUGS[bug].engine, ALL_BUGS[bug].faults
        _, findings = change_run.run(change_run.ChangePlan(engine, len(faults), _CHANGES_BETWEEN, seed, bug), folder)
        return {finding.invariant: finding.broken for finding in findings if finding.broken}
    engine, faults = ("sqlite", ("kill",)) if bug == "none" else (ALL_BUGS[bug].engine, ALL_BUGS[bug].faults)
    idle_s = 4.0 if bug == "file_leaked_now_and_then" else 0.0
    plan = Plan(engine, faults, len(faults), _BETWEEN, seed, bug, idle_s=idle_s, quiet_s=_QUIET_S)
    _, findings = run(plan, folder)
    return {finding.invariant: finding.broken for finding in findings if finding.broken}


def find(bug: str, folder: Path) -> dict[str, list[str]]:
    """Run with one seed after another until the bug is found; return what the last run broke."""
    return _run_until(lambda broken: is_found(bug, broken), bug, folder, first_seed=1)


def broken_without_a_bug(folder: Path, seed: int) -> dict[str, list[str]]:
    """Run the product as it is; run again with another seed where too little happened to judge by."""
    return _run_until(lambda broken: broken.keys() != {TOO_LITTLE}, "none", folder, first_seed=seed)


def is_found(bug: str, broken: dict[str, list[str]]) -> bool:
    return ALL_BUGS[bug].told_by in broken


def _run_until(
    enough: Callable[[dict[str, list[str]]], bool], bug: str, folder: Path, first_seed: int
) -> dict[str, list[str]]:
    broken: dict[str, list[str]] = {}
    for seed in range(first_seed, first_seed + _SEEDS):
        run_folder = folder / str(seed)
        run_folder.mkdir()
        broken = broken_by(bug, run_folder, seed)
        if enough(broken):
            break
    return broken


def can_be_tried(bug: str) -> bool:
    return can_mount() or set(ALL_BUGS[bug].faults).isdisjoint(OF_A_DISK)


def main(bugs: list[str]) -> int:
    """Try the bugs, one after the other."""
    missed = []
    for bug in bugs:
        if not can_be_tried(bug):
            print(f"{bug}: cannot be tried here")
            continue
        started = time.monotonic()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            found = find(bug, Path(folder))
        wanted = ALL_BUGS[bug].told_by
        line = f"found: {found.get(wanted, [''])[0][:120]}"
        if not is_found(bug, found):
            missed.append(bug)
            line = f"NOT FOUND, but {found}"
        print(f"{bug} ({time.monotonic() - started:.0f} s): {wanted}: {line}", flush=True)
    print(f"{len(bugs) - len(missed)} of {len(bugs)} found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(ALL_BUGS)))
