"""What a run says of goals that were missed: which, by how much, and why, in one line."""

import pytest

from commerce_event.bench.report import BESIDE_CLIENT, Figure, at_least, missed

CALM, BUSY = {"load_before": 0.1, "cores": 2}, {"load_before": 3.5, "cores": 2}
ACCEPTS = Figure("durable accepts", 4_000, "events/s", **at_least(10_000, 4_000))
CLIENT = Figure(BESIDE_CLIENT, 0.271, "ratio", "deliveries, 1,000,000 waiting", **at_least(0.5, 0.271))
FINE = Figure("durable accepts", 12_000, "events/s", **at_least(10_000, 12_000))


def test_nothing_is_said_when_every_goal_is_met() -> None:
    assert missed([FINE, Figure("p50", 5, "ms")], CALM, quick=False) is None


@pytest.mark.parametrize(
    ("figures", "facts", "quick", "why"),
    [
        ([FINE, CLIENT], CALM, False, "out of reach for one interpreter"),
        ([ACCEPTS, CLIENT], CALM, False, "slower than the goals were set for"),
        ([CLIENT], BUSY, False, "other work had the machine, load 3.5 on 2 cores"),
        ([ACCEPTS], BUSY, True, "small counts"),
    ],
)
def test_missed_goals_are_named_with_the_reason(
    figures: list[Figure], facts: dict[str, float], quick: bool, why: str
) -> None:
    line = missed(figures, facts, quick=quick)

    assert line is not None
    assert "\n" not in line
    assert why in line
    assert ("durable accepts 4,000 (≥ 10,000)" in line) == (ACCEPTS in figures)
    assert ("deliveries, 1,000,000 waiting, of the HTTP client alone 0.271 (≥ 0.5)" in line) == (CLIENT in figures)
