"""The circuit breaker opens late, allows probes with growing pauses, and closes with the first success."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_event.core.circuit import Circuit


def failing(circuit: Circuit, count: int, *, start: float = 0.0, end: float = 0.0) -> Circuit:
    """Record so many failures, spread evenly from start to end."""
    for number in range(count):
        circuit.record(False, start + (end - start) * number / max(1, count - 1))
    return circuit


def opened(at: float = 100.0, *, first_pause_s: float = 1.0, max_pause_s: float = 15.0) -> Circuit:
    circuit = Circuit(threshold=1, min_span_s=0.0, first_pause_s=first_pause_s, max_pause_s=max_pause_s)
    return failing(circuit, 1, start=at)


def test_circuit_closed_allows_up_to_the_limit() -> None:
    circuit = Circuit()

    assert (circuit.state, circuit.failures, circuit.opened_at) == ("closed", 0, None)
    assert [circuit.slots(0.0, in_flight, 4) for in_flight in (0, 3, 4, 9)] == [4, 1, 0, 0]
    assert circuit.next_at(0.0) is None


def test_circuit_after_twenty_failures_over_a_minute_opens() -> None:
    circuit = failing(Circuit(), 20, start=10.0, end=70.0)

    assert (circuit.state, circuit.opened_at, circuit.failures) == ("open", 70.0, 20)


def test_circuit_with_fewer_failures_over_any_time_stays_closed() -> None:
    assert failing(Circuit(), 19, end=9_999.0).state == "closed"


def test_circuit_with_short_burst_of_failures_stays_closed() -> None:
    circuit = failing(Circuit(), 500, start=10.0, end=69.9)
    assert circuit.opened_at is None

    circuit.record(False, 70.0)
    assert circuit.opened_at == 70.0


def test_circuit_after_one_success_restarts_count_and_span() -> None:
    circuit = failing(Circuit(), 19, end=1_000.0)
    circuit.record(True, 1_000.0)
    failing(circuit, 20, start=1_001.0, end=1_060.9)

    assert (circuit.state, circuit.failures) == ("closed", 20)


def test_circuit_with_threshold_zero_never_opens() -> None:
    circuit = failing(Circuit(threshold=0), 1_000, end=9_999.0)

    assert circuit.state == "closed"
    assert circuit.slots(9_999.0, 0, 4) == 4


def test_circuit_open_after_pause_allows_one_probe() -> None:
    circuit = opened(at=100.0)

    assert circuit.slots(100.9, 0, 32) == 0
    assert circuit.next_at(100.9) == 101.0
    assert circuit.slots(101.0, 0, 32) == 1
    assert circuit.slots(101.0, 1, 32) == 0


def test_circuit_next_at_during_probe_is_none() -> None:
    assert opened(at=100.0).next_at(101.0) is None


def test_circuit_pause_doubles_with_each_failed_probe_up_to_its_limit() -> None:
    circuit = opened(at=100.0)
    pauses = []
    for _ in range(6):
        moment = circuit.next_at(circuit.opened_at or 0.0)
        assert moment is not None
        circuit.record(False, moment)
        following = circuit.next_at(moment)
        assert following is not None
        pauses.append(following - moment)

    assert pauses == [2.0, 4.0, 8.0, 15.0, 15.0, 15.0]


def test_circuit_failures_of_attempts_started_before_opening_keep_pause() -> None:
    circuit = failing(opened(at=100.0), 31, start=100.1, end=100.9)

    assert circuit.next_at(100.9) == 101.0
    assert circuit.failures == 32


def test_circuit_first_success_closes_and_resets_pause() -> None:
    circuit = failing(opened(at=100.0), 5, start=200.0, end=600.0)
    circuit.record(True, 700.0)
    assert (circuit.state, circuit.failures, circuit.opened_at) == ("closed", 0, None)
    assert circuit.slots(700.0, 0, 4) == 4

    circuit.record(False, 800.0)
    assert circuit.next_at(800.0) == 801.0


@given(
    st.integers(0, 5),
    st.floats(0, 20),
    st.lists(st.tuples(st.floats(0, 10), st.booleans()), max_size=40),
    st.integers(1, 8),
)
def test_circuit_never_blocks_longer_than_max_pause(
    threshold: int, min_span_s: float, steps: list[tuple[float, bool]], cap: int
) -> None:
    circuit = Circuit(threshold=threshold, min_span_s=min_span_s, first_pause_s=1.0, max_pause_s=15.0)
    now = 0.0
    failures = 0
    for passed_s, delivered in steps:
        now += passed_s
        circuit.record(delivered, now)
        failures = 0 if delivered else failures + 1

        wake_at = circuit.next_at(now)
        if wake_at is None:
            assert circuit.slots(now, 0, cap) > 0
        else:
            assert now < wake_at <= now + 15.0
            assert circuit.slots(now, 0, cap) == 0
            assert circuit.slots(wake_at, 0, cap) == 1
        assert circuit.failures == failures
        assert (circuit.state == "open") == (circuit.opened_at is not None)
        assert circuit.state == "closed" or (threshold and failures >= threshold)


@pytest.mark.parametrize("longest_s", [1.0, 3.0])
def test_circuit_with_custom_pauses_uses_them(longest_s: float) -> None:
    circuit = opened(at=0.0, first_pause_s=0.5, max_pause_s=longest_s)
    assert circuit.next_at(0.0) == 0.5

    failing(circuit, 10, start=10.0, end=100.0)
    assert circuit.next_at(100.0) == 100.0 + longest_s
