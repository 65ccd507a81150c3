"""Bugs that show only under faults are told of as well. One of them here; `make chaos` tries them all."""

from pathlib import Path

import pytest
from seeded_for_chaos import CHAOS_BUGS
from try_under_faults import TOO_LITTLE, told


@pytest.mark.parametrize("bug", ["attempt_not_on_record_before_it_is_sent"])
def test_bug_is_told_of_under_faults(tmp_path: Path, bug: str) -> None:
    found = told(bug, tmp_path)

    assert CHAOS_BUGS[bug].told_by in found, found
    assert TOO_LITTLE not in found, found
