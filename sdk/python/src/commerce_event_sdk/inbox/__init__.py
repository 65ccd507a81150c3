"""The inbox: stores events before they are acknowledged, recognises repeats, and calls the handlers afterwards."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal
from weakref import WeakSet

from commerce_event_sdk.connections import Dialect, execute, execute_async
from commerce_event_sdk.delivery import Delivery
from commerce_event_sdk.inbox import messages, schema
from commerce_event_sdk.inbox.database import Database, Session, new_message
from commerce_event_sdk.inbox.messages import InboxMessage, InboxStatus, State
from commerce_event_sdk.inbox.rules import RETRY_SCHEDULE_S, InboxUnavailableError
from commerce_event_sdk.inbox.worker import Worker
from commerce_event_sdk.inbox.writer import Writer

if TYPE_CHECKING:
    from commerce_event_sdk.receiver import Receiver

__all__ = ["Inbox", "InboxMessage", "InboxStatus", "InboxUnavailableError", "Worker"]

PUT_TIMEOUT_S: Final = 3.0  # the sender waits for five seconds
RETENTION_S: Final = 30 * 86_400.0
_PAGE: Final = 500


class Inbox:
    """Events on disk. Make one with :meth:`sqlite` or :meth:`postgres`; it opens no connection before its first use.

    Give it to a receiver, which then stores each event before it answers, and start a :meth:`worker`. Or call
    :meth:`accept` in the transaction of a handler's own work. Either way a repeat has no effect.

    Safe to use from several threads and processes; after a fork each process has connections of its own. With SQLite,
    start workers after the fork: an inbox that is in use at that time stores nothing in the new process.
    """

    def __init__(
        self,
        database: Database,
        *,
        keep_bodies: bool = False,
        retention_s: float = RETENTION_S,
        put_timeout_s: float = PUT_TIMEOUT_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Internal: use :meth:`sqlite` or :meth:`postgres`."""
        self.database = database
        self.keep_bodies = keep_bodies
        self.retention_s = retention_s
        self.clock = clock
        self._put_timeout_s = put_timeout_s
        self._lock = threading.Lock()
        self._writer: Writer | None = None
        self._writer_pid = 0
        self._is_closed = False
        self._workers: WeakSet[Worker] = WeakSet()
        self.connections_of_handlers: set[int] = set()  # ``id`` of each connection that a worker has given to a handler

    @classmethod
    def sqlite(
        cls,
        path: str | os.PathLike[str],
        *,
        keep_bodies: bool = False,
        retention_s: float = RETENTION_S,
        put_timeout_s: float = PUT_TIMEOUT_S,
        clock: Callable[[], float] = time.time,
    ) -> Inbox:
        """Return an inbox in an SQLite file, which may be the file of the application.

        ``keep_bodies`` keeps the bodies of finished messages. ``retention_s`` is how many seconds the id of a finished
        message is known: a repeat that comes later is a new event. ``put_timeout_s`` bounds the wait for the disk.
        Raises ValueError for a database in memory.
        """
        from commerce_event_sdk.inbox.sqlite import SqliteDatabase

        return cls(
            SqliteDatabase(path),
            keep_bodies=keep_bodies,
            retention_s=retention_s,
            put_timeout_s=put_timeout_s,
            clock=clock,
        )

    @classmethod
    def postgres(
        cls,
        dsn: str,
        *,
        writers: int = 8,
        keep_bodies: bool = False,
        retention_s: float = RETENTION_S,
        put_timeout_s: float = PUT_TIMEOUT_S,
        clock: Callable[[], float] = time.time,
    ) -> Inbox:
        """Return an inbox in a PostgreSQL database. ``dsn`` is a URL or connection string of libpq.

        ``writers`` is how many connections may store events at the same time; the other arguments are those of
        :meth:`sqlite`. Raises ModuleNotFoundError without psycopg, and ValueError for a ``dsn`` that libpq cannot read.
        """
        from commerce_event_sdk.inbox.postgres import PostgresDatabase

        return cls(
            PostgresDatabase(dsn, writers),
            keep_bodies=keep_bodies,
            retention_s=retention_s,
            put_timeout_s=put_timeout_s,
            clock=clock,
        )

    @staticmethod
    def schema_sql(dialect: Dialect) -> str:
        """Return the SQL that makes the tables, for a migration of the application."""
        return schema.schema_sql(dialect)

    def create_tables(self) -> None:
        """Create the tables, or upgrade those of an earlier version. Changes nothing when they are there.

        Everything but ``accept`` does this by itself. Raises InboxUnavailableError, and ValueError when the tables
        are those of a later version.
        """
        self.database.create_tables()

    def put(self, delivery: Delivery, business_key: str | None = None) -> bool:
        """Store an event; it is on disk when this returns. False: it was stored before.

        Raises InboxUnavailableError when the database is locked, gone or slow. The event may be stored all the same
        then: when the sender repeats it, the repeat is recognised.
        """
        stored = self._queue(delivery, business_key)
        try:
            return stored.result(self._put_timeout_s)
        except FutureTimeoutError:
            stored.cancel()
            raise self._timed_out() from None

    async def put_async(self, delivery: Delivery, business_key: str | None = None) -> bool:
        """Store an event as :meth:`put` does, without blocking the event loop."""
        stored = self._queue(delivery, business_key)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(stored), self._put_timeout_s)
        except asyncio.TimeoutError:
            raise self._timed_out() from None

    def accept(self, connection: Any, webhook_id: str) -> bool:
        """Record an event as done in the open transaction of a connection. False: it was done before.

        Call it in the transaction of the work: they are committed together or not at all. Nothing is committed here.
        In PostgreSQL a repeat at the same time waits until the first transaction ends.

        Known connections: ``sqlite3``, ``psycopg``, SQLAlchemy ``Connection`` and ``Session``, Django's ``connection``.
        Raises TypeError for another one, ValueError for one in autocommit mode, and LookupError when the database of
        the connection lacks the tables (see :meth:`create_tables`); errors of the database pass through.
        """
        try:
            return execute(connection, messages.ACCEPT, self._acceptance(connection, webhook_id)) == 1
        except Exception as error:
            raise _explained(error) from error

    async def accept_async(self, connection: Any, webhook_id: str) -> bool:
        """Record an event as :meth:`accept` does, on an async connection.

        Known connections: ``asyncpg``, ``psycopg.AsyncConnection``, SQLAlchemy ``AsyncConnection``, ``AsyncSession``.
        """
        try:
            return await execute_async(connection, messages.ACCEPT, self._acceptance(connection, webhook_id)) == 1
        except Exception as error:
            raise _explained(error) from error

    def _acceptance(self, connection: Any, webhook_id: str) -> dict[str, Any]:
        is_own = id(connection) in self.connections_of_handlers
        return {"id": webhook_id, "now": self.clock(), "is_own": int(is_own)}

    def worker(
        self,
        receiver: Receiver,
        *,
        concurrency: int = 4,
        retry_schedule: Sequence[float] = RETRY_SCHEDULE_S,
        max_attempts: int | None = None,
        claim_s: float = 60.0,
        poll_s: float = 0.5,
        rng: random.Random | None = None,
    ) -> Worker:
        """Return a worker that calls the handlers of the receiver; several, also in other processes, share the inbox.

        ``concurrency`` handlers run at the same time, in threads. A failed one is called again after the seconds in
        ``retry_schedule`` (the last one repeats), ``max_attempts`` times in all (default: one more than the schedule
        has), then the message becomes a dead letter. A message of a process that ended is free after ``claim_s``
        seconds. ``poll_s`` is how often the worker looks for messages of other processes. Raises ValueError.
        """
        worker = Worker(
            self,
            receiver,
            concurrency=concurrency,
            retry_schedule=retry_schedule,
            max_attempts=max_attempts,
            claim_s=claim_s,
            poll_s=poll_s,
            rng=rng or random.Random(),  # noqa: S311 - spreads retries
        )
        self._workers.add(worker)
        return worker

    def messages(
        self, *, state: State | None = None, limit: int = 100, before: InboxMessage | None = None
    ) -> list[InboxMessage]:
        """Return messages without bodies, the newest first; ``before`` continues after the last one of a call."""
        with self.session() as session:
            return messages.newest(session, state, limit=limit, before=before.position if before else None)

    def message(self, message_id: str) -> InboxMessage | None:
        """Return one message with its body; None when the inbox has none with the id."""
        with self.session() as session:
            return messages.find(session, message_id)

    def status(self) -> InboxStatus:
        """Count the messages by state."""
        with self.session() as session:
            return messages.status(session)

    def retry(self, *message_ids: str) -> int:
        """Make dead letters, and messages that wait for their next attempt, due now; their attempts count from 1 again.

        Returns how many it changed: finished and running ones stay as they are.
        """
        with self.session() as session:
            count = messages.change(session, message_ids, "retry", now=self.clock())
        self._wake_workers()
        return count

    def retry_dead(self) -> int:
        """Make all dead letters due now, as :meth:`retry` does. Returns how many there were."""
        count, last = 0, None
        while page := self.messages(state="dead", limit=_PAGE, before=last):
            count += self.retry(*(each.id for each in page))
            last = page[-1]
        return count

    def discard(self, *message_ids: str) -> int:
        """End pending messages and dead letters: they are done without being handled, and repeats are ignored.

        Returns how many it changed. A handler that runs goes on, but its transaction is rolled back.
        """
        with self.session() as session:
            count = messages.change(session, message_ids, "discard", now=self.clock())
        self._wake_workers()
        return count

    def purge(self, *, before: float, state: Literal["done", "dead"] = "done") -> int:
        """Delete messages that finished before a time (seconds since 1970), in small steps. Returns how many.

        A repeat of a deleted message is a new event.
        """
        count = 0
        with self.session() as session:
            while (step := messages.purge_step(session, state, before=before)) > 0:
                count += step
        return count

    def read_position(self, source: str) -> int | None:
        """Return how far the events of a source were read; None before the first time."""
        with self.session() as session:
            return messages.read_position(session, source)

    def write_position(self, source: str, position: int) -> None:
        """Store how far the events of a source were read."""
        with self.session() as session:
            messages.write_position(session, source, position)

    def close(self) -> None:
        """Store what was put, and close the connections. Stop the workers before."""
        with self._lock:
            self._is_closed = True
            writer = self._writer if self._writer_pid == os.getpid() else None
        if writer is not None:
            writer.close()

    def _queue(self, delivery: Delivery, business_key: str | None) -> Future[bool]:
        message = new_message(delivery, business_key, self.clock())
        writer = self._writer
        if writer is None or self._writer_pid != os.getpid():
            writer = self._start_writer()
        return writer.put(message)

    def _start_writer(self) -> Writer:
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the inbox is closed")
            if self._writer is None or self._writer_pid != os.getpid():
                self._writer = Writer(self.database, self._wake_workers)
                self._writer_pid = os.getpid()
            return self._writer

    def _wake_workers(self) -> None:
        for each in list(self._workers):
            each.wake()

    def _timed_out(self) -> InboxUnavailableError:
        return InboxUnavailableError(f"the database did not store the event within {self._put_timeout_s:g} s")

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open a connection for the block. Raises InboxUnavailableError."""
        session = self.database.open()
        try:
            yield session
        finally:
            session.close()


def _explained(error: Exception) -> Exception:
    text = str(error)
    if "commerce_event_inbox" in text and ("no such table" in text or "does not exist" in text):
        return LookupError(
            "the database of this connection has no table commerce_event_inbox: call inbox.create_tables() when the "
            "program starts, or put Inbox.schema_sql(…) in a migration"
        )
    return error
