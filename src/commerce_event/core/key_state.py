"""The state of an API key, and what an admin should look at."""

from typing import Final, Literal

from commerce_event.core.durations import duration_text
from commerce_event.core.model import Key

KeyState = Literal["active", "expired", "revoked"]

SOON_MS: Final = 7 * 86_400_000  # before its end; and since its creation without a use


def key_state(key: Key, now_ms: int) -> KeyState:
    """Return whether the key is accepted now, and if not, why."""
    if key.revoked_ms is not None:
        return "revoked"
    return "expired" if key.expires_ms is not None and key.expires_ms <= now_ms else "active"


def key_warning(key: Key, used_ms: int | None, now_ms: int) -> str | None:
    """Return what an admin should look at: an active key that ends soon, or that was never used.

    A portal link is meant to end soon.
    """
    if key_state(key, now_ms) != "active" or key.is_portal_link:
        return None
    if key.expires_ms is not None and key.expires_ms - now_ms <= SOON_MS:
        return f"expires in {duration_text((key.expires_ms - now_ms) / 1000)}"
    if used_ms is None and now_ms - key.created_ms >= SOON_MS:
        return f"never used in {duration_text((now_ms - key.created_ms) / 1000)}"
    return None
