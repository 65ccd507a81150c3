"""Read and change the messages of an inbox: one statement or one short transaction each, equal on both databases."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from commerce_event_sdk.delivery import Delivery
from commerce_event_sdk.inbox.database import Session
from commerce_event_sdk.inbox.rules import Candidate, Dead, Head, Retry, expired_claim, plan_claim

State = Literal["pending", "done", "dead"]
STATES: Final[tuple[State, ...]] = ("pending", "done", "dead")
PURGE_STEP: Final = 1000
_SCANNED: Final = (100, 1000)  # messages that a claim looks at beyond those it takes: first, and when all are blocked
_ROUNDS_MAX: Final = 20

# A message that a worker has claimed, or a dead letter, is done too once a transaction with the work accepts it. The
# worker loses its claim, unless the transaction is that of its handler, so that its own work is rolled back.
ACCEPT: Final = """
INSERT INTO commerce_event_inbox (id, state, received_at, finished_at) VALUES (:id, 'done', :now, :now)
ON CONFLICT (id) DO UPDATE SET state = 'done', next_attempt_at = NULL, error = NULL, finished_at = excluded.finished_at,
    claim = CASE WHEN :is_own = 1 THEN commerce_event_inbox.claim END
WHERE commerce_event_inbox.state <> 'done'"""

CANDIDATES: Final = """
SELECT m.position, m.business_key, m.attempt_count, m.claim,
    (SELECT min(o.position) FROM commerce_event_inbox o WHERE o.state = 'pending' AND o.business_key = m.business_key),
    m.attempt_count = 0 AND m.error IS NULL
FROM commerce_event_inbox m
WHERE m.state = 'pending' AND m.next_attempt_at <= :now
ORDER BY m.next_attempt_at, m.position
LIMIT :limit"""
IS_DUE: Final = """
SELECT 1 FROM commerce_event_inbox m WHERE m.state = 'pending' AND m.next_attempt_at <= :now
ORDER BY m.next_attempt_at LIMIT 1"""
HEADS: Final = """
SELECT m.position, m.business_key, m.attempt_count, m.claim, m.next_attempt_at
FROM commerce_event_inbox m
WHERE m.state = 'pending' AND m.position {positions}"""
CLAIM: Final = """
UPDATE commerce_event_inbox
SET claim = :claim, next_attempt_at = :until, attempt_count = attempt_count + 1
WHERE position {positions}"""
POSTPONE: Final = """
UPDATE commerce_event_inbox SET next_attempt_at = :until WHERE state = 'pending' AND position {positions}"""
_EXPIRE: Final = """
UPDATE commerce_event_inbox
SET state = 'dead', claim = NULL, next_attempt_at = NULL, error = :error, finished_at = :now
WHERE position = :position"""
RELEASE_KEY: Final = """
UPDATE commerce_event_inbox SET next_attempt_at = :now
WHERE next_attempt_at > :now AND attempt_count = 0 AND error IS NULL AND position = (
    SELECT min(o.position) FROM commerce_event_inbox o WHERE o.state = 'pending' AND o.business_key = :business_key)"""
CLAIMED: Final = """
SELECT m.position, m.id, m.event_type, m.business_key, m.attempt_count, m.sequence, m.headers, m.body
FROM commerce_event_inbox m WHERE m.position {positions} ORDER BY m.position"""
_IS_MINE: Final = "SELECT 1 FROM commerce_event_inbox WHERE position = :position AND claim = :claim"
RENEW: Final = """
UPDATE commerce_event_inbox SET next_attempt_at = :until
WHERE state = 'pending' AND position IN (
    SELECT m.position FROM commerce_event_inbox m
    WHERE m.position = :position AND m.claim = :claim{skip_locked})"""
FINISH: Final = """
UPDATE commerce_event_inbox
SET state = 'done', claim = NULL, next_attempt_at = NULL, error = NULL, finished_at = :now,
    body = CASE WHEN :keep = 1 THEN body END, headers = CASE WHEN :keep = 1 THEN headers END
