"""Numbers on the screens: three digits, in a unit that fits."""

import pytest

from commerce_event.admin.number_format import duration, latency, short


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.3871, "0.387"), (48.7, "48.7"), (1_234, "1.23k"), (2_500_000, "2.5M")]
)
def test_short_number_has_three_digits(value: float, text: str) -> None:
    assert short(value) == text


@pytest.mark.parametrize(
    ("duration_ms", "text"), [(0.5551, "0.555 ms"), (48.9, "48.9 ms"), (999.6, "1 s"), (2_550, "2.55 s")]
)
def test_latency_of_a_second_or_more_is_in_seconds(duration_ms: float, text: str) -> None:
    assert " ".join(latency(duration_ms)) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (119, "1 min 59 s"), (480, "8 min"), (7_200, "2 h"), (200_000, "2 days 8 h")]
)
def test_duration_uses_the_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text
