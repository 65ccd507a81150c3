"""The rules of the worker: which messages are claimed, and what becomes of a message after an attempt. No I/O."""

from __future__ import annotations

import random
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from commerce_event_sdk.delivery import DeadLetter, Gone, RetryLater

RETRY_SCHEDULE_S: Final = (5.0, 30.0, 120.0, 600.0, 3600.0, 3 * 3600.0, 6 * 3600.0, 12 * 3600.0)
JITTER: Final = 0.1
POSTPONED_MAX_S: Final = 600.0
ERROR_LENGTH_MAX: Final = 20_000
UNAVAILABLE_RETRY_S: Final = 1.0


class InboxUnavailableError(Exception):
    """The database of the inbox does not answer in time, is locked, or its queue of writes is full."""


class Candidate(NamedTuple):
    """A pending message that is due.

    ``head`` is the oldest pending position of its business key. ``is_new`` tells that no attempt has set the time of
    the next one.
    """

    position: int
    business_key: str | None
    attempt_count: int
    claim: str | None
    head: int | None
    is_new: bool

    @property
    def is_blocked(self) -> bool:
        """Whether an older message with the same business key is pending."""
        return self.head is not None and self.head != self.position


class Head(NamedTuple):
    """The oldest pending message of a business key that is not locked by another transaction."""

    position: int
    business_key: str | None
    attempt_count: int
    claim: str | None
    next_attempt_at: float


@dataclass
class ClaimPlan:
    """What one claim does. ``expired`` have used all attempts, the last one without an end.

    ``postponed`` has positions of blocked messages by the time until which their head keeps them blocked.
    """

    claimed: list[int] = field(default_factory=list)
    expired: list[tuple[int, str | None]] = field(default_factory=list)
    postponed: dict[float, list[int]] = field(default_factory=dict)


def plan_claim(
    candidates: Sequence[Candidate],
    heads: Iterable[Head],
    *,
    limit: int,
    max_attempts: int,
    now: float,
    claim_s: float,
) -> ClaimPlan:
    """Choose at most ``limit`` messages: those without key, and the oldest one of each key.

    A new message that is blocked waits as long as its head does, so that the next claim does not read it again; when
    the head is finished, it is released. One with an attempt keeps the time that the attempt has set. ``heads`` are the
    heads of blocked candidates, locked by this transaction: a head that another transaction has just finished would
    release nothing later.
    """
    plan = ClaimPlan()
    due = {each.position: each for each in candidates if not each.is_blocked}
    known = {each.position: each for each in heads}
    for head in known.values():
        if head.next_attempt_at <= now:
            due.setdefault(head.position, _candidate(head))
    for each in due.values():
        if each.claim is not None and each.attempt_count >= max_attempts:
            plan.expired.append((each.position, each.business_key))
        elif len(plan.claimed) < limit:
            plan.claimed.append(each.position)
    claimed = set(plan.claimed)
    for each in candidates:
        if each.head is None or not each.is_blocked or not each.is_new:
            continue
        if each.head in claimed:
            until = now + claim_s
        elif each.head in known and known[each.head].next_attempt_at > now:
            until = min(known[each.head].next_attempt_at, now + POSTPONED_MAX_S)
        else:
            continue  # the head is due but finds no free thread, or is locked: look again next time
        plan.postponed.setdefault(until, []).append(each.position)
    return plan


def _candidate(head: Head) -> Candidate:
    return Candidate(head.position, head.business_key, head.attempt_count, head.claim, head.position, is_new=False)


@dataclass(frozen=True)
class Retry:
    """The message stays pending until then. ``attempt_count`` is what counts so far."""

    at: float
    attempt_count: int
    error: str


@dataclass(frozen=True)
class Dead:
    """The message becomes a dead letter."""

    attempt_count: int
    error: str


def after_failure(
    error: BaseException,
    *,
    attempt_count: int,
    now: float,
    retry_schedule: Sequence[float],
    max_attempts: int,
    rng: random.Random,
) -> Retry | Dead:
    """Return what becomes of a message whose attempt ended with an error.

    ``attempt_count`` includes the attempt. Times in ``retry_schedule`` are seconds; the last one repeats. Each gets up
    to a tenth more at random. RetryLater, and a database that was not there, count as no attempt.
    """
    text = describe(error)
    if isinstance(error, RetryLater):
        return Retry(now + max(0.0, error.after_s), attempt_count - 1, text)
    if isinstance(error, InboxUnavailableError):
        return Retry(now + UNAVAILABLE_RETRY_S, attempt_count - 1, text)
    if isinstance(error, (DeadLetter, Gone)) or attempt_count >= max_attempts:
        return Dead(attempt_count, text)
    delay = retry_schedule[min(attempt_count, len(retry_schedule)) - 1]
    return Retry(now + delay * (1 + JITTER * rng.random()), attempt_count, text)


def describe(error: BaseException) -> str:
    """Return the traceback of an error as text that every database can store, its end when it is long."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    text = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    return text if len(text) <= ERROR_LENGTH_MAX else "…" + text[-ERROR_LENGTH_MAX:]


def expired_claim(max_attempts: int) -> str:
    """Return the error of a message whose last attempt had no end."""
    return f"attempt {max_attempts} had no end: its process ended, or the handler hung and its claim expired"
