"""The state of a key, and what an admin is warned of."""

import pytest

from commerce_event.core.key_state import key_state, key_warning
from commerce_event.core.model import Key

DAY = 86_400_000
NOW = 1_790_000_000_000


def key(*, age: int = 0, left: int | None = None, revoked: bool = False) -> Key:
    return Key(
        id=1, role="read", client_ids=(1,), name="", digest=b"", created_ms=NOW - age,
        revoked_ms=NOW if revoked else None, expires_ms=None if left is None else NOW + left,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "state"),
    [
        (key(), "active"),
        (key(left=1), "active"),
        (key(left=0), "expired"),
        (key(left=0, revoked=True), "revoked"),
    ],
)
def test_key_state_a_key(given: Key, state: str) -> None:
    assert key_state(given, NOW) == state


@pytest.mark.parametrize(
    ("given", "used_ms", "warning"),
    [
        (key(left=7 * DAY), NOW, "expires in 7 days"),
        (key(left=7 * DAY + 1), NOW, None),
        (key(left=DAY), NOW, "expires in 1 day"),
        (key(left=DAY // 2), NOW, "expires in 12 h"),
        (key(left=59_999), NOW, "expires in 1 min"),
        (key(left=0), None, None),
        (key(age=7 * DAY), None, "never used in 7 days"),
        (key(age=7 * DAY - 1), None, None),
        (key(age=30 * DAY), NOW, None),
        (key(age=30 * DAY, revoked=True), None, None),
    ],
)
def test_key_warning_a_key(given: Key, used_ms: int | None, warning: str | None) -> None:
    assert key_warning(given, used_ms, NOW) == warning
