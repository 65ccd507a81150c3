"""The line that a benchmark run prints about missed goals."""

import pytest

from commerce_event.bench.report import OF_HTTP_CLIENT, Figure, at_least, missed_goals

CALM, BUSY = {"load_before": 0.1, "cores": 2}, {"load_before": 3.5, "cores": 2}
ACCEPTS = Figure("durable accepts", 4_000, "events/s", **at_least(10_000, 4_000))
CLIENT = Figure(OF_HTTP_CLIENT, 0.271, "ratio", "deliveries, 1,000,000 waiting", **at_least(0.5, 0.271))
FINE = Figure("durable accepts", 12_000, "events/s", **at_least(10_000, 12_000))


def test_missed_goals_all_met_returns_none() -> None:
    assert missed_goals([FINE, Figure("p50", 5, "ms")], CALM, quick=False) is None


@pytest.mark.parametrize(
    ("figures", "facts", "quick", "why"),
    [
        ([FINE, CLIENT], CALM, False, "one Python process cannot send half as fast"),
        ([ACCEPTS, CLIENT], CALM, False, "slower than the one that the goals were set for"),
        ([CLIENT], BUSY, False, "busy before the run: load 3.5 on 2 cores"),
        ([ACCEPTS], BUSY, True, "--quick measures mostly the start"),
    ],
)
def test_missed_goals_some_missed_names_them_with_the_reason(
    figures: list[Figure], facts: dict[str, float], quick: bool, why: str
) -> None:
    line = missed_goals(figures, facts, quick=quick)

    assert line is not None
    assert "\n" not in line
    assert why in line
    assert ("durable accepts 4,000 (≥ 10,000)" in line) == (ACCEPTS in figures)
    assert ("deliveries, 1,000,000 waiting, of the HTTP client alone 0.271 (≥ 0.5)" in line) == (CLIENT in figures)
