"""Charts as geometry: readable scales, round times, and an incomplete last step."""

import pytest

from commerce_event.admin.charts import Series, column_chart, line_chart

MINUTES = [f"2026-01-31T12:{minute:02}:00.000Z" for minute in range(7, 57)]


def counts(*values: float | None) -> Series:
    return Series("made", "good", [0] * (len(MINUTES) - len(values)) + list(values))


@pytest.mark.parametrize(
    ("most", "labels"),
    [(0, ["0", "1"]), (1, ["0", "1"]), (3, ["0", "2", "4"]), (5, ["0", "3", "6"]), (31, ["0", "20", "40"])],
)
def test_column_chart_of_counts_has_whole_numbers(most: int, labels: list[str]) -> None:
    assert [mark.text for mark in column_chart("x", MINUTES, [counts(most)]).grid] == labels


def test_line_chart_with_a_unit_may_have_fractions_and_a_fixed_scale() -> None:
    assert [mark.text for mark in line_chart("x", MINUTES, [counts(4.6)], " s").grid] == ["0", "2.5", "5"]
    assert [mark.text for mark in line_chart("x", MINUTES, [counts(12)], " %", top=100).grid] == ["0", "50", "100"]


def test_chart_left_margin_follows_the_longest_label() -> None:
    short, long = column_chart("x", MINUTES, [counts(2)]), column_chart("x", MINUTES, [counts(1_250)], " ms")

    assert short.left < long.left
    assert all(step.x >= long.left for step in long.steps)


def test_chart_times_are_round_and_do_not_overlap_now() -> None:
    chart = column_chart("x", MINUTES, [counts(1)])

    assert [mark.text for mark in chart.times] == ["12:15", "12:30", "12:45"]
    assert chart.times[0].time == "2026-01-31T12:15:00Z"
    assert chart.times[0].at == pytest.approx(chart.left + (chart.right - chart.left) * 8 / 50, abs=0.1)
    assert chart.times[-1].at <= chart.right - 60


def test_chart_last_step_is_partial() -> None:
    bars = column_chart("x", MINUTES, [counts(3, 2)]).bars
    drawn = line_chart("x", MINUTES, [counts(3, 2)]).lines

    assert [bar.tone for bar in bars] == ["good", "good partial"]
    assert sorted(line.tone for line in drawn) == ["good", "good partial"]


def test_line_chart_missing_values_give_gaps_and_single_values_dashes() -> None:
    drawn = line_chart("x", MINUTES, [counts(None, 5, None, None)]).lines

    assert [len(line.points.split()) for line in drawn] == [len(MINUTES) - 4, 2]


def test_chart_knows_its_newest_values_and_whether_it_is_empty() -> None:
    assert column_chart("x", MINUTES, [counts(1_234)]).newest == "made 1,234"
    assert column_chart("x", MINUTES, [counts()]).empty
    assert column_chart("x", [], []).empty


def test_chart_step_ends_before_the_next_one_begins() -> None:
    first, second, *_ = column_chart("x", MINUTES, [counts(1)]).steps

    assert (first.time, first.until) == ("2026-01-31T12:07:00.000Z", "2026-01-31T12:07:59.999Z")
    assert second.time == "2026-01-31T12:08:00.000Z"
