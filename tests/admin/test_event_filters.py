"""Times in the fields of a form: what is shown is what is read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_event.admin.event_filters import field_time, full_time
from commerce_event.core.clock import parse_rfc3339, rfc3339


@pytest.mark.parametrize(
    ("given_time", "shown"),
    [
        ("2026-01-31T12:00", "2026-01-31T12:00"),
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00"),
        ("2026-01-31T12:00:07Z", "2026-01-31T12:00:07"),
        ("2026-01-31T12:00:07.120Z", "2026-01-31T12:00:07.120"),
        ("2026-01-31T12:00:00.120Z", "2026-01-31T12:00:00.120"),
        ("2026-01-31T12:00:07+02:00", "2026-01-31T10:00:07"),
        ("2026-01-31T12:00:07 02:00", "2026-01-31T10:00:07"),
        ("yesterday", "yesterday"),
        ("", ""),
        (None, ""),
    ],
)
def test_field_time_is_utc_with_all_that_was_given(given_time: str | None, shown: str) -> None:
    assert field_time(given_time) == shown


@given(st.integers(0, 4_000_000_000_000))
def test_field_time_that_is_shown_and_sent_is_the_same_instant(ms: int) -> None:
    assert parse_rfc3339(full_time(field_time(rfc3339(ms)))) == ms
