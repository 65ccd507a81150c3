"""Put each seeded bug into the product and have the oracle find it in a short run.

    python tests/seeded_bugs/try_seeded_bugs.py [BUG ...]

Exits 1 when a bug does not break its invariant, or when too little happened for another reason than the bug.
"""

import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "oracle"))

from chaos import Plan, run
from disk import can_mount
from faults import OF_A_DISK
from invariants import ENOUGH as TOO_LITTLE
from put_in import ALL_BUGS

_BETWEEN = 40
_QUIET_S = 20.0


def broken_by(bug: str, folder: Path, seed: int = 1) -> dict[str, list[str]]:
    """Run the product with a bug under the faults that show it; return what is broken, by invariant."""
    engine, faults = ("sqlite", ("kill",)) if bug == "none" else (ALL_BUGS[bug].engine, ALL_BUGS[bug].faults)
    idle_s = 4.0 if bug == "file_leaked_now_and_then" else 0.0
    plan = Plan(engine, faults, len(faults), _BETWEEN, seed, bug, idle_s=idle_s, quiet_s=_QUIET_S)
    _, findings = run(plan, folder)
    return {finding.invariant: finding.broken for finding in findings if finding.broken}


def is_found(bug: str, found: dict[str, list[str]]) -> bool:
    """Is the bug's invariant broken, in a run with everything in it that the bug does not prevent?"""
    lacking = {outcome.rpartition(": ")[0] or outcome for outcome in found.get(TOO_LITTLE, ())}
    return ALL_BUGS[bug].told_by in found and lacking <= set(ALL_BUGS[bug].prevents)


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
            found = broken_by(bug, Path(folder))
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
