"""The inbox in PostgreSQL, through psycopg."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Final, TypeVar

from commerce_event_sdk.connections import Dialect, translate
from commerce_event_sdk.inbox import schema
from commerce_event_sdk.inbox.database import Database, NewMessage, Session
from commerce_event_sdk.inbox.rules import InboxUnavailableError
from commerce_event_sdk.postgres_address import postgres_address

CONNECT_TIMEOUT_S: Final = 3
_SCHEMA_LOCK: Final = 0x636F6D6D65766E74  # "commevnt": two programs that start at once create the tables once
_INSERT: Final = """
INSERT INTO commerce_event_inbox
    (id, event_type, client_id, business_key, sequence, headers, body, received_at, state, next_attempt_at)
SELECT u.id, u.event_type, u.client_id, u.business_key, u.sequence, u.headers, u.body, u.received_at, 'pending',
    u.received_at
FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::bytea[], %s::float8[])
    AS u (id, event_type, client_id, business_key, sequence, headers, body, received_at)
ON CONFLICT (id) DO NOTHING
RETURNING id"""

F = TypeVar("F", bound=Callable[..., Any])


def _translated(function: F) -> F:
    """Raise InboxUnavailableError for a server that is gone, does not answer, or ends the statement."""

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        import psycopg

        try:
            return function(*arguments, **options)
        except psycopg.errors.InFailedSqlTransaction:
            raise  # a handler has caught the error of its statement, and would do it again
        except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError) as error:
            raise InboxUnavailableError(f"PostgreSQL: {str(error).strip() or type(error).__name__}") from error

    return call  # type: ignore[return-value]


class PostgresSession(Session):
    """A connection with explicit transactions."""

    skip_locked = " FOR UPDATE OF m SKIP LOCKED"
    positions = "= ANY (CAST(:positions AS bigint[]))"

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    @property
    def is_in_transaction(self) -> bool:
        if self.raw.broken:
            raise InboxUnavailableError("PostgreSQL: the connection was lost, and its transaction with it")
        return bool(self.raw.info.transaction_status.name in {"INTRANS", "INERROR"})

    @_translated
    def begin(self, wait_s: float = 0) -> None:  # noqa: ARG002
        self.raw.execute("BEGIN ISOLATION LEVEL READ COMMITTED")

    @_translated
    def commit(self) -> None:
        self.raw.execute("COMMIT")

    def rollback(self) -> None:
        try:
            if not self.raw.closed and self.is_in_transaction:
                self.raw.execute("ROLLBACK")
        except Exception:
            self.raw.close()

    @_translated
    def query(self, sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return list(self.raw.execute(translate(sql, "pyformat")[0], parameters).fetchall())

    @_translated
    def run(self, sql: str, parameters: Mapping[str, Any]) -> int:
        return int(self.raw.execute(translate(sql, "pyformat")[0], parameters).rowcount)

    def position_list(self, positions: Sequence[int]) -> list[int]:
        return list(positions)

    @_translated
    def insert(self, messages: Sequence[NewMessage]) -> set[str]:
        # Two batches that share ids wait for each other in the same order, so they cannot deadlock.
        columns = zip(*sorted(messages, key=lambda each: each.id), strict=True)
        return {row[0] for row in self.raw.execute(_INSERT, [list(column) for column in columns])}

    def close(self) -> None:
        self.raw.close()


class PostgresDatabase(Database):
    """A PostgreSQL database, found by a connection string or URL."""

    dialect: Dialect = "postgres"

    def __init__(self, dsn: str, writer_count: int) -> None:
        """Raises ModuleNotFoundError without psycopg, and ValueError for an address that cannot be read."""
        try:
            self._dsn = postgres_address(dsn)
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "an inbox in PostgreSQL needs psycopg: pip install 'commerce-event-sdk[postgres]'"
            ) from None
        self.writer_count = writer_count
        self._lock = threading.Lock()
        self._has_tables = False

    @_translated
    def open(self, *, statement_timeout_s: float | None = None, uses_indexes: bool = False) -> PostgresSession:
        if not self._has_tables:
            self.create_tables()
        session = self._connect()
        if statement_timeout_s is not None:
            session.run(f"SET statement_timeout = {int(statement_timeout_s * 1000)}", {})
        if uses_indexes:
            for each in ("enable_seqscan", "enable_bitmapscan", "enable_sort"):
                session.run(f"SET {each} = off", {})
        return session

    @_translated
    def read_version(self) -> int | None:
        session = self._connect()
        try:
            return _version(session)
        finally:
            session.close()

    @_translated
    def create_tables(self) -> None:
        with self._lock:
            session = self._connect()
            try:
                self._create(session)
            finally:
                session.close()
            self._has_tables = True

    def _connect(self) -> PostgresSession:
        import psycopg

        raw = psycopg.connect(
            self._dsn,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=10_000,
        )
        try:
            raw.execute("SET synchronous_commit = on")
        except BaseException:
            raw.close()
            raise
        return PostgresSession(raw)

    def _create(self, session: PostgresSession) -> None:
        if _version(session) == schema.SCHEMA_VERSION:
            return  # so that a role that may not create tables can use them
        session.begin()
        session.run("SELECT pg_advisory_xact_lock(:key)", {"key": _SCHEMA_LOCK})
        for statement in schema.statements_from("postgres", _version(session)):
            session.run(statement, {})
        session.run(schema.WRITE_VERSION, {"version": schema.SCHEMA_VERSION})
        session.commit()


def _version(session: PostgresSession) -> int | None:
    if session.query("SELECT to_regclass('commerce_event_inbox_schema') IS NULL", {})[0][0]:
        return None
    version: int | None = session.query(schema.READ_VERSION, {})[0][0]
    return version
