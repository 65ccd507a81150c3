"""What follows from an attempt: retries on schedule, no attempt too many, every end with its reason."""

import math
import time
from collections.abc import Iterator, Sequence
from email.utils import formatdate
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce_event.core.delivery import (
    OWN_FAULT_DELAY_MAX_S,
    OWN_FAULT_DELAY_S,
    POISON,
    Decision,
    Outcome,
    Outlook,
    can_cancel,
    can_retry,
    decide,
    outlook,
    parse_retry_after,
)
from commerce_event.core.model import Delivery, DeliveryState
from commerce_event.core.retry import DEFAULT_SCHEDULE_S

NOW_MS = 1_800_000_000_000
HOUR_S = 3_600.0
SCHEDULE_S = (5.0, 10.0, 7_200.0)


def outcome(status: int | None = 500, **fields: Any) -> Outcome:
    return Outcome(started_ms=NOW_MS - 20, duration_ms=20.0, status=status, **{"error": None, **fields})


def decided(after: Outcome, **conditions: Any) -> Decision:
    usual = {"failure_count": 0, "schedule_s": SCHEDULE_S, "jitter": 0.0, "jitter_draw": 0.0, "now_ms": NOW_MS}
    return decide(after, **{**usual, **conditions})


def tries(after: Outcome, schedule_s: Sequence[float]) -> Iterator[Decision]:
    """Yield what is decided after every try of a delivery that always ends alike, up to 99 tries."""
    failures = 0
    for number in range(99):
        decision = decided(after, schedule_s=schedule_s, failure_count=failures, own_faults=number)
        failures = decision.failure_count
        yield decision
        if decision.state != "pending":
            return


# Success


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_decide_with_any_2xx_is_delivered(status: int) -> None:
    assert decided(outcome(status), failure_count=3) == Decision("delivered", 3, None)


def test_decide_with_2xx_and_truncated_body_is_delivered() -> None:
    assert decided(outcome(200, error="truncated")).state == "delivered"


@pytest.mark.parametrize("status", [None, 100, 101, 199, 300, 301, 304, 400, 401, 404, 413, 422, 500, 503, 999])
def test_decide_with_any_other_outcome_retries(status: int | None) -> None:
    assert decided(outcome(status)) == Decision("pending", 1, NOW_MS + 5_000)


# The schedule


def test_decide_with_default_schedule_makes_seventeen_attempts_at_documented_delays() -> None:
    decisions = list(tries(outcome(None, error="timeout"), DEFAULT_SCHEDULE_S))

    waits_ms = [decision.due_ms - NOW_MS for decision in decisions if decision.due_ms is not None]
    assert waits_ms == [delay_s * 1_000 for delay_s in DEFAULT_SCHEDULE_S]
    assert decisions[-1] == Decision("dead", 17, None, "attempts_exhausted")
    assert len(decisions) == 17


def test_decide_with_empty_schedule_allows_one_attempt() -> None:
    assert decided(outcome(500), schedule_s=()) == Decision("dead", 1, None, "attempts_exhausted")


schedules = st.lists(st.floats(0, 7 * 86_400), max_size=8)


@given(schedules, st.sampled_from([None, 302, 429, 500]), st.none() | st.floats(0, 1e10))
def test_decide_counts_one_attempt_more_than_delays(
    schedule_s: list[float], status: int | None, retry_after_s: float | None
) -> None:
    decisions = list(tries(outcome(status, retry_after_s=retry_after_s), schedule_s))

    assert [decision.failure_count for decision in decisions] == list(range(1, len(schedule_s) + 2))
    assert (decisions[-1].state, decisions[-1].reason) == ("dead", "attempts_exhausted")


@given(
    schedule_s=schedules.filter(bool),
    status=st.sampled_from([None, 429, 500, 503]),
    retry_after_s=st.none() | st.floats(),
    jitter=st.floats(0, 1),
    jitter_draw=st.floats(0, 1, exclude_max=True),
    now_ms=st.integers(0, 2**42),
    data=st.data(),
)
def test_decide_retry_time_lies_between_schedule_and_jitter_or_retry_after(
    *,
    schedule_s: list[float],
    status: int | None,
    retry_after_s: float | None,
    jitter: float,
    jitter_draw: float,
    now_ms: int,
    data: st.DataObject,
) -> None:
    failures = data.draw(st.integers(0, len(schedule_s) - 1))

    decision = decided(
        outcome(status, retry_after_s=retry_after_s),
        failure_count=failures,
        schedule_s=schedule_s,
        jitter=jitter,
        jitter_draw=jitter_draw,
        now_ms=now_ms,
    )

    assert decision.due_ms is not None
    wait_ms, step_s = decision.due_ms - now_ms, schedule_s[failures]
    assert wait_ms >= step_s * 1_000
    assert wait_ms <= math.ceil(max(step_s * (1 + jitter), HOUR_S) * 1_000)
    if status not in {429, 503} or retry_after_s is None or not retry_after_s > 0:
        assert wait_ms <= math.ceil(step_s * (1 + jitter) * 1_000)


