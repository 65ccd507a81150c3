"""Receivers with an inbox that are killed again and again: each acknowledged event has exactly one effect."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from inbox_bugs import BUGS
from inbox_run import run
from kills import Plan, new_database

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the oracle needs Linux")

KILLS = 30
STOPS = {"has_no_fencing": 0.6}  # shows only when a receiver stands still for longer than its claim


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    with new_database(request.param) as made:
        yield made


@pytest.mark.parametrize("mode", ["worker", "accept"])
def test_inbox_under_kills_has_one_effect_of_each_acknowledged_event(mode: str, database: str) -> None:
    report = run(Plan(database, mode, KILLS))
    assert report.violations == []
    assert report.figures["of them killed before"] > 0
    assert report.figures["answers"].get("None", 0) > 0, "no request was cut off"
    assert report.figures["requests"] > report.figures["events"] > KILLS


@pytest.mark.parametrize("bug", BUGS)
def test_oracle_finds_the_seeded_bug(bug: str) -> None:
    with new_database("sqlite") as database:
        report = run(Plan(database, BUGS[bug].mode, 20, bug=bug, stops=STOPS.get(bug, 0.0), lines=0.0))
    assert any(each.startswith(BUGS[bug].rule) for each in report.violations), report
