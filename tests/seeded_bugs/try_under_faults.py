"""Put each bug of `seeded_for_chaos` into the product and have the judge of `tests/oracle` tell of it.

    python tests/seeded_bugs/try_under_faults.py [BUG ...]

Exits 1 when a bug is not told of, or when all that is told is that too little happened.
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
from seeded_for_chaos import CHAOS_BUGS

__all__ = ["TOO_LITTLE", "told"]
_BETWEEN = 60


def told(bug: str, folder: Path) -> dict[str, list[str]]:
    """Run the product with a bug under its faults; return what is broken, by invariant."""
    chosen = CHAOS_BUGS[bug]
    plan = Plan(chosen.engine, chosen.faults, len(chosen.faults), _BETWEEN, bug=bug)
    _, findings = run(plan, folder)
    return {finding.invariant: finding.broken for finding in findings if finding.broken}


def can_be_tried(bug: str) -> bool:
    return can_mount() or set(CHAOS_BUGS[bug].faults).isdisjoint(OF_A_DISK)


def main(bugs: list[str]) -> int:
    """Try the bugs, one after the other."""
    missed = []
    for bug in bugs:
        if not can_be_tried(bug):
            print(f"{bug}: cannot be tried here")
            continue
        started = time.monotonic()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            found = told(bug, Path(folder))
        wanted = CHAOS_BUGS[bug].told_by
        line = f"told: {found.get(wanted, [''])[0][:120]}"
        if wanted not in found or TOO_LITTLE in found:
            missed.append(bug)
            line = f"NOT TOLD, but {found}"
        print(f"{bug} ({time.monotonic() - started:.0f} s): {wanted}: {line}", flush=True)
    print(f"{len(bugs) - len(missed)} of {len(bugs)} told of")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(CHAOS_BUGS)))