WHERE position = :position AND claim = :claim"""
_CLEAR_ACCEPTED: Final = """
UPDATE commerce_event_inbox
SET body = CASE WHEN :keep = 1 THEN body END, headers = CASE WHEN :keep = 1 THEN headers END
WHERE position = :position AND claim IS NULL AND state = 'done'"""
_RETRY_LATER: Final = """
UPDATE commerce_event_inbox
SET claim = NULL, next_attempt_at = :at, attempt_count = :attempt_count, error = :error
WHERE position = :position AND claim = :claim AND state = 'pending'"""
_MARK_DEAD: Final = """
UPDATE commerce_event_inbox
SET state = 'dead', claim = NULL, next_attempt_at = NULL, attempt_count = :attempt_count, error = :error,
    finished_at = :at
WHERE position = :position AND claim = :claim AND state = 'pending'"""
_RELEASE: Final = """
UPDATE commerce_event_inbox SET claim = NULL, next_attempt_at = :now, attempt_count = attempt_count - 1
WHERE position = :position AND claim = :claim AND state = 'pending'"""

_MESSAGE: Final = """
SELECT m.position, m.id, m.event_type, m.client_id, m.business_key, m.sequence, m.state, m.attempt_count,
    m.received_at, m.next_attempt_at, m.state = 'pending' AND m.claim IS NOT NULL, m.finished_at, m.error"""
_FROM: Final = " FROM commerce_event_inbox m"
LIST: Final = _MESSAGE + _FROM + " WHERE m.position < :before ORDER BY m.position DESC LIMIT :limit"
_LIST_STATE: Final = (
    _MESSAGE + _FROM + " WHERE m.state = :state AND m.position < :before ORDER BY m.position DESC LIMIT :limit"
)
_ONE: Final = _MESSAGE + ", m.body" + _FROM + " WHERE m.id = :id"
_COUNT: Final = "SELECT state, count(*) FROM commerce_event_inbox GROUP BY state"
OLDEST: Final = "SELECT min(received_at) FROM commerce_event_inbox WHERE state = 'pending'"
_RETRY: Final = """
UPDATE commerce_event_inbox
SET state = 'pending', attempt_count = 0, next_attempt_at = :now, error = NULL, finished_at = NULL
WHERE id = :id AND (state = 'dead' OR (state = 'pending' AND claim IS NULL))"""
_DISCARD: Final = """
UPDATE commerce_event_inbox
SET state = 'done', claim = NULL, next_attempt_at = NULL, finished_at = :now, body = NULL, headers = NULL
WHERE id = :id AND state <> 'done'"""
_KEY_OF: Final = "SELECT business_key FROM commerce_event_inbox WHERE id = :id"
PURGE: Final[Mapping[str, str]] = {
    "done": """
SELECT m.position FROM commerce_event_inbox m WHERE m.state = 'done' AND m.finished_at < :before
ORDER BY m.finished_at LIMIT :limit""",
    "dead": """
