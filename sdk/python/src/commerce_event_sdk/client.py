"""Publish events: a buffer, a thread that sends it in batches, and a future for each event."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from commerce_event_sdk.event import CommerceEvent, UnknownEvent
from commerce_event_sdk.publishing import (
    Accepted,
    BufferFullError,
    ClientClosedError,
    NotAccepted,
    NotAcceptedError,
    OutgoingEvent,
    Pace,
    RequestRefusedError,
    UnavailableError,
    check_id,
    encode,
)

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

    from commerce_event_sdk.batch_sender import BatchSender, Result

Event: TypeAlias = CommerceEvent | UnknownEvent | Mapping[str, Any]
TypeOrEvent: TypeAlias = str | type[CommerceEvent] | CommerceEvent | UnknownEvent

BATCH_EVENTS: Final = 500
BATCH_BYTES: Final = 512 * 1024  # proxies take 1 MiB by default
_REFUSED_MAX: Final = 1_000  # refused events that close() still names
_ABORT_S: Final = 1.0
_AT_EXIT_S: Final = 2.0

log = logging.getLogger(__name__)


class _Entry:
    """An event in the buffer."""

    __slots__ = ("event", "future", "outgoing", "size", "was_sent")

    def __init__(self, type_or_event: TypeOrEvent, event: Event | None, id: str | None) -> None:  # noqa: A002
        event_type, self.event, body = encode(type_or_event, event)
        self.outgoing = OutgoingEvent(str(uuid.uuid4()) if id is None else check_id(id), event_type, body)
        self.size = len(body)
        self.future: Future[Accepted] = Future()
        self.was_sent = False

    def start(self) -> bool:
        """Note that the event is about to be sent; return False when its future was cancelled."""
        if self.was_sent:
            return True
        self.was_sent = self.future.set_running_or_notify_cancel()
        return self.was_sent

    def not_accepted(self, reason: str) -> NotAccepted:
        return NotAccepted(self.outgoing.event_type, self.event, self.outgoing.id, reason)


class Client:
    """Publishes events to a server, in the order of the calls of ``publish``.

    Events wait in a buffer, and a thread sends them in batches. What the server does not take for the moment is sent
    again under the same idempotency key. Threads may share a client; a process made by ``fork`` needs its own.

    >>> with Client("https://events.example.com", key) as client:
    ...     accepted = client.publish(event).result()
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_s: float = 30.0,
        max_buffered_events: int = 10_000,
        max_buffered_bytes: int = 16 * 1024 * 1024,
        batch_events: int = BATCH_EVENTS,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """``key`` needs the role ``publish``; it never appears in errors, log lines or ``repr``.

        ``timeout_s`` limits a request, not the life of an event. A request has at most ``batch_events`` events and
        512 KiB. Certificates are verified with the system's authorities unless ``ssl_context`` says otherwise. Raises
        ValueError for a wrong URL or key.
        """
        from commerce_event_sdk.batch_sender import BatchSender

        def make_sender() -> BatchSender:
            return BatchSender(url, key, timeout_s=timeout_s, ssl_context=ssl_context)

        self._make_sender = make_sender
        self._sender = self._make_sender()
        self._pace = Pace(batch_events)
        self._max_events = max_buffered_events
        self._max_bytes = max_buffered_bytes
        self._changed = threading.Condition()
        self._waiting: deque[_Entry] = deque()
        self._in_flight: list[_Entry] = []  # of the request that is being sent or waits to be repeated
        self._bytes = 0  # of both
        self._on_room: deque[Callable[[], None]] = deque()  # callers that wait for room, without a thread
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._is_closing = False
        self._is_aborted = False
        self._last_error = "the server did not answer in time"
        self._refused: deque[tuple[NotAccepted, int]] = deque()  # with their bytes
        self._refused_bytes = 0
        self._refused_max = _REFUSED_MAX
        self._left: list[NotAccepted] | None = None  # once closed

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._sender.url!r})"

    def publish(
        self,
        type_or_event: TypeOrEvent,
        event: Event | None = None,
        *,
        id: str | None = None,  # noqa: A002 - the word of the API
        block: bool = True,
        timeout_s: float | None = None,
    ) -> Future[Accepted]:
        """Put an event into the buffer; the future has the server's answer once the event is stored durably.

        Give an event, or the name of its type and a dict. ``id`` is the idempotency key, a random one by default. When
        the buffer is full, the call waits up to ``timeout_s``, or raises BufferFullError at once with ``block=False``.
        The future raises EventRefusedError when the server refuses the event, and NotAcceptedError when the client is
        closed before. Raises InvalidEventError, TypeError or ValueError for what cannot be sent at all.
        """
        entry = _Entry(type_or_event, event, id)
        if threading.current_thread() is self._thread:
            block = False  # a callback of a future: no other thread would make room
        with self._changed:
            is_taken = self._offer(entry)
            if not is_taken and block:
                is_taken = self._changed.wait_for(lambda: self._offer(entry), timeout_s)
        if not is_taken:
            raise BufferFullError(f"{self._max_events} events or {self._max_bytes} bytes wait to be sent")
        return entry.future

    def close(self, timeout_s: float = 10.0) -> list[NotAccepted]:
        """Send what waits, for up to ``timeout_s``, and return the events that were not accepted, with the reasons.

        The list has those that were refused earlier (the last 1,000, of up to ``max_buffered_bytes``) and those for
        which the time was too short; publish the latter again with the same ``id``. A second call returns the same
        list.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError("a callback of a future cannot close the client")
        with self._changed:
            self._is_closing = True
            self._wake_waiting(len(self._on_room))
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                self._abort()
            atexit.unregister(self._end)
        return self._fail_rest()

    def new_sender(self) -> BatchSender:
        """Return a connection of its own with the same settings. The relay sends on one."""
        return self._make_sender()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client, unless the block did.

        Raises NotAcceptedError when events were not accepted and the block raised nothing.
        """
        if self._left is None:
            _report(self.close(), error)

    def _offer(self, entry: _Entry, on_room: Callable[[], None] | None = None) -> bool:
        """Take an entry if there is room; else return False, and call ``on_room`` once when there may be some.

        Raises ClientClosedError.
        """
        if entry.size > self._max_bytes:
            raise ValueError(f"the event has {entry.size} bytes; the buffer holds {self._max_bytes}")
        if os.getpid() != self._pid:
            raise RuntimeError("this client was made before the process was forked; make a client in each process")
        with self._changed:
            if self._is_closing:
                raise ClientClosedError("the client is closed")
            count = len(self._waiting) + len(self._in_flight)
            if count >= self._max_events or self._bytes + entry.size > self._max_bytes:
                if on_room is not None:
                    self._on_room.append(on_room)
                return False
            self._waiting.append(entry)
            self._bytes += entry.size
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="commerce-event-client", daemon=True)
                self._thread.start()
                atexit.register(self._end)
            self._wake_waiting(1)
            self._changed.notify_all()
        return True

    def _withdraw(self, on_room: Callable[[], None]) -> None:
        """Forget a caller that no longer waits for room; if it was called already, call the next one instead."""
        with self._changed:
            if on_room in self._on_room:
                self._on_room.remove(on_room)
            else:
                self._wake_waiting(1)

    def _wake_waiting(self, count: int) -> None:
        for _ in range(min(count, len(self._on_room))):
            self._on_room.popleft()()

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            if batch:
                self._send(batch)
        self._sender.close()

    def _next_batch(self) -> list[_Entry] | None:
        """Wait for entries and return those of the next request, without cancelled ones; None when the client ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closing)
            if self._is_aborted or not self._waiting:
                return None
            batch: list[_Entry] = []
            size = 0
            while self._waiting and len(batch) < self._pace.events:
                entry = self._waiting[0]
                if batch and size + entry.size > BATCH_BYTES:
                    break
                self._waiting.popleft()
                if entry.start():
                    batch.append(entry)
                    size += entry.size
                else:
                    self._bytes -= entry.size
            self._in_flight = batch
            return batch

    def _send(self, batch: Sequence[_Entry]) -> None:
        try:
            results = self._sender.send([each.outgoing for each in batch])
            self._pace.succeed()
            self._settle(batch, results)
        except RequestRefusedError as error:
            if error.status == 413 and len(batch) > 1:
                self._pace.shrink(len(batch))
                self._take_back()
            else:
                self._settle(batch, [error] * len(batch))
        except UnavailableError as error:
            self._wait_after(error)
        except Exception as error:  # a defect must not leave futures without an answer
            log.exception("events could not be sent")
            self._wait_after(UnavailableError(f"{type(error).__name__} in the client"))

    def _take_back(self) -> None:
        """Put the events of a request that failed as a whole before the others."""
        with self._changed:
            self._waiting.extendleft(reversed(self._in_flight))
            self._in_flight = []

    def _settle(self, batch: Sequence[_Entry], results: Sequence[Result]) -> None:
        """Answer the futures of accepted and refused events, and keep the others. Raises UnavailableError for those."""
        kept = [
            (entry, result)
            for entry, result in zip(batch, results, strict=True)
            if isinstance(result, UnavailableError)
        ]
        with self._changed:
            if self._left is not None:
                return  # close() has not waited for this answer
            self._in_flight = []
            self._waiting.extendleft(entry for entry, _ in reversed(kept))
            for entry, result in zip(batch, results, strict=True):
                if isinstance(result, UnavailableError):
                    continue
                self._bytes -= entry.size
                if not isinstance(result, Accepted):
                    self._keep_refused(entry, str(result))
            self._wake_waiting(len(batch) - len(kept))
            self._changed.notify_all()
        for entry, result in zip(batch, results, strict=True):
            if isinstance(result, Accepted):
                entry.future.set_result(result)
            elif not isinstance(result, UnavailableError):
                log.warning("%s %s was refused: %s", entry.outgoing.event_type, entry.outgoing.id, result)
                entry.future.set_exception(result)
        if kept:
            raise kept[0][1]

    def _keep_refused(self, entry: _Entry, reason: str) -> None:
        """Keep a refused event for close(), and forget the oldest ones beyond the bounds."""
        self._refused.append((entry.not_accepted(reason), entry.size))
        self._refused_bytes += entry.size
        while len(self._refused) > self._refused_max or self._refused_bytes > self._max_bytes:
            self._refused_bytes -= self._refused.popleft()[1]

    def _wait_after(self, error: UnavailableError) -> None:
        pause_s = self._pace.fail(error)
        self._take_back()
        with self._changed:
            if self._is_aborted:
                return
            self._last_error = str(error)
            log.warning("%d events wait: %s; next attempt in %.1f s", len(self._waiting), error, pause_s)
            was_closing = self._is_closing  # close() is worth one attempt at once
            self._changed.wait_for(lambda: self._is_aborted or (self._is_closing and not was_closing), pause_s)

    def _abort(self) -> None:
        with self._changed:
            self._is_aborted = True
            self._changed.notify_all()
        self._sender.abort()
        if self._thread is not None:
            self._thread.join(_ABORT_S)

    def _fail_rest(self) -> list[NotAccepted]:
        with self._changed:
            if self._left is not None:
                return list(self._left)
            rest = [each for each in (*self._in_flight, *self._waiting) if each.start()]
            self._waiting.clear()
            lost = [each.not_accepted(self._last_error) for each in rest]
            self._left = [*(each for each, _ in self._refused), *lost]
        for entry, reason in zip(rest, lost, strict=True):
            entry.future.set_exception(NotAcceptedError([reason]))
        return list(self._left)

    def _end(self) -> None:
        """Close a client that the program has left open, and warn about what is lost."""
        if os.getpid() == self._pid and (lost := self.close(_AT_EXIT_S)):
            warnings.warn(f"{self!r} was not closed: {NotAcceptedError(lost)}", RuntimeWarning, stacklevel=1)


class AsyncClient:
    """Publishes events from coroutines: the same buffer, batches and retries as :class:`Client`.

    >>> async with AsyncClient("https://events.example.com", key) as client:
    ...     accepted = await client.publish(event)
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_s: float = 30.0,
        max_buffered_events: int = 10_000,
        max_buffered_bytes: int = 16 * 1024 * 1024,
        batch_events: int = BATCH_EVENTS,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """The arguments are those of :class:`Client`."""
        self._client = Client(
            url,
            key,
            timeout_s=timeout_s,
            max_buffered_events=max_buffered_events,
            max_buffered_bytes=max_buffered_bytes,
            batch_events=batch_events,
            ssl_context=ssl_context,
        )
        self._client._refused_max = 0  # noqa: SLF001 - every caller has got the refusal of its event

    def __repr__(self) -> str:
        return f"Async{self._client!r}"

    async def publish(
        self,
        type_or_event: TypeOrEvent,
        event: Event | None = None,
        *,
        id: str | None = None,  # noqa: A002 - the word of the API
    ) -> Accepted:
        """Publish an event; return the server's answer once the event is stored durably.

        Waits while the buffer is full. A caller that is cancelled withdraws the event unless it was sent already.
        Raises what :meth:`Client.publish` and its future raise.
        """
        entry = _Entry(type_or_event, event, id)
        while True:
            room: asyncio.Future[None] = asyncio.get_running_loop().create_future()

            def on_room(room: asyncio.Future[None] = room) -> None:
                with suppress(RuntimeError):  # the loop is closed
                    room.get_loop().call_soon_threadsafe(_resolve, room)

            if self._client._offer(entry, on_room):  # noqa: SLF001 - one engine
                return await asyncio.wrap_future(entry.future)
            try:
                await room
            except asyncio.CancelledError:
                self._client._withdraw(on_room)  # noqa: SLF001
                raise

    async def close(self, timeout_s: float = 10.0) -> list[NotAccepted]:
        """Send what waits, for up to ``timeout_s``, and return the events for which that was too short."""
        return await asyncio.to_thread(self._client.close, timeout_s)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client. Raises NotAcceptedError when events were not sent and the block raised nothing."""
        _report(await self.close(), error)


def _resolve(room: asyncio.Future[None]) -> None:
    if not room.done():
        room.set_result(None)


def _report(left: Sequence[NotAccepted], error: BaseException | None) -> None:
    if not left:
        return
    if error is None:
        raise NotAcceptedError(left)
    log.error("%s", NotAcceptedError(left))
