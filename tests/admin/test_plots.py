"""Plots as geometry: scales that people can read, round times, and a last step that has only begun."""

import pytest

from commerce_event.admin.plots import Series, columns, lines

MINUTES = [f"2026-01-31T12:{minute:02}:00.000Z" for minute in range(7, 57)]


def counts(*values: float | None) -> Series:
    return Series("made", "good", [0] * (len(MINUTES) - len(values)) + list(values))


@pytest.mark.parametrize(
    ("most", "labels"),
    [(0, ["0", "1"]), (1, ["0", "1"]), (3, ["0", "2", "4"]), (5, ["0", "3", "6"]), (31, ["0", "20", "40"])],
)
def test_counts_have_no_fractions(most: int, labels: list[str]) -> None:
    assert [mark.text for mark in columns("x", MINUTES, [counts(most)]).grid] == labels


def test_values_with_a_unit_may_have_fractions_and_the_scale_may_be_given() -> None:
    assert [mark.text for mark in lines("x", MINUTES, [counts(4.6)], " s").grid] == ["0", "2.5", "5"]
    assert [mark.text for mark in lines("x", MINUTES, [counts(12)], " %", top=100).grid] == ["0", "50", "100"]


def test_room_at_the_left_follows_the_longest_label() -> None:
    short, long = columns("x", MINUTES, [counts(2)]), columns("x", MINUTES, [counts(1_250)], " ms")

    assert short.left < long.left
    assert all(step.x >= long.left for step in long.steps)


def test_times_are_round_and_leave_room_for_now() -> None:
    plot = columns("x", MINUTES, [counts(1)])

    assert [mark.text for mark in plot.times] == ["12:15", "12:30", "12:45"]
    assert plot.times[0].time == "2026-01-31T12:15:00Z"
    assert plot.times[0].at == pytest.approx(plot.left + (plot.right - plot.left) * 8 / 50, abs=0.1)
    assert plot.times[-1].at <= plot.right - 60


def test_last_step_is_drawn_as_one_that_has_only_begun() -> None:
    bars = columns("x", MINUTES, [counts(3, 2)]).bars
    drawn = lines("x", MINUTES, [counts(3, 2)]).lines

    assert [bar.tone for bar in bars] == ["good", "good partial"]
    assert sorted(line.tone for line in drawn) == ["good", "good partial"]


def test_missing_values_break_the_line_and_a_lonely_one_is_a_dash() -> None:
    drawn = lines("x", MINUTES, [counts(None, 5, None, None)]).lines

    assert [len(line.points.split()) for line in drawn] == [len(MINUTES) - 4, 2]


def test_newest_values_and_emptiness_are_told() -> None:
    assert columns("x", MINUTES, [counts(1_234)]).newest == "made 1,234"
    assert columns("x", MINUTES, [counts()]).empty
    assert columns("x", [], []).empty