def test_decide_with_jitter_never_shortens_a_delay() -> None:
    waits = [decided(outcome(500), jitter=0.5, jitter_draw=draw).due_ms for draw in (0.0, 0.5, 0.9)]

    assert waits == [NOW_MS + 5_000, NOW_MS + 6_250, NOW_MS + 7_250]


# What the receiver asks for


@pytest.mark.parametrize("status", [429, 503])
def test_decide_with_retry_after_delays_delivery_and_pauses_endpoint(status: int) -> None:
    decision = decided(outcome(status, retry_after_s=60.0))

    assert (decision.due_ms, decision.pause_s, decision.failure_count) == (NOW_MS + 60_000, 60.0, 1)


def test_decide_with_short_retry_after_keeps_the_schedule() -> None:
    decision = decided(outcome(503, retry_after_s=1.0), failure_count=2)

    assert (decision.due_ms, decision.pause_s) == (NOW_MS + 7_200_000, 1.0)


def test_decide_with_long_retry_after_waits_at_most_an_hour() -> None:
    decision = decided(outcome(429, retry_after_s=1e9))

    assert (decision.due_ms, decision.pause_s) == (NOW_MS + 3_600_000, HOUR_S)


def test_decide_with_retry_after_on_last_attempt_pauses_endpoint() -> None:
    assert decided(outcome(429, retry_after_s=60.0), failure_count=3).pause_s == 60.0


@pytest.mark.parametrize("status", [None, 500, 502, 302])
def test_decide_with_retry_after_and_other_status_does_not_pause(status: int | None) -> None:
    assert decided(outcome(status, retry_after_s=60.0)) == Decision("pending", 1, NOW_MS + 5_000)


@pytest.mark.parametrize("retry_after_s", [float("nan"), -60.0, 0.0, float("-inf")])
def test_decide_with_invalid_retry_after_ignores_it(retry_after_s: float) -> None:
    assert decided(outcome(503, retry_after_s=retry_after_s)) == Decision("pending", 1, NOW_MS + 5_000)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.sampled_from([429, 503]), st.integers(0, 2))
def test_decide_with_longer_retry_after_never_waits_less(
    first_s: float, second_s: float, status: int, failures: int
) -> None:
    less, more = (
        decided(outcome(status, retry_after_s=seconds), failure_count=failures).due_ms
        for seconds in sorted((first_s, second_s))
    )

    assert less is not None
    assert more is not None
    assert less <= more


def test_decide_with_410_is_dead_and_switches_endpoint_off() -> None:
    assert decided(outcome(410, retry_after_s=5.0)) == Decision("dead", 1, None, "gone", gone=True)


# Our own faults


@pytest.mark.parametrize("failures", [0, 2, 3])
def test_decide_with_internal_fault_does_not_count_as_failure(failures: int) -> None:
    decision = decided(outcome(None, is_internal=True, error="no_sockets"), failure_count=failures)

    assert decision == Decision("pending", failures, NOW_MS + round(OWN_FAULT_DELAY_S * 1_000))


def test_decide_with_repeated_internal_errors_is_dead_with_reason() -> None:
    decisions = list(tries(outcome(None, is_internal=True, error=POISON), SCHEDULE_S))

    assert decisions[-1] == Decision("dead", 0, None, POISON)
    assert len(decisions) == 25


def test_decide_with_counted_failures_keeps_internal_error_limit() -> None:
    poison = outcome(None, is_internal=True, error=POISON)

    assert decided(poison, failure_count=3, own_faults=23).state == "pending"
    assert decided(poison, failure_count=3, own_faults=24).state == "dead"


def test_decide_without_sockets_retries_forever_with_growing_delays() -> None:
    fault = outcome(None, is_internal=True, error="connect_failed")
    waits_s = [(decided(fault, own_faults=number).due_ms or 0) / 1000 - NOW_MS / 1000 for number in (0, 1, 2, 98)]

    assert waits_s == [5.0, 10.0, 20.0, OWN_FAULT_DELAY_MAX_S]


def test_decide_with_success_after_failures_is_delivered() -> None:
    assert decided(outcome(200), failure_count=3, own_faults=99).state == "delivered"


# States


@pytest.mark.parametrize("state", ["delivered", "dead", "cancelled"])
def test_decision_finished_with_due_time_raises(state: DeliveryState) -> None:
    with pytest.raises(AssertionError):
        Decision(state, 1, NOW_MS)


def test_decision_pending_without_due_time_raises() -> None:
    with pytest.raises(AssertionError):
        Decision("pending", 1, None)


@pytest.mark.parametrize(
    ("state", "retry", "cancel"),
    [("pending", True, True), ("dead", True, False), ("cancelled", True, False), ("delivered", False, False)],
)
def test_can_retry_and_can_cancel_in_each_state(state: DeliveryState, retry: bool, cancel: bool) -> None:
    assert (can_retry(state), can_cancel(state)) == (retry, cancel)


# Retry-After


