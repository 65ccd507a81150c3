"""Shops with an outbox that are killed again and again: each committed order has exactly one event."""

from __future__ import annotations

import os

import pytest
from kills import Plan, new_database
from outbox_bugs import BUGS
from outbox_run import run

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the oracle needs Linux")

KILLS = 20


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_outbox_under_kills_publishes_each_committed_order_once(kind: str) -> None:
    with new_database(kind) as database:
        report = run(Plan(database, "relay", KILLS))
    assert report.violations == []
    assert report.figures["of them killed before"] > 0
    assert min(report.figures[name] for name in ("rolled back", "sent again", "events taken")) > 0


@pytest.mark.parametrize("bug", BUGS)
def test_oracle_finds_the_seeded_bug_of_the_outbox(bug: str) -> None:
    with new_database("sqlite") as database:
        report = run(Plan(database, "relay", 20, bug=bug, stops=0.0, lines=0.0))
    assert any(each.startswith(BUGS[bug].rule) for each in report.violations), report
