"""What becomes of a delivery after a try: the state machine, pure."""

import math
import re
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from commerce_event.core.model import DeliveryState

RETRY_AFTER_MAX_S: Final = 3_600.0
OWN_FAULT_DELAY_S: Final = 5.0  # doubled with each further one
OWN_FAULT_DELAY_MAX_S: Final = 300.0
POISON: Final = "internal"  # our own code failed on this very delivery
_POISON_MAX: Final = 25  # tries of such a delivery before a person has to look
_SECONDS: Final = re.compile(r"\d{1,9}", re.ASCII)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a try brought. ``ours``: the fault is not the receiver's (no sockets left, say)."""

    started_ms: int
    duration_ms: float
    status: int | None
    error: str | None
    response_headers: tuple[tuple[str, str], ...] = ()
    response_body: bytes = b""
    retry_after_s: float | None = None
    is_internal: bool = False

    @property
    def delivered(self) -> bool:
        """A complete 2xx head is a success, whatever became of its body."""
        return self.status is not None and 200 <= self.status <= 299


class Decision(msgspec.Struct, frozen=True):
    """The delivery's new state. ``pause_s`` holds back the whole endpoint; ``gone`` switches it off."""

    state: DeliveryState
    failure_count: int
    due_ms: int | None
    reason: str | None = None
    gone: bool = False
    pause_s: float | None = None

    def __post_init__(self) -> None:
        if (self.due_ms is not None) != (self.state == "pending"):
            raise AssertionError(f"a delivery is due exactly when it is pending, not {self.state} with {self.due_ms}")


def decide(
    outcome: Outcome,
    *,
    failure_count: int,
    schedule_s: Sequence[float],
    jitter: float,
    jitter_draw: float,
    now_ms: int,
    own_faults: int = 0,
) -> Decision:
    """Return what follows from a try that came after ``failure_count`` counted failures.

    ``own_faults`` is how many tries directly before this one came to nothing by faults of ours.
    ``jitter_draw`` in [0, 1) says how much of the jitter is added; a delay never gets shorter than the schedule's.
    """
    if outcome.delivered:
        return Decision("delivered", failure_count, None)
    if outcome.is_internal:
        if outcome.error == POISON and own_faults + 1 >= _POISON_MAX:
            return Decision("dead", failure_count, None, POISON)
        wait_s = min(OWN_FAULT_DELAY_MAX_S, OWN_FAULT_DELAY_S * 2 ** min(own_faults, 10))
        return Decision("pending", failure_count, now_ms + round(wait_s * 1000))
    failures = failure_count + 1
    if outcome.status == 410:
        return Decision("dead", failures, None, "gone", gone=True)
    pause_s = _pause(outcome)
    if failures > len(schedule_s):
        return Decision("dead", failures, None, "attempts_exhausted", pause_s=pause_s)
    wait_s = max(schedule_s[failures - 1] * (1 + jitter * jitter_draw), pause_s or 0.0)
    return Decision("pending", failures, now_ms + math.ceil(wait_s * 1000), pause_s=pause_s)


def parse_retry_after(values: Sequence[str], now_ms: int) -> float | None:
    """Return the seconds a receiver asks us to wait (RFC 9110, 10.2.3); None when it says nothing that makes sense."""
    if len(values) != 1:
        return None
    text = values[0].strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:  # an HTTP date is in GMT, also where it does not say so
            moment = moment.replace(tzinfo=UTC)
        wait_s = moment.timestamp() - now_ms / 1000
    except (ValueError, TypeError, OverflowError):
        return None
    return wait_s if wait_s > 0 else None


def can_retry(state: DeliveryState) -> bool:
    """Whether a person may have a delivery in that state tried (again) now."""
    return state != "delivered"


def can_cancel(state: DeliveryState) -> bool:
    """Whether a person may cancel a delivery in that state."""
    return state == "pending"


def _pause(outcome: Outcome) -> float | None:
    """Return for how long the receiver wants to be left alone, within reason; NaN and past moments mean nothing."""
    asked_s = outcome.retry_after_s
    if outcome.status not in {429, 503} or asked_s is None or not asked_s > 0:
        return None
    return min(asked_s, RETRY_AFTER_MAX_S)
