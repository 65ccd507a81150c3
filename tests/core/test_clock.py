"""The time that nodes share: it follows a server, whatever is done to the machine's own clock."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_event.core.clock import SharedClock

AHEAD_MS = 3_600_000


def compare(clock: SharedClock, ahead_ms: float, *, took_s: float = 0.0) -> None:
    """Let a server answer whose time is so far ahead of the machine's monotonic time."""
    asked_s = clock.monotonic()
    clock.compare_with_server(asked_s * 1000 + ahead_ms, asked_s - took_s / 2, asked_s + took_s / 2)


def shared(ahead_ms: float = AHEAD_MS) -> SharedClock:
    clock = SharedClock()
    compare(clock, ahead_ms)
    return clock


def ahead_ms(clock: SharedClock) -> float:
    return clock.now_ms() - clock.monotonic() * 1000


def test_first_answer_sets_the_clock() -> None:
    assert ahead_ms(shared()) == pytest.approx(AHEAD_MS, abs=50)
    assert shared().drift_ms() == 0


def test_setting_the_machines_clock_has_no_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = shared()
    monkeypatch.setattr(time, "time_ns", lambda: 0)

    assert clock.drift_ms() == 0
    assert ahead_ms(clock) == pytest.approx(AHEAD_MS, abs=50)


def test_clock_that_was_never_compared_goes_by_the_machine() -> None:
    clock = SharedClock()

    assert abs(clock.now_ms() - time.time() * 1000) < 1_000
    assert abs(clock.drift_ms()) < 1_000


def test_slow_answer_that_fits_what_is_known_changes_nothing() -> None:
    clock = shared()
    compare(clock, AHEAD_MS + 400, took_s=1.0)

    assert clock.drift_ms() == 0


def test_answer_that_does_not_fit_moves_the_clock_no_further_than_it_proves() -> None:
    clock = shared()
    compare(clock, AHEAD_MS + 700, took_s=1.0)

    assert clock.drift_ms() == pytest.approx(200, abs=1)


@given(st.lists(st.integers(-1_000, 1_000), min_size=1, max_size=8))
def test_small_corrections_never_make_time_run_backwards(drifts_ms: list[int]) -> None:
    clock = shared()
    said = clock.now_ms()
    for drift_ms in drifts_ms:
        clock.follow(drift_ms)
        assert clock.now_ms() >= said
        said = clock.now_ms()


def test_large_correction_backwards_is_made_at_once() -> None:
    clock = shared()
    clock.now_ms()
    clock.follow(-60_000)

    assert ahead_ms(clock) == pytest.approx(AHEAD_MS - 60_000, abs=50)
