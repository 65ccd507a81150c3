"""The life of a delivery as entries in their order: made, tried, given up, sent again."""

from collections.abc import Sequence
from typing import Final

import msgspec

from commerce_event.admin.error_messages import in_words, reason_in_words
from commerce_event.core import ids
from commerce_event.core.clock import rfc3339
from commerce_event.core.model import Attempt, Delivery
from commerce_event.deliver.connection import STALE

_UNCOUNTED: Final = frozenset({"interrupted", "internal", STALE})
_OF_HTTP: Final = "HTTP/1.1"  # what deliveries are sent with


class Answer(msgspec.Struct, frozen=True):
    """What came back, as text to read."""

    head: str
    body: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened, or that is to come; ``at`` is RFC 3339, None when nobody noted the time."""

    title: str
    tone: str = ""
    at: str | None = None
    words: str = ""
    attempt: Attempt | None = None
    answer: Answer | None = None
    replay_id: str | None = None


def timeline(
    delivery: Delivery,
    attempts: Sequence[Attempt],
    *,
    retries: int,
    born_with_event: bool,
    now_ms: int,
    held: str | None,
) -> list[Entry]:
    """Return the life of a delivery, born with its event or of a replay.

    ``retries`` is how many its endpoint has now, ``held`` says why it waits though it is due.
    """
    again = fresh_start(delivery, attempts)
    replay = None if delivery.replay_id is None else ids.encode("rpl", delivery.replay_id)
    born_of_replay = not born_with_event and replay is not None
    made = "Queued again by a replay" if born_of_replay else "Accepted"
    entries = [
        Entry(title=made, tone="good", at=rfc3339(delivery.created_ms), replay_id=replay if born_of_replay else None)
    ]
    entries += [_tried(attempt) for attempt in attempts[:again]]
    if again:
        before = attempts[:again]
        if _ended(before, retries):
            entries.append(_given_up(before[-1].ended_ms, "", len(before)))
        by = None if born_of_replay else replay
        entries.append(Entry(title="Sent again by a replay" if by else "Sent again with a fresh start", replay_id=by))
    entries += [_tried(attempt) for attempt in attempts[again:]]
    entries += _last(delivery, now_ms, held)
    return entries


def fresh_start(delivery: Delivery, attempts: Sequence[Attempt]) -> int:
    """Return how many attempts were made before the delivery was last given a fresh start; 0 when it never was.

    Its count of failures began anew then: that many of the newest failed attempts belong to the present life.
    """
    counted = [number for number, attempt in enumerate(attempts) if _counts(attempt)]
    if len(counted) <= delivery.failure_count:
        return 0
    return counted[-delivery.failure_count - 1] + 1


def _counts(attempt: Attempt) -> bool:
    """Whether an attempt used up the retry policy."""
    good = attempt.status is not None and 200 <= attempt.status <= 299
    return not good and (attempt.status is not None or attempt.error not in _UNCOUNTED)


def _ended(attempts: Sequence[Attempt], retries: int) -> bool:
    return attempts[-1].status == 410 or sum(map(_counts, attempts)) > retries


def _given_up(at_ms: int | None, reason: str, tries: int) -> Entry:
    title = f"Given up after {tries} attempt{'s' if tries != 1 else ''}"
    return Entry(title=title, tone="bad", at=None if at_ms is None else rfc3339(at_ms), words=reason)


def _tried(attempt: Attempt) -> Entry:
    words = in_words(attempt.status, attempt.error)
    return Entry(
        title=f"Attempt {attempt.number}",
        tone="good" if attempt.status is not None and 200 <= attempt.status <= 299 else "bad",
        at=rfc3339(attempt.started_ms),
        words=words,
        attempt=attempt,
        answer=answer_of(attempt.status, attempt.response_headers, attempt.response_body.decode("utf-8", "replace")),
    )


def answer_of(status: int | None, headers: Sequence[tuple[str, str]], body: str) -> Answer | None:
    """Return an answer as it looks on the wire; None when there was none."""
    if status is None:
        return None
    lines = [f"{_OF_HTTP} {status}", *(f"{name}: {value}" for name, value in headers)]
    return Answer("\n".join(lines), body)


def _last(delivery: Delivery, now_ms: int, held: str | None) -> list[Entry]:
    if delivery.state == "dead":
        return [_given_up(delivery.finished_ms, reason_in_words(delivery.reason), delivery.attempt_count)]
    if delivery.state == "cancelled":
        at = None if delivery.finished_ms is None else rfc3339(delivery.finished_ms)
        return [Entry(title="Cancelled", at=at, words=reason_in_words(delivery.reason))]
    return [_to_come(delivery, now_ms, held)] if delivery.state == "pending" else []


def _to_come(delivery: Delivery, now_ms: int, held: str | None) -> Entry:
    if delivery.leased:
        return Entry(title="Being sent now", tone="wait")
    if delivery.due_ms is None:
        return Entry(title="Waits for an earlier event of its key", tone="wait")
    title = "Due since" if delivery.due_ms <= now_ms else "Next try"
    return Entry(title=title, tone="wait", at=rfc3339(delivery.due_ms), words=held or "")