SELECT m.position FROM commerce_event_inbox m WHERE m.state = 'dead' AND m.finished_at < :before
ORDER BY m.position LIMIT :limit""",
}
DELETE: Final = "DELETE FROM commerce_event_inbox WHERE state = :state AND position {positions}"
_POSITION: Final = "SELECT position FROM commerce_event_inbox_positions WHERE source = :source"
_SET_POSITION: Final = """
INSERT INTO commerce_event_inbox_positions (source, position) VALUES (:source, :position)
ON CONFLICT (source) DO UPDATE SET position = excluded.position"""


@dataclass(frozen=True)
class InboxMessage:
    """A stored event. Times are seconds since 1970.

    ``next_attempt_at`` is when a pending message may be claimed, or, while it ``is_claimed``, when the claim expires.
    ``error`` is the traceback of the last failed attempt. ``body`` is None in lists, and once a message is done, unless
    the inbox keeps bodies.
    """

    position: int = field(repr=False)
    id: str
    event_type: str | None
    client_id: int | None
    business_key: str | None
    sequence: int | None
    state: State
    attempt_count: int
    received_at: float
    next_attempt_at: float | None
    is_claimed: bool
    finished_at: float | None
    error: str | None = field(repr=False)
    body: bytes | None = field(repr=False, default=None)


@dataclass(frozen=True)
class InboxStatus:
    """How many messages there are by state, and when the oldest pending one was received (seconds since 1970)."""

    pending: int
    done: int
    dead: int
    oldest_pending_at: float | None


@dataclass(frozen=True, eq=False)
class Claimed:
    """A message that a worker may handle until its claim expires."""

    position: int
    claim: str
    id: str
    event_type: str
    business_key: str | None
    attempt_count: int
    sequence: int | None
    headers: Mapping[str, str]
    body: bytes

    def delivery(self) -> Delivery:
        """Return what the handler gets; its ``attempt`` is that of the inbox."""
        return Delivery(
            event_type=self.event_type,
            message_id=self.id,
            body=self.body,
            headers=self.headers,
            attempt=self.attempt_count,
            sequence=self.sequence,
            is_replay="commerce-event-replay" in self.headers,
        )


@contextmanager
def transaction(session: Session) -> Iterator[None]:
    """Commit what the block writes, or roll it back when it raises."""
    session.begin()
    try:
        yield
        session.commit()
    except BaseException:
        session.rollback()
        raise


def claim(session: Session, *, limit: int, max_attempts: int, now: float, claim_s: float) -> list[Claimed]:
    """Claim at most ``limit`` due messages for ``claim_s`` seconds."""
    if not session.query(IS_DUE, {"now": now}):
        return []  # without the write lock of SQLite, which an idle worker would take again and again
    for number in range(_ROUNDS_MAX):
        scanned = limit + _SCANNED[number > 0]
        with transaction(session):
            claimed, is_exhausted = _claim_once(session, limit, scanned, max_attempts, now, claim_s)
        if claimed or is_exhausted:
            return claimed
    return []


def _claim_once(
    session: Session, limit: int, scanned: int, max_attempts: int, now: float, claim_s: float
) -> tuple[list[Claimed], bool]:
    """Return what was claimed, and whether another look would find nothing more."""
    rows = session.query(CANDIDATES + session.skip_locked, {"now": now, "limit": scanned})
    candidates = [Candidate(*row) for row in rows]
    blocking = sorted({each.head for each in candidates if each.head is not None and each.is_blocked})
    heads = [Head(*row) for row in _select(session, HEADS, blocking, session.skip_locked)] if blocking else []
    plan = plan_claim(candidates, heads, limit=limit, max_attempts=max_attempts, now=now, claim_s=claim_s)
    name = secrets.token_hex(8)
    for position, key in plan.expired:
        session.run(_EXPIRE, {"position": position, "error": expired_claim(max_attempts), "now": now})
        _release_key(session, key, now)
    for until, positions in plan.postponed.items():
        _update(session, POSTPONE, positions, {"until": until})
    if not plan.claimed:
        has_moved = bool(plan.expired or plan.postponed)
        return [], not has_moved or (len(rows) < scanned and not plan.expired)
    _update(session, CLAIM, plan.claimed, {"claim": name, "until": now + claim_s})
    return [_claimed(name, row) for row in _select(session, CLAIMED, plan.claimed)], False


def _select(session: Session, sql: str, positions: Sequence[int], ending: str = "") -> list[tuple[Any, ...]]:
    text = sql.format(positions=session.positions) + ending
    return session.query(text, {"positions": session.position_list(positions)})


def _update(session: Session, sql: str, positions: Sequence[int], parameters: Mapping[str, Any]) -> None:
    text = sql.format(positions=session.positions)
    session.run(text, {**parameters, "positions": session.position_list(positions)})


def _claimed(name: str, row: tuple[Any, ...]) -> Claimed:
    position, message_id, event_type, key, attempt_count, sequence, headers, body = row
    return Claimed(
        position,
        name,
        message_id,
        event_type or "",
        key,
        attempt_count,
        sequence,
        json.loads(headers or "{}"),
        body or b"",
    )


def is_mine(session: Session, message: Claimed) -> bool:
    """Return whether the claim of a message still holds."""
    return bool(session.query(_IS_MINE, {"position": message.position, "claim": message.claim}))


def renew(session: Session, messages: Sequence[Claimed], *, until: float) -> None:
    """Let the claims of messages expire later. Skips a message whose row a transaction holds."""
    sql = RENEW.format(skip_locked=session.skip_locked)
    with transaction(session):
        for each in messages:
            session.run(sql, {"position": each.position, "claim": each.claim, "until": until})


def finish(session: Session, message: Claimed, *, now: float, keep_body: bool) -> bool:
    """Mark a message as done in the open transaction. False: another worker has it, and nothing was changed."""
    mine = {"position": message.position, "claim": message.claim}
    if session.run(FINISH, {**mine, "now": now, "keep": int(keep_body)}) == 0:
        return False
    _release_key(session, message.business_key, now)
    return True


def clear_accepted(session: Session, message: Claimed, *, now: float, keep_body: bool) -> bool:
    """Do what is left of a message that another transaction has accepted. False: none has."""
    with transaction(session):
        is_accepted = session.run(_CLEAR_ACCEPTED, {"position": message.position, "keep": int(keep_body)}) == 1
        if is_accepted:
            _release_key(session, message.business_key, now)
        return is_accepted


def fail(session: Session, message: Claimed, outcome: Retry | Dead, *, now: float) -> bool:
    """Store how an attempt failed. False: another worker has the message, or the handler accepted it."""
    mine = {"position": message.position, "claim": message.claim}
    result = {**mine, "attempt_count": outcome.attempt_count, "error": outcome.error}
    with transaction(session):
        if isinstance(outcome, Retry):
            is_mine = session.run(_RETRY_LATER, {**result, "at": outcome.at}) == 1
            if not is_mine:  # the handler accepted it in a transaction of its own before it failed
                _release_key(session, message.business_key, now)
            return is_mine
        is_mine = session.run(_MARK_DEAD, {**result, "at": now}) == 1
        _release_key(session, message.business_key, now)
        return is_mine


def release(session: Session, message: Claimed, *, now: float) -> None:
    """Give a claim back as if the attempt had not been made."""
    with transaction(session):
        session.run(_RELEASE, {"position": message.position, "claim": message.claim, "now": now})


def _release_key(session: Session, business_key: str | None, now: float) -> None:
    """Let the next message of a key be claimed at once."""
    if business_key is not None:
        session.run(RELEASE_KEY, {"business_key": business_key, "now": now})


def find(session: Session, message_id: str) -> InboxMessage | None:
    """Return one message; None when there is none with the id."""
    rows = session.query(_ONE, {"id": message_id})
    return _message(rows[0]) if rows else None


def newest(session: Session, state: State | None, *, limit: int, before: int | None) -> list[InboxMessage]:
    """Return messages, the newest first; ``before`` is the position of the last one of the page before."""
    page = {"limit": limit, "before": 2**63 - 1 if before is None else before}
    rows = session.query(LIST, page) if state is None else session.query(_LIST_STATE, {**page, "state": state})
    return [_message(row) for row in rows]


def _message(row: tuple[Any, ...]) -> InboxMessage:
    return InboxMessage(*(*row[:10], bool(row[10]), *row[11:]))


def status(session: Session) -> InboxStatus:
    """Count the messages."""
    counts = dict.fromkeys(STATES, 0) | {row[0]: row[1] for row in session.query(_COUNT, {})}
    return InboxStatus(**counts, oldest_pending_at=session.query(OLDEST, {})[0][0])


def change(session: Session, ids: Sequence[str], kind: Literal["retry", "discard"], *, now: float) -> int:
    """Retry or discard messages, and return how many could be."""
    sql, count = (_RETRY if kind == "retry" else _DISCARD), 0
    for each in ids:
        with transaction(session):
            if session.run(sql, {"id": each, "now": now}) == 1:
                count += 1
                rows = session.query(_KEY_OF, {"id": each})
                _release_key(session, rows[0][0] if rows else None, now)
    return count


def purge_step(session: Session, state: Literal["done", "dead"], *, before: float) -> int:
    """Delete at most PURGE_STEP finished messages, and return how many."""
    found = [row[0] for row in session.query(PURGE[state], {"before": before, "limit": PURGE_STEP})]
    if found:
        _update(session, DELETE, found, {"state": state})
    return len(found)


def read_position(session: Session, source: str) -> int | None:
    """Return the stored position of a source of events."""
    rows = session.query(_POSITION, {"source": source})
    return rows[0][0] if rows else None


def write_position(session: Session, source: str, position: int) -> None:
    """Store the position of a source of events."""
    session.run(_SET_POSITION, {"source": source, "position": position})
