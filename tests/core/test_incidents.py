"""Incidents: which failures are one, when the first delivery dies, and which steps are done."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from commerce_event.core.delivery import Outcome, decide
from commerce_event.core.health import LastHour
from commerce_event.core.incidents import (
    Facts,
    Failing,
    dies_ms,
    failure_code,
    first_dies_ms,
    grouped,
    is_failing,
    next_step,
    steps_of,
)
from commerce_event.core.model import Delivery, Endpoint

NOW_MS = 1_800_000_000_000
ENDPOINT = Endpoint(id=1, client_id=1, url="https://erp.example/hooks", event_types=("*",))


def delivery(**fields: Any) -> Delivery:
    given: dict[str, Any] = {
        "id": 1, "event_id": 1, "endpoint_id": 1, "client_id": 1, "state": "pending", "attempt_count": 1,
        "failure_count": 1, "due_ms": NOW_MS + 1_000, "leased": False, "order_key": None, "replay_id": None,
        "reason": None, "created_ms": NOW_MS, "finished_ms": None,
    }  # fmt: skip
    return Delivery(**(given | fields))


def failing(endpoint_id: int, host: str = "erp.example", code: str = "http_503", since_ms: int = 0) -> Failing:
    return Failing(endpoint_id=endpoint_id, host=host, code=code, since_ms=since_ms)


def facts(**fields: Any) -> Facts:
    given: dict[str, Any] = {
        "state": "open", "since_ms": 1_000, "until_ms": None, "changed_ms": None, "tested_ms": None,
        "last_success_ms": None, "waiting": 3, "dead": 0,
    }  # fmt: skip
    return Facts(**(given | fields))


def done(**fields: Any) -> list[str]:
    return [step.name for step in steps_of(facts(**fields)) if step.done]


@given(
    st.lists(st.integers(0, 100).map(float), max_size=6),
    st.integers(0, 6),
    st.integers(-5_000, 5_000),
    st.booleans(),
)
def test_dies_is_when_every_further_attempt_fails_at_once(
    schedule_s: list[float], failures: int, due_in_ms: int, leased: bool
) -> None:
    failures = min(failures, len(schedule_s))
    waiting = delivery(failure_count=failures, due_ms=NOW_MS + due_in_ms, leased=leased)
    at_ms = NOW_MS if leased else max(NOW_MS, NOW_MS + due_in_ms)
    while True:
        outcome = Outcome(started_ms=at_ms, duration_ms=0, status=500, error="http_500")
        decided = decide(outcome, failure_count=failures, schedule_s=schedule_s, jitter=0, jitter_draw=0, now_ms=at_ms)
        if decided.due_ms is None:
            break
        failures, at_ms = decided.failure_count, decided.due_ms
    assert dies_ms(waiting, schedule_s, NOW_MS) == at_ms


def test_first_dies_is_the_earliest_of_all() -> None:
    early, late = delivery(failure_count=2), delivery(failure_count=0)
    assert first_dies_ms([late, early], [1, 10], NOW_MS) == NOW_MS + 1_000
    assert first_dies_ms([], [1, 10], NOW_MS) is None


def test_a_delivery_that_waits_for_another_dies_after_the_whole_schedule() -> None:
    assert dies_ms(delivery(due_ms=None, failure_count=0), [1, 10], NOW_MS) == NOW_MS + 11_000


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.integers(0, 3)), max_size=8))
def test_groups_have_one_host_and_cause_and_begin_with_the_first_to_fail(given: list[tuple[str, str, int]]) -> None:
    all_ = [failing(number, host, code, since) for number, (host, code, since) in enumerate(given)]
    groups = grouped(all_)
    assert sorted(each.endpoint_id for group in groups for each in group) == list(range(len(given)))
    assert len(groups) == len({(host, code) for host, code, _ in given})
    for group in groups:
        assert len({(each.host, each.code) for each in group}) == 1
        assert group[0].since_ms == min(each.since_ms for each in group)
    assert [group[0].since_ms for group in groups] == sorted(group[0].since_ms for group in groups)


def test_failures_with_the_same_error_have_the_same_code() -> None:
    assert failure_code(503, "http_503") == failure_code(503, None) == "http_503"
    assert failure_code(None, "timeout") == "timeout"
    assert failure_code(None, None) == "no answer"


def test_is_failing_counts_a_paused_endpoint_but_not_one_that_is_off() -> None:
    paused = Endpoint(id=1, client_id=1, url="u", event_types=("*",), paused=True)
    off = Endpoint(id=1, client_id=1, url="u", event_types=("*",), enabled=False)
    poor, good = LastHour(1, 9, None), LastHour(99, 1, None)
    assert is_failing(ENDPOINT, failures=3, last_hour=good, timeout_s=5)
    assert is_failing(paused, failures=3, last_hour=None, timeout_s=5)
    assert is_failing(ENDPOINT, failures=1, last_hour=poor, timeout_s=5)
    assert not is_failing(ENDPOINT, failures=1, last_hour=good, timeout_s=5)
    assert not is_failing(ENDPOINT, failures=0, last_hour=poor, timeout_s=5)
    assert not is_failing(off, failures=9, last_hour=poor, timeout_s=5)


def test_steps_are_done_one_after_another() -> None:
    assert done() == []
    assert done(changed_ms=2_000) == ["fix"]
    assert done(changed_ms=2_000, tested_ms=1_500) == ["fix"]  # tested before the change
    assert done(changed_ms=2_000, tested_ms=3_000) == ["fix", "test"]
    ended = {"state": "ended", "until_ms": 4_000}
    assert done(**ended, dead=2, waiting=0) == ["fix", "test", "send_one"]
    assert done(**ended, waiting=1) == ["fix", "test", "send_one"]
    assert done(**ended, waiting=0) == ["fix", "test", "send_one", "send_all", "closed"]
    assert done(changed_ms=500, tested_ms=600) == []  # before the first failure


def test_a_success_during_failures_counts_as_sent() -> None:
    assert done(last_success_ms=2_000) == ["fix", "test", "send_one"]
    assert done(last_success_ms=500) == []


def test_next_step_is_the_first_that_is_not_done() -> None:
    assert next_step(steps_of(facts())) == "fix"
    assert next_step(steps_of(facts(state="ended", until_ms=4_000, waiting=0))) is None
