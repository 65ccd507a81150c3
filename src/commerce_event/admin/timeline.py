"""The timeline of a delivery: accepted, attempted, given up, sent again."""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET

from commerce_event.admin.diagnosis import Diagnosis, diagnosis
from commerce_event.api.response_models import AttemptView, DeliveryView
from commerce_event.core.causes import reason_in_words
from commerce_event.core.clock import parse_rfc3339, rfc3339

_NOT_COUNTED: Final = frozenset({"interrupted", "internal", "connection_stale"})  # errors that use up no retry
_HTTP_VERSION: Final = "HTTP/1.1"  # what deliveries are sent with


class AnswerText(msgspec.Struct, frozen=True):
    """The receiver's answer as text."""

    head: str
    body: str


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened or will happen; ``at`` is RFC 3339, None when the time is not known."""

    title: str
    tone: str = ""
    at: str | None = None
    text: str = ""
    attempt: AttemptView | None = None
    answer: AnswerText | None = None
    diagnosis: Diagnosis | None = None
    is_open: bool = False  # it is the newest failure: its answer is shown at once
    place: str = ""  # of the next attempt among all, such as "attempt 4 of 17"
    gives_up_at: str | None = None
    replay_id: str | None = None


def timeline(
    delivery: DeliveryView,
    *,
    url: str,
    retries: int,
    accepted_with_event: bool,
    now_ms: int,
    held: str | None,
    is_newest: bool = True,
) -> list[TimelineEntry]:
    """Return what happened to a delivery, in order.

    ``url`` is where it is sent, ``retries`` is how many its endpoint allows now, ``accepted_with_event`` is False for
    a delivery that a replay made, and ``held`` says why it was not sent although it is due. The answer of the last
    attempt is open when it failed and the delivery ``is_newest`` of its endpoint.
    """
    attempts = [] if delivery.attempts is UNSET else delivery.attempts
    restarted_after = attempts_before_restart(delivery, attempts)
    if accepted_with_event or delivery.replay_id is None:
        entries = [TimelineEntry(title="Accepted", tone="good", at=delivery.created_at)]
        restarted_by = delivery.replay_id
    else:
        made = TimelineEntry(
            title="Queued by a replay", tone="good", at=delivery.created_at, replay_id=delivery.replay_id
        )
        entries, restarted_by = [made], None
    newest = attempts[-1] if attempts and is_newest and delivery.state != "delivered" else None
    shown = [
        _attempt_entry(attempt, url, is_open=attempt is newest and attempt.cause is not None) for attempt in attempts
    ]
    earlier = attempts[:restarted_after]
    entries += shown[:restarted_after]
    if earlier:
        if earlier[-1].status == 410 or sum(map(_is_counted, earlier)) > retries:
            ended_ms = parse_rfc3339(earlier[-1].started_at) + round(earlier[-1].duration_ms)
            entries.append(_given_up(rfc3339(ended_ms), "", len(earlier)))
        title = "Sent again by a replay" if restarted_by else "Sent again with a new retry budget"
        entries.append(TimelineEntry(title=title, replay_id=restarted_by))
    entries += shown[restarted_after:]
    if delivery.state == "dead":
        entries.append(_given_up(delivery.finished_at, reason_in_words(delivery.reason), delivery.attempt_count))
    elif delivery.state == "cancelled":
        text = reason_in_words(delivery.reason)
        entries.append(TimelineEntry(title="Cancelled", at=delivery.finished_at, text=text))
    elif delivery.state == "pending":
        entries.append(_next_entry(delivery, now_ms, held))
    return entries


def attempts_before_restart(delivery: DeliveryView, attempts: Sequence[AttemptView]) -> int:
    """Return how many attempts were made before the delivery last got a new retry budget; 0 when it never did.

    Its count of failures was reset then: that many of the newest failed attempts belong to the present budget.
    """
    counted = [number for number, attempt in enumerate(attempts) if _is_counted(attempt)]
    if len(counted) <= delivery.failure_count:
        return 0
    return counted[-delivery.failure_count - 1] + 1


def answer_text(status: int | None, headers: Sequence[tuple[str, str]], body: str) -> AnswerText | None:
    """Return an answer as it looks on the wire; None when there was none."""
    if status is None:
        return None
    lines = [f"{_HTTP_VERSION} {status}", *(f"{name}: {value}" for name, value in headers)]
    return AnswerText("\n".join(lines), body)


def _is_counted(attempt: AttemptView) -> bool:
    """Whether an attempt used up a retry."""
    succeeded = attempt.status is not None and 200 <= attempt.status <= 299
    return not succeeded and (attempt.status is not None or attempt.error not in _NOT_COUNTED)


def _given_up(at: str | None, reason: str, attempts: int) -> TimelineEntry:
    title = f"Given up after {attempts} attempt{'s' if attempts != 1 else ''}"
    return TimelineEntry(title=title, tone="bad", at=at, text=reason)


def _attempt_entry(attempt: AttemptView, url: str, *, is_open: bool = False) -> TimelineEntry:
    return TimelineEntry(
        title=f"Attempt {attempt.number}",
        tone="good" if attempt.status is not None and 200 <= attempt.status <= 299 else "bad",
        at=attempt.started_at,
        text=attempt.cause or "",
        attempt=attempt,
        answer=answer_text(attempt.status, attempt.response_headers, attempt.response_body),
        diagnosis=diagnosis(attempt, url),
        is_open=is_open,
    )


def _next_entry(delivery: DeliveryView, now_ms: int, held: str | None) -> TimelineEntry:
    number = delivery.attempt_count + (not delivery.sending)
    place = "" if delivery.attempts_max is None else f"attempt {number:,} of {delivery.attempts_max:,}"
    if delivery.sending:
        return TimelineEntry(title="Sending now", tone="wait", place=place)
    if delivery.next_attempt_at is None:
        return TimelineEntry(title="Waiting for an earlier event with the same key", tone="wait", place=place)
    return TimelineEntry(
        title="Due since" if parse_rfc3339(delivery.next_attempt_at) <= now_ms else "Next attempt",
        tone="wait",
        at=delivery.next_attempt_at,
        text=held or "",
        place=place,
        gives_up_at=delivery.gives_up_at,
    )
