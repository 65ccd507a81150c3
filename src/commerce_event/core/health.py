"""The health of an endpoint, in one word: the same in the API, on the screens and in the CLI, on every node."""

from typing import Final, Literal

import msgspec

from commerce_event.core.model import Endpoint

Health = Literal["ok", "failing", "slow", "recovering", "paused", "off"]

FAILING_FROM: Final = 3  # failures in a row
WORST_FIRST: Final[tuple[Health, ...]] = ("failing", "recovering", "slow", "paused", "off", "ok")
_GOOD_RATIO: Final = 0.95  # of the last hour's attempts
_SLOW_SHARE: Final = 0.5  # of the timeout, for 95 % of the last hour's answers


class LastHour(msgspec.Struct, frozen=True):
    """Attempts of the last hour, as stored by all nodes."""

    delivered: int
    failed: int
    latency_p95_ms: float | None

    @property
    def success_ratio(self) -> float | None:
        """The share that succeeded; None without attempts."""
        attempts = self.delivered + self.failed
        return self.delivered / attempts if attempts else None


def health_of(endpoint: Endpoint, *, failures: int, last_hour: LastHour | None, timeout_s: float) -> Health:
    """Return the health of an endpoint.

    ``failures`` are those in a row, as stored. ``failing``: several in a row, or the newest answer is a failure and
    too few of the last hour succeeded. ``recovering``: the newest answer is a success, and too few succeeded.
    """
    if not endpoint.live:
        return "off"
    if endpoint.paused:
        return "paused"
    ratio = None if last_hour is None else last_hour.success_ratio
    is_poor = ratio is not None and ratio < _GOOD_RATIO
    if failures >= FAILING_FROM or (failures and is_poor):
        return "failing"
    if is_poor:
        return "recovering"
    p95_ms = None if last_hour is None else last_hour.latency_p95_ms
    if p95_ms is not None and p95_ms >= timeout_s * 1000 * _SLOW_SHARE:
        return "slow"
    return "ok"
