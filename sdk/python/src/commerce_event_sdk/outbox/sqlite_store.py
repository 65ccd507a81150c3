"""The outbox in a SQLite file that the application writes to at the same time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from commerce_event_sdk.outbox.store import DeadMessage, OutboxError, OutboxMessage, OutboxStatus

_BUSY_S: Final = 10.0  # how long a writing application may keep the relay waiting
_NOW: Final = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"


class SqliteOutboxStore:
    """One connection. The active relay holds a lock on a file next to the database, which ends with its process."""

    def __init__(self, path: str) -> None:
        if not path or not Path(path).is_file():
            raise OutboxError(f"there is no SQLite database {path or '(no path)'}; the application creates it")
        self._path = Path(path).absolute()
        self._lock: sqlite3.Connection | None = None
        self._seen_version: int | None = None  # of the database, when nothing was pending
        with self._errors():
            # "rw": it must not create a file that no other program reads
            self._connection = sqlite3.connect(
                f"{self._path.as_uri()}?mode=rw",
                uri=True,
                timeout=_BUSY_S,
                isolation_level=None,
                check_same_thread=False,
            )

    def acquire(self) -> bool:
        if self._lock is not None:
            return True
        with self._errors():
            lock = sqlite3.connect(f"{self._path}.relay", timeout=0, isolation_level=None, check_same_thread=False)
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                lock.close()
                if "locked" in str(error):
                    return False
                raise
        self._lock = lock
        return True

    def read(self, max_events: int, max_bytes: int) -> list[OutboxMessage]:
        with self._errors():
            version = int(self._connection.execute("PRAGMA data_version").fetchone()[0])
            if version == self._seen_version:
                return []  # no other connection has committed anything
            found = self._first_pending(max_events, max_bytes)
        self._seen_version = None if found else version
        return found

    def _first_pending(self, max_events: int, max_bytes: int) -> list[OutboxMessage]:
        found: list[OutboxMessage] = []
        size = 0
        rows = self._connection.execute(
            "SELECT id, event_type, CAST(data AS BLOB), position FROM commerce_event_outbox"
            " WHERE state = 'pending' ORDER BY position LIMIT ?",
            (max_events,),
        )
        try:
            for row in rows:
                size += len(row[2])
                if found and size > max_bytes:
                    break
                found.append(OutboxMessage(*row))
        finally:
            rows.close()  # ends the read transaction
        return found

    def settle(self, accepted: Sequence[OutboxMessage], dead: Sequence[tuple[OutboxMessage, str]]) -> None:
        with self._errors(), self._transaction():
            self._connection.executemany(
                "DELETE FROM commerce_event_outbox WHERE position = ?", [(each.position,) for each in accepted]
            )
            self._connection.executemany(
                f"UPDATE commerce_event_outbox SET state = 'dead', reason = ?, dead_at = {_NOW} WHERE position = ?",  # noqa: S608
                [(reason, each.position) for each, reason in dead],
            )

    def status(self) -> OutboxStatus:
        with self._errors():
            pending, oldest = self._connection.execute(
                "SELECT count(*), min(created_at) FROM commerce_event_outbox WHERE state = 'pending'"
            ).fetchone()
            dead = self._connection.execute(
                "SELECT count(*) FROM commerce_event_outbox WHERE state = 'dead'"
            ).fetchone()[0]
            rows = self._connection.execute(
                "SELECT id, event_type, business_key, created_at, dead_at, reason FROM commerce_event_outbox"
                " WHERE state = 'dead' ORDER BY position LIMIT 100"
            ).fetchall()
        return OutboxStatus(pending, dead, oldest, self._is_relay_active(), [DeadMessage(*row) for row in rows])

    def _is_relay_active(self) -> bool:
        if not Path(f"{self._path}.relay").exists():
            return False
        is_free = self.acquire()
        self._release()
        return not is_free

    def retry(self, message_id: str | None) -> int:
        return self._change(
            "UPDATE commerce_event_outbox SET state = 'pending', reason = NULL, dead_at = NULL WHERE state = 'dead'",
            message_id,
        )

    def discard(self, message_id: str | None) -> int:
        if message_id is None:
            return self._change("DELETE FROM commerce_event_outbox WHERE state = 'dead'", None)
        return self._change("DELETE FROM commerce_event_outbox WHERE true", message_id)

    def _change(self, statement: str, message_id: str | None) -> int:
        with self._errors(), self._transaction():
            if message_id is None:
                return self._connection.execute(statement).rowcount
            return self._connection.execute(f"{statement} AND id = ?", (message_id,)).rowcount

    def close(self) -> None:
        self._release()
        self._connection.close()

    def _release(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _outbox_error(str(error)) from None


def _outbox_error(text: str) -> OutboxError:
    if "no such table" in text:
        return OutboxError("the database has no table commerce_event_outbox; run Outbox().create_tables(connection)")
    return OutboxError(f"the database of the outbox: {text}")
