"""The inbox in an SQLite file, which the application's own tables may share."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar

from commerce_event_sdk.connections import Dialect
from commerce_event_sdk.inbox import schema
from commerce_event_sdk.inbox.database import Database, NewMessage, Session
from commerce_event_sdk.inbox.rules import InboxUnavailableError
from commerce_event_sdk.inbox.turns import Turns

WAIT_S: Final = 2.0
_OPEN: Final[set[SqliteSession]] = set()  # of this process, and at the time of a fork of the process that forked
_POLL_S: Final = (0.001, 0.005)  # first and longest pause between looks at a locked file
_INSERT: Final = """
INSERT INTO commerce_event_inbox
    (id, event_type, client_id, business_key, sequence, headers, body, received_at, state, next_attempt_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?)
ON CONFLICT (id) DO NOTHING"""

F = TypeVar("F", bound=Callable[..., Any])


def _translated(function: F) -> F:
    """Raise InboxUnavailableError for a file that is locked, full, gone or damaged."""

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except sqlite3.DataError:
            raise
        except (sqlite3.DatabaseError, sqlite3.InterfaceError) as error:
            raise InboxUnavailableError(f"SQLite: {error}") from error

    return call  # type: ignore[return-value]


class SqliteSession(Session):
    """A connection to the file. Its transactions take the write lock when they begin."""

    skip_locked = ""
    positions = "IN (SELECT value FROM json_each(:positions))"

    def __init__(self, raw: sqlite3.Connection, path: Path, turns: Turns) -> None:
        self.raw: Any = raw
        self.path = path
        self.pid = os.getpid()
        _OPEN.add(self)
        self._turns = turns
        self._has_turn = False

    @property
    def is_in_transaction(self) -> bool:
        return bool(self.raw.in_transaction)

    @_translated
    def begin(self, wait_s: float = WAIT_S) -> None:
        self._end_turn()  # of a transaction that a handler ended itself
        deadline = time.monotonic() + wait_s
        if not self._turns.acquire(wait_s):
            raise InboxUnavailableError(f"SQLite: another thread has written for {wait_s:g} s")
        self._has_turn = True
        try:
            self._begin_until(deadline)
        except BaseException:
            self._end_turn()
            raise

    def _begin_until(self, deadline: float) -> None:
        # Other processes: SQLite's own wait pauses for up to 100 ms; an acknowledgement has less time than that.
        self.raw.execute("PRAGMA busy_timeout = 0")
        pause, longest = _POLL_S
        while True:
            try:
                self.raw.execute("BEGIN IMMEDIATE")
                break
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() > deadline:
                    raise
            time.sleep(pause)
            pause = min(pause * 1.5, longest)
        self.raw.execute(f"PRAGMA busy_timeout = {int(WAIT_S * 1000)}")

    @_translated
    def commit(self) -> None:
        self.raw.execute("COMMIT")
        self._end_turn()

    def rollback(self) -> None:
        try:
            if self.raw.in_transaction:
                self.raw.execute("ROLLBACK")
        except sqlite3.Error:
            self.close()
        finally:
            self._end_turn()

    @_translated
    def query(self, sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return list(self.raw.execute(sql, parameters).fetchall())

    @_translated
    def run(self, sql: str, parameters: Mapping[str, Any]) -> int:
        return int(self.raw.execute(sql, parameters).rowcount)

    def position_list(self, positions: Sequence[int]) -> str:
        return json.dumps(list(positions))

    @_translated
    def insert(self, messages: Sequence[NewMessage]) -> set[str]:
        self.begin()
        try:
            new = {each.id for each in messages if self.raw.execute(_INSERT, (*each, each.received_at)).rowcount == 1}
            self.commit()
        except BaseException:
            self.rollback()
            raise
        return new

    def close(self) -> None:
        _OPEN.discard(self)
        try:
            self.raw.close()
        finally:
            self._end_turn()

    def _end_turn(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._turns.release()


class SqliteDatabase(Database):
    """A file in WAL mode; each commit is on disk before it returns (``synchronous = FULL``)."""

    dialect: Dialect = "sqlite"
    writer_count = 1

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises ValueError for a database in memory, which each connection would have for itself."""
        text = os.fspath(path)
        if not text or ":memory:" in text or text.startswith("file:"):
            raise ValueError(f"an inbox needs the path of a file, not {text!r}")
        self._path = Path(text)
        self._lock = threading.Lock()
        self._turns, self._turns_pid = Turns(), os.getpid()
        self._has_tables = False

    @_translated
    def open(self, *, statement_timeout_s: float | None = None, uses_indexes: bool = False) -> SqliteSession:  # noqa: ARG002
        if not self._has_tables:
            self.create_tables()
        return self._connect()

    @_translated
    def read_version(self) -> int | None:
        if not self._path.exists():
            return None
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
                session.rollback()
                session.close()
            self._has_tables = True

    def _connect(self) -> SqliteSession:
        path = self._path.resolve()
        self._refuse_after_fork(path)
        raw = sqlite3.connect(
            self._path, timeout=WAIT_S, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            raw.execute("PRAGMA journal_mode = WAL")
            raw.execute("PRAGMA synchronous = FULL")
        except BaseException:
            raw.close()
            raise
        if self._turns_pid != os.getpid():  # a fork copies a turn that no thread of the child has
            self._turns, self._turns_pid = Turns(), os.getpid()
        return SqliteSession(raw, path, self._turns)

    def _refuse_after_fork(self, path: Path) -> None:
        """Raise InboxUnavailableError if a connection to the file was open when another process forked this one.

        SQLite believes here that the connection is still open and holds locks, which a process does not inherit. When
        the other process ends, it deletes the log (WAL) that this one writes to, and what was stored is lost.
        """
        if any(each.pid != os.getpid() and each.path == path for each in list(_OPEN)):
            raise InboxUnavailableError(
                "SQLite: the inbox was in use when this process was forked; start the worker, and put, after the fork"
            )

    def _create(self, session: SqliteSession) -> None:
        if _version(session) == schema.SCHEMA_VERSION:
            return
        session.begin()
        for statement in schema.statements_from("sqlite", _version(session)):
            session.run(statement, {})
        session.run(schema.WRITE_VERSION, {"version": schema.SCHEMA_VERSION})
        session.commit()


def _version(session: SqliteSession) -> int | None:
    sql = "SELECT 1 FROM sqlite_master WHERE name = 'commerce_event_inbox_schema'"
    if not session.query(sql, {}):
        return None
    version: int | None = session.query(schema.READ_VERSION, {})[0][0]
    return version


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return "locked" in str(error) or "busy" in str(error)
