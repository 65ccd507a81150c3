"""Group commit: store events of many callers in shared commits, one after the other, and answer each caller in time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog

from commerce_event.contract.catalogue import EventType
from commerce_event.store.model import Accepted
from commerce_event.store.port import StoreUnavailableError

ANSWER_S: Final = 8.0  # a commit takes milliseconds; a database ends the transaction of a hanging node within 5 seconds
_BATCH_MAX: Final = 512  # events in one call to the store

log = structlog.get_logger(__name__)


class OutcomeUnknownError(StoreUnavailableError):
    """The store did not answer in time: the events may be stored or not."""

    def __init__(self) -> None:
        super().__init__(
            "the store did not answer in time, so the event may be stored or not; "
            "send it again with the same idempotency key"
        )


class PendingEvent(msgspec.Struct, frozen=True):
    """An event that passed its checks and is to be stored."""

    client_id: int
    type: EventType
    application_id: int | None
    data: Mapping[str, Any]
    body: bytes
    idempotency_key: str | None = None
    traceparent: str | None = None


Result = list[Accepted] | BaseException


class Submission:
    """The events that one caller submitted together, and the callback for their result."""

    __slots__ = ("_on_result", "events", "since", "size")

    def __init__(self, events: Sequence[PendingEvent], on_result: Callable[[Result], None], since: float) -> None:
        """``since`` is the loop's time. ``on_result`` is called once."""
        self.events = events
        self._on_result: Callable[[Result], None] | None = on_result
        self.size = sum([len(event.body) for event in events])
        self.since = since

    def resolve(self, result: Result) -> None:
        """Call back with the result, unless that was done before."""
        on_result, self._on_result = self._on_result, None
        if on_result is None:
            return
        try:
            on_result(result)
        except Exception:  # the other submissions of the batch must get their results
            log.exception("an answer could not be given")


class CommitBatcher:
    """Stores submissions batch by batch. Those that arrive during one commit share the next."""

    def __init__(self, store: Callable[[Sequence[Submission]], Awaitable[None]]) -> None:
        """``store`` stores a batch and resolves its submissions."""
        self._store = store
        self._waiting: list[Submission] = []
        self._running: asyncio.Task[None] | None = None
        self._overdue = False

    @property
    def running(self) -> asyncio.Task[None] | None:
        """The task that ends when no submission waits any more."""
        return self._running

    def add(self, submission: Submission) -> None:
        """Queue a submission for the next commit. Raises StoreUnavailableError while the store does not answer."""
        if self._overdue:
            raise StoreUnavailableError("the store does not answer now; try again in a moment")
        self._waiting.append(submission)
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    def reject_waiting(self) -> None:
        """Fail all waiting submissions; none of them is stored."""
        waiting, self._waiting = self._waiting, []
        fail_all(waiting, StoreUnavailableError("the store does not answer now; try again in a moment"))

    async def _run(self) -> None:
        try:
            await asyncio.sleep(0)  # so that callers of this turn of the event loop share the batch
            while self._waiting:
                await self._store_in_time(self._next_batch())
        finally:
            self._running = None

    async def _store_in_time(self, batch: Sequence[Submission]) -> None:
        timer = asyncio.get_running_loop().call_later(ANSWER_S, self._time_out, batch)
        try:
            await self._store(batch)
        except BaseException as error:
            fail_all(batch, error)
            if not isinstance(error, Exception):
                raise
            log.exception("a batch of events could not be stored")
        finally:
            timer.cancel()
            self._overdue = False

    def _time_out(self, batch: Sequence[Submission]) -> None:
        """Answer all callers while the store hangs. No other batch starts before this one has ended."""
        self._overdue = True
        fail_all(batch, OutcomeUnknownError())
        self.reject_waiting()

    def _next_batch(self) -> list[Submission]:
        size = count = 0
        for submission in self._waiting:
            if count and size + len(submission.events) > _BATCH_MAX:
                break
            size += len(submission.events)
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch


def fail_all(batch: Iterable[Submission], error: BaseException) -> None:
    """Resolve all submissions of a batch with an error."""
    for submission in batch:
        submission.resolve(error)
