"""Percentiles, exact and read off a histogram."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_event.api.activity import percentile_ms
from commerce_event.api.endpoint_stats import nearest_rank
from commerce_event.store.model import LATENCY_BOUNDS_MS

BUCKETS = len(LATENCY_BOUNDS_MS) + 1


def test_no_attempts_have_no_percentile() -> None:
    assert percentile_ms([0] * BUCKETS, 0.5) is None
    assert percentile_ms([], 0.5) is None


def test_percentile_lies_in_the_bucket_that_holds_it() -> None:
    counts = [0, 0, 10, *[0] * (BUCKETS - 3)]  # all between 10 and 25 ms

    assert percentile_ms(counts, 0.5) == 17.5


def test_attempts_above_the_last_bound_count_as_that_bound() -> None:
    assert percentile_ms([*[0] * (BUCKETS - 1), 3], 0.5) == LATENCY_BOUNDS_MS[-1]


@given(st.lists(st.integers(0, 1000), min_size=BUCKETS, max_size=BUCKETS).filter(any))
def test_percentiles_never_fall_as_the_share_grows(counts: list[int]) -> None:
    found = [percentile_ms(counts, share / 20) or 0.0 for share in range(1, 21)]

    assert found == sorted(found)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, None), ([7], 0.99, 7), ([1, 2], 0.5, 1), ([*range(1, 21)], 0.95, 19), ([*range(1, 101)], 0.99, 99)],
)
def test_nearest_rank_is_the_smallest_value_that_covers_the_share(
    values: list[float], share: float, expected: float | None
) -> None:
    assert nearest_rank(values, share) == expected
