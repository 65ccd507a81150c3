"""Power loss or a full disk at each single commit of a short scenario.

Every commit goes wrong in one of the four ways here; ``python tests/simulation/every_commit.py`` tries all four.
"""

from pathlib import Path
from typing import Final

import pytest
from inline_store import FAULTS, Disk, Fault, FaultPoint
from judge import Judge
from scenario import EVENTS, run_scenario

_PARTS: Final = 8


@pytest.fixture(scope="module")
def commits() -> int:
    record = run_scenario()
    assert not Judge(record).judge()
    assert record.counts["accepted"] == EVENTS
    assert {kept.delivery.state for kept in record.kept} == {"delivered", "dead", "cancelled"}
    assert record.commits > 4 * EVENTS
    return record.commits


@pytest.mark.parametrize("part", range(_PARTS))
def test_fault_at_any_commit_breaks_nothing(part: int, commits: int) -> None:
    violations = []
    for commit in range(1 + part, commits + 1, _PARTS):
        point = FaultPoint(commit, FAULTS[commit // _PARTS % len(FAULTS)])
        record = run_scenario(point)
        assert record.counts["fault"] == 1, point
        violations += [(point, violation) for violation in Judge(record).judge()]
    assert not violations


def test_judge_notices_a_disk_that_loses_flushed_data(commits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fails = Disk.fails

    def lose_more(self: Disk, fault: Fault, log: Path, written_from: int = 0) -> bool:
        return fails(self, fault, log, written_from // 2)

    monkeypatch.setattr(Disk, "fails", lose_more)
    assert any(Judge(run_scenario(FaultPoint(commit, "torn"))).judge() for commit in range(50, commits, 50))
