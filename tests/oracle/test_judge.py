"""The judge names every invariant that is violated, and none that is not."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from chaos import Plan, run
from clean_record import clean
from disk import can_mount
from faults import possible
from invariants import judge
from ledger import Ledger
from violations import VIOLATIONS


def broken_by(change: Callable[[Ledger], None]) -> set[str]:
    ledger = clean()
    change(ledger)
    return {finding.invariant for finding in judge(ledger) if finding.broken}


def test_judge_of_a_clean_record_finds_nothing() -> None:
    assert [each for finding in judge(clean()) for each in finding.broken] == []


def test_every_invariant_has_a_violation() -> None:
    assert {finding.invariant for finding in judge(clean())} == set(VIOLATIONS)


@pytest.mark.parametrize(
    ("change", "invariant"), [(change, name) for name, changes in VIOLATIONS.items() for change in changes]
)
def test_judge_of_a_violation_names_the_invariant(change: Callable[[Ledger], None], invariant: str) -> None:
    assert invariant in broken_by(change)


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_oracle_with_one_fault_of_each_kind_finds_nothing(engine: str) -> None:
    faults = possible(with_database=engine == "postgres", with_disk=can_mount())

    # not in pytest's folder: only its owner may read that, and PostgreSQL runs as another user
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        _, findings = run(Plan(engine, faults, len(faults), between=40, seed=7, with_worst_tenant=True), Path(folder))

    assert [(finding.invariant, finding.broken[:3]) for finding in findings if finding.broken] == []
