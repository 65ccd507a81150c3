"""Bugs that show only under faults are told of as well. One of them here; `make chaos` tries them all."""

import subprocess
import sys
from pathlib import Path

import pytest
from seeded_for_chaos import CHAOS_BUGS
from try_under_faults import TOO_LITTLE, told

PUT_IN = """
import os
from seeded import BUGS
from seeded_for_chaos import CHAOS_BUGS
for name, bug in (BUGS | CHAOS_BUGS).items():
    if not (child := os.fork()):
        bug.put_in()
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise SystemExit(f"{name} does not fit")
"""


def test_every_bug_still_fits_the_code_that_it_is_put_into() -> None:
    folders = [str(Path(__file__).parent), *sys.path]
    program = f"import sys; sys.path[:0] = {folders!r}\n{PUT_IN}"

    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("bug", ["attempt_not_on_record_before_it_is_sent"])
def test_bug_is_told_of_under_faults(tmp_path: Path, bug: str) -> None:
    found = told(bug, tmp_path)

    assert CHAOS_BUGS[bug].told_by in found, found
    assert TOO_LITTLE not in found, found