@pytest.mark.parametrize(("value", "seconds"), [("1", 1.0), ("120", 120.0), (" 120 ", 120.0), ("0120", 120.0)])
def test_parse_retry_after_in_seconds(value: str, seconds: float) -> None:
    assert parse_retry_after([value], NOW_MS) == seconds


@pytest.mark.parametrize(
    "value",
    ["Fri, 15 Jan 2027 08:02:00 GMT", "Friday, 15-Jan-27 08:02:00 GMT", "Fri Jan 15 08:02:00 2027"],
)
def test_parse_retry_after_as_http_date(value: str) -> None:
    assert parse_retry_after([value], NOW_MS) == 120.0


@pytest.mark.parametrize("value", ["Fri Jan 15 08:02:00 2027", "Fri, 15 Jan 2027 08:02:00 -0000"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_parse_retry_after_date_is_gmt_in_any_time_zone(monkeypatch: pytest.MonkeyPatch, value: str, zone: str) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", zone)
        time.tzset()
        seconds = parse_retry_after([value], NOW_MS)
    time.tzset()

    assert seconds == 120.0


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        ["soon"],
        ["-5"],
        ["+5"],
        ["5.5"],
        ["1e9"],
        ["NaN"],
        ["inf"],
        ["٣"],
        ["5, 10"],
        ["5s"],
        ["0x10"],
        ["9" * 5_000],
        ["5", "10"],
        ["5", "5"],
        ["Sun, 06 Nov 1994 08:49:37 GMT"],
        ["Fri, 32 Jan 2027 08:00:00 GMT"],
        ["Fri, 15 Jan 99999 08:00:00 GMT"],
    ],
)
def test_parse_retry_after_with_invalid_value_is_none(values: list[str]) -> None:
    assert parse_retry_after(values, NOW_MS) is None


@given(st.integers(1, 10**9))
def test_parse_retry_after_date_gives_remaining_seconds(seconds: int) -> None:
    value = formatdate(NOW_MS / 1000 + seconds, usegmt=True)

    assert parse_retry_after([value], NOW_MS) == seconds


words = st.sampled_from(["Fri", ",", " ", "15", "Jan", "2027", "08:00:00", "GMT", "+9999", "-", "(", '"', "99999999"])


@settings(max_examples=200)
@given(st.lists(st.text() | st.lists(words).map("".join), max_size=2), st.integers(0, 2**42))
def test_parse_retry_after_never_raises_and_is_never_negative(values: list[str], now_ms: int) -> None:
    seconds = parse_retry_after(values, now_ms)

    assert seconds is None or 0 <= seconds < math.inf


# -- what is left


def a_pending(attempts: int, failures: int, due_ms: int | None = 5_000, *, leased: bool = False) -> Delivery:
    return Delivery(
        id=1, event_id=2, endpoint_id=3, client_id=1, state="pending", attempt_count=attempts, failure_count=failures,
        due_ms=due_ms, leased=leased, order_key=None, replay_id=None, reason=None, created_ms=0, finished_ms=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("attempts", "failures", "attempts_max", "last_ms"),
    [
        (0, 0, 4, 5_000 + 7_000),
        (2, 2, 4, 5_000 + 4_000),
        (3, 3, 4, 5_000),
        (5, 2, 7, 5_000 + 4_000),  # three were interrupted, or made before it was sent again
        (9, 9, 10, 5_000),  # the schedule was shortened: one more
    ],
)
def test_outlook_of_pending_delivery(attempts: int, failures: int, attempts_max: int, last_ms: int) -> None:
    assert outlook(a_pending(attempts, failures), (1, 2, 4), is_sending=True) == Outlook(attempts_max, last_ms)


def test_outlook_follows_what_decide_does() -> None:
    schedule = (1.0, 2.0, 4.0)
    one = a_pending(0, 0)
    before = outlook(one, schedule, is_sending=True)
    now_ms, attempts, state, failures = 5_000, 0, "pending", 0
    while state == "pending":
        attempts += 1
        last_ms = now_ms
        made = decide(
            Outcome(started_ms=now_ms, duration_ms=0, status=500, error="http_500"),
            failure_count=failures, schedule_s=schedule, jitter=0, jitter_draw=0, now_ms=now_ms,
        )  # fmt: skip
        state, failures, now_ms = made.state, made.failure_count, made.due_ms or now_ms

    assert before == Outlook(attempts, last_ms)


def test_outlook_of_attempt_under_way_counts_it_once_and_knows_no_end() -> None:
    assert outlook(a_pending(1, 0, leased=True), (1, 2, 4), is_sending=True) == Outlook(4, None)


def test_outlook_of_held_or_waiting_delivery_knows_no_end() -> None:
    assert outlook(a_pending(0, 0), (1, 2, 4), is_sending=False) == Outlook(4, None)
    assert outlook(a_pending(0, 0, None), (1, 2, 4), is_sending=True) == Outlook(4, None)


def test_outlook_of_ended_delivery_is_none() -> None:
    assert outlook(msgspec.structs.replace(a_pending(4, 4, None), state="dead"), (1, 2, 4), is_sending=True) is None
