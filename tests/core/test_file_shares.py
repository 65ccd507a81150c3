"""Files are divided between callers and receivers so that neither takes the other's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_event.core.file_shares import CONNECTIONS_MIN, FileShares, share_files


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (1_000_000, FileShares(callers=4_096, receivers=4_608, in_flight=512)),
        (1_024, FileShares(callers=464, receivers=464, in_flight=348)),
        (256, FileShares(callers=80, receivers=80, in_flight=60)),
        (16, FileShares(callers=16, receivers=16, in_flight=12)),
    ],
)
def test_share_files_by_limit_with_default_settings(limit: int, expected: FileShares) -> None:
    assert share_files(limit, max_connections=4_096, max_in_flight=512) == expected


@given(st.integers(128, 2_000_000), st.integers(16, 100_000), st.integers(1, 10_000))
def test_share_files_never_gives_away_more_than_the_limit(limit: int, max_connections: int, max_in_flight: int) -> None:
    shares = share_files(limit, max_connections=max_connections, max_in_flight=max_in_flight)

    assert shares.callers + shares.receivers <= limit - 96
    assert CONNECTIONS_MIN <= shares.callers <= max_connections
    assert 1 <= shares.in_flight <= max_in_flight
    assert shares.in_flight <= shares.receivers
    assert shares.callers == max_connections or shares.callers >= shares.receivers
