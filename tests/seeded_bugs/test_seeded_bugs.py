"""The oracle finds every bug that is put into the product, and nothing in the product as it is."""

import subprocess
import sys
from pathlib import Path

import pytest
from seeded import BUGS
from try_seeded_bugs import broken_without_a_bug, find, is_found

PUT_IN = """
import os
from put_in import ALL_BUGS, put_in
for name in ALL_BUGS:
    if not (child := os.fork()):
        put_in(name)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise SystemExit(f"{name} does not fit")
"""
# Most of the others need a disk of their own, PostgreSQL or many kills; `make chaos` tries them all.
TRIED = [
    *BUGS,
    "attempt_not_on_record_before_it_is_sent",
    "last_known_values_not_in_the_commit_of_their_change",
    "last_known_values_lost_when_a_node_starts",
    "waiting_notification_raised_twice",
]


def test_every_seeded_bug_fits_the_code_it_is_put_into() -> None:
    folders = [str(Path(__file__).parent), *sys.path]
    program = f"import sys; sys.path[:0] = {folders!r}\n{PUT_IN}"

    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("seed", [1, 11, 21])
def test_oracle_without_a_bug_finds_nothing(tmp_path: Path, seed: int) -> None:
    assert broken_without_a_bug(tmp_path, seed) == {}


@pytest.mark.parametrize("bug", TRIED)
def test_oracle_with_a_seeded_bug_names_its_invariant(tmp_path: Path, bug: str) -> None:
    found = find(bug, tmp_path)

    assert is_found(bug, found), found
