"""The event type that a CloudEvent's type names."""

import pytest

from commerce_event.accept.cloud_events import event_type_name


@pytest.mark.parametrize(
    ("type_", "name"),
    [
        ("X", "X"), ("com.example.X", "X"), ("a/b:X", "X"), ("X.v1", "X"), ("X/2", "X"), ("X@1.0", "X"),
        ("X.2026-01-31", "X"), ("x.v1.X", "X"), ("X-v1", "X-v1"), ("X.v", "v"), ("1", "1"), ("", ""), (".1", ""),
    ],
)  # fmt: skip
def test_event_type_name_is_the_last_part_without_a_version(type_: str, name: str) -> None:
    assert event_type_name(type_) == name


def test_event_type_name_of_a_hostile_type_ends_at_once() -> None:
    """Without its bound, it would stop the event loop for hours."""
    assert event_type_name(".1" * 500_000 + "x") == "1x"
