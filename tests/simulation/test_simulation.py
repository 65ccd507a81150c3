"""Simulated days of a node with receivers, operators and faults; for more: ``tests/simulation/run.py``."""

import os
import subprocess
import sys

import pytest
from bugs import BUGS, node_with
from judge import Judge
from simulated_run import run_seeded

_SEEDS = 20
_LOOKED_AT = range(1, 9)  # seeds of runs, in one of which each bug must show


@pytest.mark.parametrize("seed", range(_SEEDS))
def test_simulated_run_breaks_no_invariant(seed: int) -> None:
    violations = Judge(run_seeded(seed)).judge()
    assert not violations, f"seed {seed}; replay it: python tests/simulation/run.py --seed {seed} --trace"


def test_trace_is_the_same_in_another_process() -> None:
    program = "from simulated_run import run_seeded; print(run_seeded(2).digest)"
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    assert digests == {run_seeded(2).digest}


def test_trace_depends_on_the_seed_alone() -> None:
    first, again, other = run_seeded(3), run_seeded(3), run_seeded(4)
    assert first.digest == again.digest
    assert first.digest != other.digest
    assert first.counts["attempt"] > 40


@pytest.mark.parametrize("name", sorted(BUGS))
def test_judge_names_the_bug_of_a_node(name: str) -> None:
    bug, sentence = BUGS[name]
    for seed in _LOOKED_AT:
        violations = Judge(run_seeded(seed, node=node_with(bug))).judge()
        if any(sentence in violation for violation in violations):
            return
    pytest.fail(f"{len(_LOOKED_AT)} runs, and no violation says {sentence!r}")


def test_simulated_runs_contain_everything_that_may_happen() -> None:
    records = [run_seeded(seed) for seed in (2, 6, 9, 15)]
    statuses = {arrival.status for record in records for arrival in record.arrivals}
    assert {200, 429, 500, None} <= statuses
    assert any(arrival.cut for record in records for arrival in record.arrivals)
    assert {"pause", "resume", "off", "on"} <= {act.kind for record in records for act in record.acts}
    states = {kept.delivery.state for record in records for kept in record.kept}
    assert states == {"delivered", "dead", "cancelled"}
    for happening in ("crash", "disk full", "clock set", "act"):
        assert any(record.counts.get(happening) for record in records), happening
