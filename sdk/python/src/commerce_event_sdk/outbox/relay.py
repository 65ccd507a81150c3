"""The relay: publishes what transactions have put into the outbox."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from commerce_event_sdk.client import BATCH_BYTES, BATCH_EVENTS, Client
from commerce_event_sdk.outbox.store import OutboxError, OutboxMessage, OutboxStore, open_store
from commerce_event_sdk.publishing import Accepted, EventRefusedError, Pace, RequestRefusedError, UnavailableError

if TYPE_CHECKING:
    from commerce_event_sdk.batch_sender import Result

_STANDBY_S: Final = 1.0  # between two looks whether the active relay has ended
_REPORT_S: Final = 10.0
_ABORT_S: Final = 1.0

log = logging.getLogger(__name__)


class Relay:
    """Publishes the committed messages of an outbox in the order of their positions, and deletes those accepted.

    Each request has the first pending messages, in order, under their ids. A message leaves the table only after the
    server has accepted it, so it is sent again after a crash, and the server recognises its id. The server stores the
    events of a request in order and none behind one that it could not store, so the order of a key is kept after
    any failure: even if two relays were active, each event would follow those before it.

    One relay of a table is active at a time; others wait, and take over within a second or two of its end. A message
    that the server refuses becomes dead; the messages after it are published.
    """

    def __init__(
        self, database: str, client: Client, *, batch_events: int = BATCH_EVENTS, poll_interval_s: float = 0.05
    ) -> None:
        """``database`` is ``sqlite:///path`` or ``postgresql://…``, the database that ``Outbox.add`` writes to.

        ``client`` says which server and key; the relay sends on a connection of its own. An empty outbox is looked at
        every ``poll_interval_s``.
        """
        self._database = database
        self._sender = client.new_sender()
        self._pace = Pace(batch_events)
        self._database_pace = Pace(1)
        self._poll_interval_s = poll_interval_s
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._published = 0  # since the last report
        self._reported_at = 0.0  # time.monotonic()

    def start(self) -> None:
        """Run in a thread until :meth:`stop`."""
        if self._thread is not None:
            raise RuntimeError("the relay was started before; make another one")
        self._thread = threading.Thread(target=self.run, name="commerce-event-relay", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """End after the request that is being sent; after ``timeout_s`` cut it. Nothing is lost either way."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                self._sender.abort()
                self._thread.join(_ABORT_S)

    @property
    def is_running(self) -> bool:
        """Whether the thread of :meth:`start` is alive."""
        return self._thread is not None and self._thread.is_alive()

    def run(self) -> None:
        """Publish until :meth:`stop` is called from another thread."""
        while not self._stopping.is_set():
            self._work(until_idle=False)

    def run_until_idle(self) -> None:
        """Publish what is pending now; return when nothing is, or when :meth:`stop` is called."""
        while not self._stopping.is_set() and not self._work(until_idle=True):
            pass

    def _work(self, *, until_idle: bool) -> bool:
        """Publish over one connection to the database, until it fails; return True when nothing is pending."""
        store: OutboxStore | None = None
        try:
            store = open_store(self._database)
            return self._publish_all(store, until_idle=until_idle)
        except OutboxError as error:
            self._pause(self._database_pace, str(error))
        except Exception:
            log.exception("the relay failed; it begins again")
            self._pause(self._database_pace, "unexpected error")
        finally:
            self._sender.close()
            if store is not None:
                store.close()
        return False

    def _publish_all(self, store: OutboxStore, *, until_idle: bool) -> bool:
        is_active = is_waiting = False
        while not self._stopping.is_set():
            if not store.acquire():
                if not is_waiting:
                    log.info("another relay is active; this one waits")
                    is_waiting = True
                self._stopping.wait(_STANDBY_S)
                continue
            if not is_active:
                log.info("active: publishing to %s", self._sender.url)
                is_active = True
            messages = store.read(self._pace.events, BATCH_BYTES)
            self._report(is_idle=not messages)
            if messages:
                self._publish(store, messages)
            elif until_idle:
                return True
            else:
                self._stopping.wait(self._poll_interval_s)
            self._database_pace.succeed()  # not before: what is full can still be read
        return False

    def _publish(self, store: OutboxStore, messages: Sequence[OutboxMessage]) -> None:
        results = self._send(messages)
        if results is None:
            return
        pairs = list(zip(messages, results, strict=True))
        accepted = [message for message, result in pairs if isinstance(result, Accepted)]
        dead = [(message, str(result)) for message, result in pairs if isinstance(result, EventRefusedError)]
        store.settle(accepted, dead)
        self._published += len(accepted)
        for message, reason in dead:
            log.warning("%s %s is dead: %s", message.event_type, message.id, reason)
        failures = [result for result in results if isinstance(result, UnavailableError)]
        if failures:
            self._pause(self._pace, str(failures[0]), failures[0])

    def _send(self, messages: Sequence[OutboxMessage]) -> Sequence[Result] | None:
        """Send messages in a request; return None, after a pause, when it failed as a whole."""
        try:
            results = self._sender.send(messages)
        except UnavailableError as error:
            self._pause(self._pace, str(error), error)
        except RequestRefusedError as error:
            if error.status == 413 and len(messages) == 1:
                return [error]
            if error.status == 413:
                self._pace.shrink(len(messages))
            else:  # the messages are not at fault: they wait until the key or the URL is right
                self._pause(self._pace, f"the server refuses every request: {error}", error)
        else:
            self._pace.succeed()
            return results
        return None

    def _pause(self, pace: Pace, reason: str, error: UnavailableError | RequestRefusedError | None = None) -> None:
        pause_s = pace.fail(error or UnavailableError(reason))
        if not self._stopping.is_set():
            log.warning("%s; next attempt in %.1f s", reason, pause_s)
            self._stopping.wait(pause_s)

    def _report(self, *, is_idle: bool) -> None:
        """Log how much was published: when nothing is left, and every ten seconds."""
        if self._published and (is_idle or time.monotonic() >= self._reported_at + _REPORT_S):
            log.info("published %d events%s", self._published, "" if is_idle else "; more are pending")
            self._published = 0
            self._reported_at = time.monotonic()
