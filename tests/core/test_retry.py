"""Durations and retry schedules: strict parsing, and a text form that parses back."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from commerce_event.core.retry import (
    DEFAULT_SCHEDULE_S,
    InvalidDurationError,
    check_schedule,
    format_duration,
    parse_duration,
    parse_schedule,
)

WEEK_S = 7 * 86_400


def test_default_schedule_is_the_documented_one() -> None:
    assert parse_schedule("5s,10s,15s,30s,1m,2m,5m,10m,15m,30m,1h,2h,3h,4h,5h,6h") == DEFAULT_SCHEDULE_S
    assert len(DEFAULT_SCHEDULE_S) == 16
    assert round(sum(DEFAULT_SCHEDULE_S) / 3_600) == 22


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5),
        ("1m", 60),
        ("2h", 7_200),
        ("1d", 86_400),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("0.5m", 30),
        ("90", 90),
        ("0.1", 0.1),
        ("0", 0),
        ("9ms", 0.009),
        (" 5 s ", 5),
    ],
)
def test_parse_duration_with_valid_text_returns_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "-5s",
        "+5s",
        "5x",
        "5S",
        "5 s s",
        "1h30m",
        "1e3",
        "nan",
        "inf",
        "0x10",
        "1_000",
        ".5s",
        "5.s",
        "٣s",
        "9" * 400,
    ],
)
def test_parse_duration_with_any_other_text_raises(text: str) -> None:
    with pytest.raises(InvalidDurationError, match="write for example"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.25, "250ms"),
        (1.5, "1500ms"),
        (5, "5s"),
        (90, "90s"),
        (7_200, "2h"),
        (86_400, "1d"),
        (129_600, "36h"),
    ],
)
def test_format_duration_uses_largest_whole_unit(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(0, 1_000 * WEEK_S))
@example(1_001)
@example(9)
def test_format_duration_parses_back_to_the_millisecond(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


@given(st.lists(st.integers(0, 1_000 * WEEK_S).map(lambda ms: ms / 1000), max_size=50))
def test_parse_schedule_reads_formatted_durations_back(delays_s: list[float]) -> None:
    assert parse_schedule(",".join(map(format_duration, delays_s))) == tuple(delays_s)


def test_parse_schedule_with_empty_text_has_no_retries() -> None:
    assert parse_schedule("") == ()


@pytest.mark.parametrize("delay_s", [-1.0, WEEK_S + 1.0, float("nan"), float("inf")])
def test_parse_schedule_with_delay_outside_limits_raises(delay_s: float) -> None:
    with pytest.raises(InvalidDurationError, match="7 days"):
        check_schedule((5.0, delay_s))


def test_check_schedule_allows_fifty_delays_of_up_to_a_week() -> None:
    assert parse_schedule(",".join(["7d"] * 50)) == (WEEK_S,) * 50
    with pytest.raises(InvalidDurationError, match="at most 50"):
        parse_schedule(",".join(["1s"] * 51))
    with pytest.raises(InvalidDurationError, match="7 days"):
        parse_schedule("8d")
