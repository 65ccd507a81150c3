"""The outbox in a PostgreSQL database, through psycopg."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timezone
from typing import Any, Final

from commerce_event_sdk.outbox.store import DeadMessage, OutboxError, OutboxMessage, OutboxStatus
from commerce_event_sdk.postgres_address import postgres_address

_LOCK_CLASS: Final = 0x6365_6F62  # of advisory locks; the number of the lock is that of the table
_STATEMENT_S: Final = 30
# A network that drops packets must not keep a relay that is gone active.
_KEEPALIVE: Final[dict[str, Any]] = {
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "connect_timeout": 10,
}
_SETTINGS: Final = (
    f"SET statement_timeout = '{_STATEMENT_S}s'",
    "SET tcp_keepalives_idle = 5",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 3",
)

_ACQUIRE: Final = "SELECT pg_try_advisory_lock(%s, 'commerce_event_outbox'::regclass::oid::int)"
_IS_ACTIVE: Final = """
SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 2
        AND classid = %s AND objid = 'commerce_event_outbox'::regclass
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)"""
_READ: Final = """
SELECT id, event_type, convert_to(data, 'UTF8'), position
FROM (
    SELECT *, sum(octet_length(data)) OVER (ORDER BY position) AS size, row_number() OVER (ORDER BY position) AS number
    FROM (
        SELECT id, event_type, data, position FROM commerce_event_outbox
        WHERE state = 'pending' ORDER BY position LIMIT %s
    ) AS head
) AS sized
WHERE size <= %s OR number = 1
ORDER BY position"""
_DELETE: Final = "DELETE FROM commerce_event_outbox WHERE state = 'pending' AND position = ANY(%s)"
_MARK_DEAD: Final = """
UPDATE commerce_event_outbox SET state = 'dead', reason = %s, dead_at = clock_timestamp()
WHERE state = 'pending' AND position = %s"""
_STATUS: Final = """
SELECT count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'dead'),
    min(created_at) FILTER (WHERE state = 'pending')
FROM commerce_event_outbox"""
_DEAD: Final = """
SELECT id, event_type, business_key, created_at, dead_at, reason
FROM commerce_event_outbox WHERE state = 'dead' ORDER BY position LIMIT 100"""
_RETRY: Final = """
UPDATE commerce_event_outbox SET state = 'pending', reason = NULL, dead_at = NULL
WHERE state = 'dead' AND (%(id)s::text IS NULL OR id = %(id)s)"""
_DISCARD: Final = "DELETE FROM commerce_event_outbox WHERE id = %(id)s OR (%(id)s::text IS NULL AND state = 'dead')"


class PostgresOutboxStore:
    """One session. The active relay holds an advisory lock, which ends with its connection."""

    def __init__(self, dsn: str) -> None:
        try:
            import psycopg

            address = postgres_address(dsn)
        except ImportError:
            raise OutboxError("psycopg is missing; run: pip install commerce-event-sdk[postgres]") from None
        except ValueError as error:
            raise OutboxError(str(error)) from None
        self._error: type[Exception] = psycopg.Error
        self._is_active = False
        with self._errors():
            self._connection: psycopg.Connection[Any] = psycopg.connect(
                address, autocommit=True, application_name="commerce-event-relay", **_KEEPALIVE
            )
            for setting in _SETTINGS:
                self._connection.execute(setting)

    def acquire(self) -> bool:
        if not self._is_active:
            with self._errors():
                self._is_active = bool(self._one(_ACQUIRE, (_LOCK_CLASS,))[0])
        return self._is_active

    def read(self, max_events: int, max_bytes: int) -> list[OutboxMessage]:
        with self._errors():
            rows = self._connection.execute(_READ, (max_events, max_bytes), binary=True).fetchall()
        return [OutboxMessage(*row) for row in rows]

    def settle(self, accepted: Sequence[OutboxMessage], dead: Sequence[tuple[OutboxMessage, str]]) -> None:
        with self._errors(), self._transaction():
            if accepted:
                self._connection.execute(_DELETE, ([each.position for each in accepted],))
            for message, reason in dead:
                self._connection.execute(_MARK_DEAD, (reason, message.position))

    def status(self) -> OutboxStatus:
        with self._errors():
            pending, dead, oldest = self._one(_STATUS)
            is_active = bool(self._one(_IS_ACTIVE, (_LOCK_CLASS,))[0])
            rows = self._connection.execute(_DEAD).fetchall()
        messages = [
            DeadMessage(message_id, event_type, key, _text(created_at), _text(dead_at), reason)
            for message_id, event_type, key, created_at, dead_at, reason in rows
        ]
        return OutboxStatus(pending, dead, None if oldest is None else _text(oldest), is_active, messages)

    def retry(self, message_id: str | None) -> int:
        with self._errors():
            return self._connection.execute(_RETRY, {"id": message_id}).rowcount

    def discard(self, message_id: str | None) -> int:
        with self._errors():
            return self._connection.execute(_DISCARD, {"id": message_id}).rowcount

    def close(self) -> None:
        self._connection.close()

    def _one(self, statement: Any, parameters: Sequence[Any] = ()) -> tuple[Any, ...]:
        row = self._connection.execute(statement, parameters).fetchone()
        if row is None:
            raise OutboxError("the database of the outbox gave no row")
        return tuple(row)

    def _transaction(self) -> AbstractContextManager[Any]:
        return self._connection.transaction()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._error as error:
            text = str(error).strip().replace("\n", " ") or type(error).__name__
            if getattr(error, "sqlstate", None) == "42P01":
                text = "there is no table commerce_event_outbox; run Outbox().create_tables(connection)"
            raise OutboxError(f"the database of the outbox: {text}") from None


def _text(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
