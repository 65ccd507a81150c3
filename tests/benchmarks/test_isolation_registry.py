"""The scenarios of the isolation benchmark are well formed, and its results are judged by the goals."""

import re
from typing import Any

import pytest

from benchmarks.isolation.probe import Sample, Samples
from benchmarks.isolation.registry import Scenario, scenario
from benchmarks.isolation.results import Phase, Result, phase_of
from benchmarks.isolation.scenarios import SCENARIOS

CALM = Phase(
    published=80,
    refused=0,
    undelivered=0,
    publish_p50_ms=5,
    publish_p99_ms=20,
    delivery_p50_ms=6,
    delivery_p99_ms=30,
    other_p99_ms=9,
)


def result(**changes: Any) -> Result:
    fields = {"scenario": "x", "before": CALM, "during": CALM, "after": CALM, "memory_mb": 90, "stop_s": 0.3}
    return Result(**{**fields, **changes})


def test_registry_has_at_least_25_scenarios() -> None:
    assert len(SCENARIOS) >= 25


@pytest.mark.parametrize("each", SCENARIOS.values(), ids=lambda each: each.name)
def test_scenario_says_what_the_caller_does_and_which_limits_it_uses(each: Scenario) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", each.name)
    assert each.summary.endswith(".")
    assert each.details.startswith("Limits: ")
    assert SCENARIOS[each.name] is each


def test_scenario_with_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(ValueError, match="two scenarios with the name text-search"):
        scenario()(SCENARIOS["text-search"].prepare)


def test_result_within_every_goal_misses_none() -> None:
    assert result().missed == []


@pytest.mark.parametrize(
    ("changes", "goal"),
    [
        ({"after": None, "during": None}, "completed"),
        ({"error": "preparing failed"}, "completed"),
        ({"memory_mb": 601}, "memory"),
        ({"stop_s": None}, "stop"),
        ({"stop_s": 10.1}, "stop"),
    ],
)
def test_result_beyond_a_goal_names_it(changes: dict[str, Any], goal: str) -> None:
    assert result(**changes).missed == [goal]


def test_phase_counts_late_and_refused_samples_of_its_own_time() -> None:
    publishes = [Sample(1.0, 0.01, "202"), Sample(2.0, 0.4, "202"), Sample(2.1, 3.0, "503"), Sample(9.0, 5.0, "503")]
    deliveries = [Sample(1.0, 0.02, "delivered"), Sample(2.0, 2.5, "undelivered")]
    phase = phase_of(Samples(publishes, [Sample(2.0, 10.0, "unanswered")], deliveries), 2.0, 9.0)
    assert (phase.published, phase.refused, phase.undelivered) == (2, 2, 1)
    assert (phase.publish_p99_ms, phase.delivery_p99_ms) == (3_000, 2_500)
    assert result(during=phase).missed == ["refused", "publish", "delivery"]
