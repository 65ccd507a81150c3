"""Store messages in batches: calls of put at the same time share a commit."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, NamedTuple
from weakref import WeakSet

from commerce_event_sdk.inbox.database import Database, NewMessage, Session, close_quietly
from commerce_event_sdk.inbox.rules import InboxUnavailableError

LOG: Final = logging.getLogger("commerce_event_sdk.inbox")
BATCH_MAX: Final = 500
QUEUE_MAX: Final = 10_000
QUEUE_BYTES_MAX: Final = 64 * 1_048_576
STATEMENT_TIMEOUT_S: Final = 2.5
_FORK_WAIT_S: Final = 1.0
_LOOK_S: Final = 0.001
_WRITERS: Final[WeakSet[Writer]] = WeakSet()
_WRITERS_AT_ONCE: Final = 2  # and one more for each so many that wait: large commits cost less than many
_WAITING_FOR_ONE_MORE: Final = 8


class _Waiting(NamedTuple):
    message: NewMessage
    stored: Future[bool]


class Writer:
    """Threads with a connection each, which commit what is queued."""

    def __init__(self, database: Database, on_stored: Callable[[], None]) -> None:
        self._database = database
        self._on_stored = on_stored
        self._condition = threading.Condition()
        self._queue: deque[_Waiting] = deque()
        self._queued_bytes = 0
        self._threads: list[threading.Thread] = []
        self._sessions: set[Session] = set()
        self._idle = 0
        self._busy = 0
        self._is_closed = False
        _WRITERS.add(self)

    def put(self, message: NewMessage) -> Future[bool]:
        """Queue a message; the future says whether it is new, once it is on disk.

        Raises InboxUnavailableError when the queue is full, and RuntimeError after close.
        """
        stored: Future[bool] = Future()
        size = len(message.body)
        with self._condition:
            if self._is_closed:
                raise RuntimeError("the inbox is closed")
            if len(self._queue) >= QUEUE_MAX or self._queued_bytes + size > QUEUE_BYTES_MAX:
                raise InboxUnavailableError(f"{len(self._queue)} messages wait to be stored already")
            self._queue.append(_Waiting(message, stored))
            self._queued_bytes += size
            if self._idle == 0 and self._may_write() and len(self._threads) < self._database.writer_count:
                self._start_thread()
            self._condition.notify()
        return stored

    def close(self) -> None:
        """Store what is queued, and close the connections."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()
            threads = list(self._threads)
        for each in threads:
            each.join()

    def close_sessions(self) -> None:
        """Close the connections once nothing is being stored; the next message opens another one.

        Does nothing when that takes longer than a second.
        """
        deadline = time.monotonic() + _FORK_WAIT_S
        while time.monotonic() < deadline:
            with self._condition:
                if self._busy == 0 and not self._queue:
                    for each in self._sessions:
                        close_quietly(each)
                    self._sessions.clear()
                    return
            time.sleep(_LOOK_S)

    def _start_thread(self) -> None:
        name = f"commerce-event-inbox-writer-{len(self._threads) + 1}"
        thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run(self) -> None:
        session: Session | None = None
        while True:
            batch = self._next_batch()
            if not batch:
                break
            try:
                if session is None or session not in self._sessions:
                    session = self._database.open(statement_timeout_s=STATEMENT_TIMEOUT_S)
                    self._sessions.add(session)
                _store(session, batch)
            except Exception as error:
                LOG.error("%d messages were not stored: %s", len(batch), error)
                for each in batch:
                    _fail(each, error)
                self._drop(session)
                session = None
            else:
                self._on_stored()
            with self._condition:
                self._busy -= 1
        self._drop(session)

    def _drop(self, session: Session | None) -> None:
        if session is not None:
            self._sessions.discard(session)
            close_quietly(session)

    def _may_write(self) -> bool:
        return self._busy < _WRITERS_AT_ONCE + len(self._queue) // _WAITING_FOR_ONE_MORE

    def _next_batch(self) -> list[_Waiting]:
        """Wait for messages, and take those whose callers still wait; none when the writer is closed."""
        with self._condition:
            while True:
                batch: list[_Waiting] = []
                ids: set[str] = set()
                may_write = self._may_write()
                while may_write and self._queue and len(batch) < BATCH_MAX and self._queue[0].message.id not in ids:
                    each = self._queue.popleft()
                    self._queued_bytes -= len(each.message.body)
                    if each.stored.set_running_or_notify_cancel():
                        batch.append(each)
                        ids.add(each.message.id)
                self._busy += bool(batch)
                if batch or self._is_closed:
                    return batch
                self._idle += 1
                self._condition.wait()
                self._idle -= 1


def _store(session: Session, batch: Sequence[_Waiting]) -> None:
    """Store a batch; when the database refuses one message for what it contains, store the others alone."""
    try:
        new = session.insert([each.message for each in batch])
    except InboxUnavailableError:
        raise
    except Exception:
        if len(batch) == 1:
            raise
        for each in batch:
            _store_alone(session, each)
        return
    for each in batch:
        each.stored.set_result(each.message.id in new)


def _store_alone(session: Session, waiting: _Waiting) -> None:
    try:
        waiting.stored.set_result(bool(session.insert([waiting.message])))
    except InboxUnavailableError:
        raise
    except Exception as error:
        LOG.error("%s was not stored: %s", waiting.message.id, error)
        waiting.stored.set_exception(error)


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.stored.done():
        waiting.stored.set_exception(error)


def _close_all_sessions() -> None:
    for each in list(_WRITERS):
        each.close_sessions()


if hasattr(os, "register_at_fork"):  # SQLite must have no open connection when its process is forked
    os.register_at_fork(before=_close_all_sessions)
