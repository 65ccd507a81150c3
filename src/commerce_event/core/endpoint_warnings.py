"""Warnings before deliveries are sent to an endpoint. Pure."""

from datetime import UTC, datetime
from typing import Final

import msgspec

from commerce_event.core.health import Health

_WARNINGS: Final[dict[Health, str]] = {
    "off": "The endpoint is off: nothing is sent until it is switched on.",
    "paused": "The endpoint is paused: deliveries are held until it is resumed.",
}


class EndpointStanding(msgspec.Struct, frozen=True):
    """The health of an endpoint, and the warning before something is sent to it; None: no warning."""

    health: Health
    warning: str | None


def standing_of(health: Health, *, failures: int, failing_since_ms: int | None, cause: str | None) -> EndpointStanding:
    """Return how an endpoint stands. ``failures`` are those in a row, ``cause`` is that of the newest, in words."""
    if health != "failing":
        return EndpointStanding(health, _WARNINGS.get(health))
    times = f"{failures:,} times in a row" if failures > 1 else "at its newest attempt"
    since = "" if failing_since_ms is None else f" since {_moment(failing_since_ms)}"
    why = f": {cause}" if cause else ""
    end = "" if why.endswith("?") else "."
    return EndpointStanding(health, f"The endpoint has failed {times}{since}{why}{end} Fix it or send a test first.")


def _moment(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
