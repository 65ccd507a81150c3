"""Durations: measured ones have at most two units, configured ones are exact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_event.core.durations import duration_text, setting_duration

_SIZES = {"s": 1, "min": 60, "h": 3_600, "day": 86_400, "days": 86_400}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (45, "45 s"), (59.6, "1 min"), (90, "1 min 30 s"), (240, "4 min"), (3_599.9, "1 h"),
        (7_500, "2 h 5 min"), (86_400, "1 day"), (86_399, "1 day"), (273_600, "3 days 4 h"), (-5, "0 s"),
    ],
)  # fmt: skip
def test_duration_text_has_the_two_largest_units(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@given(st.floats(0, 1e9))
def test_duration_text_is_near_the_duration(seconds: float) -> None:
    parts = duration_text(seconds).replace(",", "").split()
    said = sum(int(count) * _SIZES[unit] for count, unit in zip(parts[::2], parts[1::2], strict=True))
    smallest = _SIZES[parts[-1]] if len(parts) == 4 else 1
    assert abs(said - seconds) <= max(smallest, seconds * 0.03, 1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.05, "0.05 s"),
        (15, "15 s"),
        (60, "1 min"),
        (90, "1 min 30 s"),
        (3_600, "1 h"),
        (5_400.5, "1 h 30 min 0.5 s"),
        (86_400, "1 day"),
    ],
)
def test_setting_duration_is_exact(seconds: float, text: str) -> None:
    assert setting_duration(seconds) == text
