"""The worker: claims messages, calls their handlers in threads, and stores what became of them."""

from __future__ import annotations

import logging
import os
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from commerce_event_sdk.inbox import messages
from commerce_event_sdk.inbox.database import Session, close_quietly
from commerce_event_sdk.inbox.messages import Claimed
from commerce_event_sdk.inbox.rules import Dead, InboxUnavailableError, Retry, after_failure

if TYPE_CHECKING:
    from commerce_event_sdk.inbox import Inbox
    from commerce_event_sdk.receiver import Receiver

LOG: Final = logging.getLogger("commerce_event_sdk.inbox")
TRANSACTION_WAIT_S: Final = 30.0  # how long a handler waits for the write lock of SQLite
_PURGE_EVERY_S: Final = 60.0
_PURGE_STEPS_MAX: Final = 20
_UNAVAILABLE_PAUSE_S: Final = 1.0
_LOOK_S: Final = 0.2


class Worker:
    """Runs the handlers of a receiver for the messages of an inbox. Made by :meth:`Inbox.worker`."""

    def __init__(
        self,
        inbox: Inbox,
        receiver: Receiver,
        *,
        concurrency: int,
        retry_schedule: Sequence[float],
        max_attempts: int | None,
        claim_s: float,
        poll_s: float,
        rng: random.Random,
    ) -> None:
        """Raises ValueError for a number that is out of range."""
        if concurrency < 1 or claim_s <= 0 or poll_s <= 0:
            raise ValueError("concurrency must be at least 1; claim_s and poll_s must be more than 0")
        if not retry_schedule or min(retry_schedule) < 0:
            raise ValueError("retry_schedule must have at least one number of seconds, and none below 0")
        if max_attempts is not None and max_attempts < 1:
            raise ValueError("max_attempts must be at least 1")
        self._inbox = inbox
        self._receiver = receiver
        self._concurrency = concurrency
        self._retry_schedule = tuple(retry_schedule)
        self._max_attempts = len(self._retry_schedule) + 1 if max_attempts is None else max_attempts
        self.claim_s = claim_s
        self._poll_s = poll_s
        self._rng = rng
        self._condition = threading.Condition()
        self._running: set[Claimed] = set()
        self._is_awake = False
        self._is_stopping = False
        self._stopped = threading.Event()
        self._handed: queue.SimpleQueue[Claimed | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._pid = 0  # of the process that has the threads

    def start(self) -> Worker:
        """Start the threads and return at once. Raises RuntimeError when it was started before."""
        if self._threads:
            raise RuntimeError("the worker was started before; make another one with inbox.worker()")
        self._pid = os.getpid()
        targets: list[Callable[[], None]] = [self._dispatch, self._maintain, *[self._handle] * self._concurrency]
        for number, target in enumerate(targets):
            name = f"commerce-event-inbox-{target.__name__.strip('_')}-{number}"
            self._threads.append(threading.Thread(target=target, name=name, daemon=True))
        for each in self._threads:
            each.start()
        return self

    def stop(self, timeout_s: float = 30.0) -> bool:
        """Claim nothing more, and wait until the running handlers have returned. False: some still run.

        What a handler does that still runs counts if it ends before its claim expires; otherwise its message is
        handled again.
        """
        with self._condition:
            self._is_stopping = True
            self._condition.notify_all()
        self._stopped.set()
        deadline = time.monotonic() + timeout_s
        for each in self._threads:
            each.join(max(0.0, deadline - time.monotonic()))
        return not any(each.is_alive() for each in self._threads)

    def run(self) -> None:
        """Start, and block until :meth:`stop` is called from another thread or a signal handler, or Ctrl+C."""
        self.start()
        try:
            while not self._is_stopping:
                time.sleep(_LOOK_S)  # holds no lock that a signal handler needs to call stop
        finally:
            self.stop()

    def run_until_idle(self) -> int:
        """Handle what is due, one message after the other in this thread, and return how many attempts were made.

        For tests: messages that wait for a later attempt are left. Raises InboxUnavailableError.
        """
        count = 0
        attempt = _Attempts(self)
        try:
            with self._inbox.session() as session:
                while claimed := self._claim(session, 1):
                    for each in claimed:
                        attempt.make(each)
                        count += 1
        finally:
            attempt.close()
        return count

    def wake(self) -> None:
        """Look for messages now. Does nothing in a process that was forked after the start: it has no threads."""
        if self._pid != os.getpid():
            return
        with self._condition:
            self._is_awake = True
            self._condition.notify_all()

    def _claim(self, session: Session, limit: int) -> list[Claimed]:
        return messages.claim(
            session,
            limit=limit,
            max_attempts=self._max_attempts,
            now=self._inbox.clock(),
            claim_s=self.claim_s,
        )

    def _dispatch(self) -> None:
        """Claim as many messages as threads are free, until the worker stops."""
        session: Session | None = None
        while (free := self._wait_for_free_thread()) > 0:
            try:
                if session is None:
                    session = self._inbox.database.open(uses_indexes=True)
                claimed = self._claim(session, free)
            except Exception as error:
                LOG.error("the worker cannot claim messages: %s", error, exc_info=_unless_unavailable(error))
                close_quietly(session)
                session = None
                self._stopped.wait(_UNAVAILABLE_PAUSE_S)
                continue
            with self._condition:
                self._running.update(claimed)
                if not claimed and not self._is_awake and not self._is_stopping:
                    self._condition.wait(self._poll_s)
            for each in claimed:
                self._handed.put(each)
        for _ in range(self._concurrency):
            self._handed.put(None)
        close_quietly(session)

    def _wait_for_free_thread(self) -> int:
        """Return how many threads are free; 0 when the worker stops."""
        with self._condition:
            self._condition.wait_for(lambda: self._is_stopping or len(self._running) < self._concurrency)
            self._is_awake = False
            return 0 if self._is_stopping else self._concurrency - len(self._running)

    def _handle(self) -> None:
        """Make attempts, until the worker stops."""
        attempts = _Attempts(self)
        while (message := self._handed.get()) is not None:
            self._make_attempt(attempts, message)
        attempts.close()

    def _make_attempt(self, attempts: _Attempts, message: Claimed) -> None:
        try:
            attempts.make(message)
        except BaseException:
            LOG.exception("the attempt of %s ended without a result; its claim will expire", message.id)
            attempts.close()
        finally:
            with self._condition:
                self._running.discard(message)
                self._condition.notify_all()

    def _maintain(self) -> None:
        """Renew claims, and delete old messages, until no handler runs."""
        session: Session | None = None
        next_purge = time.monotonic()
        while not self._has_ended():
            try:
                if session is None:
                    session = self._inbox.database.open(uses_indexes=True)
                with self._condition:
                    running = list(self._running)
                if running:
                    messages.renew(session, running, until=self._inbox.clock() + self.claim_s)
                if time.monotonic() >= next_purge:
                    next_purge = time.monotonic() + _PURGE_EVERY_S
                    self._purge(session)
            except Exception as error:
                LOG.error("the worker cannot renew its claims: %s", error, exc_info=_unless_unavailable(error))
                close_quietly(session)
                session = None
            with self._condition:
                self._condition.wait_for(lambda: self._is_stopping, self.claim_s / 4)
                if self._is_stopping and self._running:
                    self._condition.wait(self.claim_s / 4)
        close_quietly(session)

    def _has_ended(self) -> bool:
        with self._condition:
            return self._is_stopping and not self._running

    def _purge(self, session: Session) -> None:
        before = self._inbox.clock() - self._inbox.retention_s
        for _ in range(_PURGE_STEPS_MAX):
            if self._stopped.is_set() or messages.purge_step(session, "done", before=before) == 0:
                return

    def outcome_of(self, message: Claimed, error: BaseException) -> Retry | Dead:
        """Return what becomes of a message after an error."""
        return after_failure(
            error,
            attempt_count=message.attempt_count,
            now=self._inbox.clock(),
            retry_schedule=self._retry_schedule,
            max_attempts=self._max_attempts,
            rng=self._rng,
        )


class _LostClaimError(Exception):
    """Another worker has the message now, or another transaction has accepted it."""


class _Attempts:
    """Makes attempts, one after the other, on a connection of its own."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._inbox = worker._inbox  # noqa: SLF001 - the two are one
        self._receiver = worker._receiver  # noqa: SLF001
        self._session: Session | None = None

    def make(self, message: Claimed) -> None:
        """Call the handler of a message, and store the result."""
        has_begun = False
        given: int | None = None

        def open_connection() -> Any:
            nonlocal has_begun, given
            session = self._open()
            if not has_begun:
                session.begin(TRANSACTION_WAIT_S)
                has_begun = True
                given = id(session.raw)
                self._inbox.connections_of_handlers.add(given)
                if not messages.is_mine(session, message):
                    raise _LostClaimError
            return session.raw

        try:
            self._receiver.dispatch(replace(message.delivery(), open_connection=open_connection))
            if has_begun:
                self._finish_begun(message)
            else:
                self._store(lambda session: self._finish(session, message))
        except _LostClaimError:
            self._roll_back()
            LOG.warning("%s is handled by another worker or program: this attempt was rolled back", message.id)
            self._store(lambda session: self._clear_accepted(session, message))
        except BaseException as error:
            self._roll_back()
            if _is_interrupt(error):
                self._store(lambda session: messages.release(session, message, now=self._inbox.clock()))
                raise
            self._fail(message, error)
        finally:
            if given is not None:
                self._inbox.connections_of_handlers.discard(given)

    def close(self) -> None:
        """Close the connection; the next attempt opens another one."""
        close_quietly(self._session)
        self._session = None

    def _open(self) -> Session:
        if self._session is None:
            self._session = self._inbox.database.open()
        return self._session

    def _finish_begun(self, message: Claimed) -> None:
        """Commit what the handler wrote together with its message."""
        session = self._open()
        if not session.is_in_transaction:
            LOG.error(
                "the handler of %s ended the transaction of delivery.connection itself: after a crash its work may be "
                "done twice; leave commit and rollback to the worker",
                message.id,
            )
            self._store(lambda session: self._finish(session, message))
            return
        if not messages.finish(session, message, now=self._inbox.clock(), keep_body=self._inbox.keep_bodies):
            raise _LostClaimError
        session.commit()

    def _finish(self, session: Session, message: Claimed) -> None:
        with messages.transaction(session):
            is_mine = messages.finish(session, message, now=self._inbox.clock(), keep_body=self._inbox.keep_bodies)
        if not is_mine and not self._clear_accepted(session, message):
            LOG.warning("%s was handled, but its claim had expired: another worker handles it as well", message.id)

    def _clear_accepted(self, session: Session, message: Claimed) -> bool:
        keep = self._inbox.keep_bodies
        return messages.clear_accepted(session, message, now=self._inbox.clock(), keep_body=keep)

    def _fail(self, message: Claimed, error: BaseException) -> None:
        outcome = self._worker.outcome_of(message, error)
        if isinstance(outcome, Retry):
            wait_s = max(0.0, outcome.at - self._inbox.clock())
            LOG.warning("attempt %d of %s failed, next in %.0f s: %s", message.attempt_count, message.id, wait_s, error)
        else:
            LOG.error("%s %s is a dead letter", message.event_type, message.id, exc_info=error)
        self._store(lambda session: messages.fail(session, message, outcome, now=self._inbox.clock()))

    def _store(self, write: Callable[[Session], object]) -> None:
        """Write a result, again and again while the claim lasts: a database that is away costs no second attempt."""
        deadline = time.monotonic() + self._worker.claim_s
        while True:
            try:
                write(self._open())
                return
            except InboxUnavailableError:
                self.close()
                if time.monotonic() > deadline:
                    raise
            time.sleep(_UNAVAILABLE_PAUSE_S)

    def _roll_back(self) -> None:
        if self._session is not None:
            try:
                self._session.rollback()
            except Exception:
                self.close()


def _is_interrupt(error: BaseException) -> bool:
    """Return whether a person ended the program. In other threads the handler itself has raised such an error."""
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and isinstance(error, (KeyboardInterrupt, GeneratorExit))


def _unless_unavailable(error: Exception) -> Exception | None:
    """Return the error whose traceback is worth a log line."""
    return None if isinstance(error, InboxUnavailableError) else error
