"""The state machine of a delivery: what follows from an attempt. Pure."""

import math
import re
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from commerce_event.core.model import Attempt, AttemptDetails, Delivery, DeliveryState

RETRY_AFTER_MAX_S: Final = 3_600.0
OWN_FAULT_DELAY_S: Final = 5.0  # doubled with each further fault
OWN_FAULT_DELAY_MAX_S: Final = 300.0
POISON: Final = "internal"  # error code: our own code failed on this delivery
_POISON_MAX: Final = 25  # attempts of such a delivery until it is dead
_SECONDS: Final = re.compile(r"\d{1,9}", re.ASCII)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of an attempt. ``is_internal``: the fault is ours, not the receiver's (no sockets left, say)."""

    started_ms: int
    duration_ms: float
    status: int | None
    error: str | None
    response_headers: tuple[tuple[str, str], ...] = ()
    response_body: bytes = b""
    retry_after_s: float | None = None
    details: AttemptDetails | None = None
    is_internal: bool = False

    def attempt(self, number: int) -> Attempt:
        """Return the record of the attempt with this number."""
        return Attempt(
            number=number,
            started_ms=self.started_ms,
            duration_ms=self.duration_ms,
            status=self.status,
            error=self.error,
            response_headers=self.response_headers,
            response_body=self.response_body,
            details=self.details,
        )

    @property
    def delivered(self) -> bool:
        """Whether it is a success: a complete 2xx header block is one, even if the body was cut short."""
        return self.status is not None and 200 <= self.status <= 299


class Decision(msgspec.Struct, frozen=True):
    """The new state of a delivery. ``pause_s`` pauses the whole endpoint; ``gone`` switches it off."""

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
    """Return what follows from an attempt that came after ``failure_count`` counted failures.

    ``own_faults`` is the number of attempts directly before this one that failed by faults of ours.
    ``jitter_draw`` in [0, 1) is the part of the jitter that is added; a delay is never shorter than the schedule's.
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
    pause_s = None
    if outcome.status in {429, 503} and outcome.retry_after_s is not None and outcome.retry_after_s > 0:  # not NaN
        pause_s = min(outcome.retry_after_s, RETRY_AFTER_MAX_S)
    if failures > len(schedule_s):
        return Decision("dead", failures, None, "attempts_exhausted", pause_s=pause_s)
    wait_s = max(schedule_s[failures - 1] * (1 + jitter * jitter_draw), pause_s or 0.0)
    return Decision("pending", failures, now_ms + math.ceil(wait_s * 1000), pause_s=pause_s)


class Outlook(msgspec.Struct, frozen=True):
    """What is left for a delivery: how many attempts it has at most, and when the last one is made."""

    attempts_max: int
    last_attempt_ms: int | None  # None: not known, as nothing is due or sent


def outlook(delivery: Delivery, schedule_s: Sequence[float], *, is_sending: bool) -> Outlook | None:
    """Return what is left for a pending delivery if every attempt fails; None for one that has ended.

    ``schedule_s`` are the retry delays in force, ``is_sending`` is whether its endpoint is sent to. Jitter, and what a
    receiver asks for with Retry-After, may make it later.
    """
    if delivery.state != "pending":
        return None
    made = delivery.attempt_count - delivery.leased  # one that is under way is still to be answered
    left = max(1, len(schedule_s) + 1 - delivery.failure_count)
    if delivery.leased or delivery.due_ms is None or not is_sending:
        return Outlook(made + left, None)
    waits_s = sum(schedule_s[delivery.failure_count :])
    return Outlook(made + left, delivery.due_ms + math.ceil(waits_s * 1000))


def parse_retry_after(values: Sequence[str], now_ms: int) -> float | None:
    """Return the seconds that Retry-After asks for (RFC 9110, 10.2.3); None when it is missing or invalid."""
    if len(values) != 1:
        return None
    text = values[0].strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:  # an HTTP date is in GMT even without saying so
            moment = moment.replace(tzinfo=UTC)
        wait_s = moment.timestamp() - now_ms / 1000
    except (ValueError, TypeError, OverflowError):
        return None
    return wait_s if wait_s > 0 else None


def can_retry(state: DeliveryState) -> bool:
    """Whether a person may retry a delivery in that state."""
    return state != "delivered"


def can_cancel(state: DeliveryState) -> bool:
    """Whether a person may cancel a delivery in that state."""
    return state == "pending"
