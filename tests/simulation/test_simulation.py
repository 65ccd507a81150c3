"""Simulated days of a node with receivers, people and faults, from seeds; more of them: ``tests/simulation/run.py``."""

import os
import subprocess
import sys

import pytest
from bugs import BUGS, node_with
from judge import Judge
from simulated_run import run_world

_SEEDS = 20
_LOOKED_AT = range(1, 9)  # worlds in one of which each bug must show


@pytest.mark.parametrize("seed", range(_SEEDS))
def test_nothing_is_lost_early_late_or_twice_in_a_simulated_world(seed: int) -> None:
    breaches = Judge(run_world(seed)).judge()
    assert not breaches, f"seed {seed}; replay it: python tests/simulation/run.py --seed {seed} --trace"


def test_trace_does_not_depend_on_the_process_it_is_made_in() -> None:
    program = "from world import run_world; print(run_world(2).digest)"
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
    assert digests == {run_world(2).digest}


def test_same_seed_gives_the_same_trace_and_another_seed_another() -> None:
    first, again, other = run_world(3), run_world(3), run_world(4)
    assert first.digest == again.digest
    assert first.digest != other.digest
    assert first.counts["attempt"] > 40


@pytest.mark.parametrize("name", sorted(BUGS))
def test_judge_finds_a_node_that(name: str) -> None:
    bug, sentence = BUGS[name]
    for seed in _LOOKED_AT:
        breaches = Judge(run_world(seed, node=node_with(bug))).judge()
        if any(sentence in breach for breach in breaches):
            return
    pytest.fail(f"{len(_LOOKED_AT)} worlds, and no breach says {sentence!r}")


def test_worlds_have_all_that_may_happen_in_them() -> None:
    records = [run_world(seed) for seed in (2, 6, 11)]
    statuses = {arrival.status for record in records for arrival in record.arrivals}
    assert {200, 429, 500, None} <= statuses
    assert any(arrival.cut for record in records for arrival in record.arrivals)
    states = {kept.delivery.state for record in records for kept in record.kept}
    assert states == {"delivered", "dead", "cancelled"}
    for happening in ("crash", "disk full", "clock set", "act"):
        assert any(record.counts.get(happening) for record in records), happening
