"""Group commit: store events of many callers in shared commits, one after the other, and answer each caller in time."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog

from commerce_event.contract.catalogue import EventType
from commerce_event.core.model import Endpoint, client_owner
from commerce_event.core.problems import Fault
from commerce_event.core.routing import Candidates
from commerce_event.store.model import Accepted
from commerce_event.store.port import StoreUnavailableError

ANSWER_S: Final = 8.0  # a commit takes milliseconds; a database ends the transaction of a hanging node within 5 seconds
_BATCH_MAX: Final = 512  # events in one call to the store
_DELIVERIES_MAX: Final = 1_000  # in one call to the store: some 20 ms of the write lock

log = structlog.get_logger(__name__)


class OutcomeUnknownError(StoreUnavailableError):
    """The store did not answer in time: the events may be stored or not."""

    def __init__(self) -> None:
        super().__init__(
            "the store did not answer in time, so the event may be stored or not; "
            "send it again with the same idempotency key"
        )


class PartlyStoredError(StoreUnavailableError):
    """The store failed after some of the events of a submission were stored."""

    def __init__(self, answers: Sequence[Accepted], reason: BaseException) -> None:
        """``answers`` are those of the first events, which are stored; ``reason`` is the failure of the others."""
        super().__init__(f"only the first {len(answers)} events are stored for sure")
        self.answers = answers
        self.reason = reason


class Match(msgspec.Struct, frozen=True, eq=False):
    """The endpoints that match an event, as long as the registry still has the same candidates for it."""

    candidates: Candidates
    endpoints: tuple[Endpoint, ...]
    order_key: str | None  # if one of the endpoints is ordered by key


class PendingEvent(msgspec.Struct):
    """An event that passed its checks and is to be stored.

    ``data`` is the decoded body until the event is matched; keeping it would take many times the memory of the body.
    """

    client_id: int
    type: EventType
    application_id: int | None
    data: Mapping[str, Any] | None
    body: bytes
    idempotency_key: str | None = None
    traceparent: str | None = None
    match: Match | None = None
    warnings: tuple[Fault, ...] = ()  # where it breaks the contract
    bulk: bool = False  # one of many, whose deliveries give way to others

    @property
    def delivery_count(self) -> int:
        """How many endpoints match, as far as the event is matched."""
        return 0 if self.match is None else len(self.match.endpoints)


Result = list[Accepted] | BaseException


class Submission:
    """The events that one caller submitted together, and the callback for their result."""

    __slots__ = ("_on_result", "events", "owner", "rematches", "since", "size")

    def __init__(self, events: Sequence[PendingEvent], on_result: Callable[[Result], None], since: float) -> None:
        """``since`` is the loop's time. ``on_result`` is called once."""
        self.events = events
        self._on_result: Callable[[Result], None] | None = on_result
        self.size = sum([len(event.body) for event in events])
        self.since = since
        self.owner = client_owner(events[0].client_id) if events else ""
        self.rematches = 0  # how often it was matched again in turns

    @property
    def delivery_count(self) -> int:
        return sum([event.delivery_count for event in self.events])

    @property
    def is_resolved(self) -> bool:
        return self._on_result is None

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
        self._waiting: dict[str, deque[Submission]] = {}  # by owner; the first one is the next to have its turn
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
        self._waiting.setdefault(submission.owner, deque()).append(submission)
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    def reject_waiting(self) -> None:
        """Fail all waiting submissions; none of them is stored."""
        waiting = [submission for queue in self._waiting.values() for submission in queue]
        self._waiting = {}
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
        """Take submissions of all owners in turn, as many as one call to the store may have."""
        batch: list[Submission] = []
        size, deliveries, full = 0, 0, False
        while self._waiting and not full:
            for owner, queue in list(self._waiting.items()):
                more = queue[0].delivery_count
                if batch and (
                    size + len(queue[0].events) > _BATCH_MAX or (deliveries and deliveries + more > _DELIVERIES_MAX)
                ):
                    full = True  # this owner is the first of the next batch
                    break
                submission = queue.popleft()
                batch.append(submission)
                size += len(submission.events)
                deliveries += more
                del self._waiting[owner]
                if queue:
                    self._waiting[owner] = queue  # behind the others
        return batch


def pieces_of(events: Sequence[PendingEvent]) -> list[Sequence[PendingEvent]]:
    """Split matched events into pieces that have no more deliveries than one call to the store may have."""
    pieces: list[Sequence[PendingEvent]] = []
    start = deliveries = 0
    for index, event in enumerate(events):
        more = event.delivery_count
        if deliveries and deliveries + more > _DELIVERIES_MAX:
            pieces.append(events[start:index])
            start, deliveries = index, 0
        deliveries += more
    return [*pieces, events[start:]]


def fail_all(batch: Iterable[Submission], error: BaseException) -> None:
    """Resolve all submissions of a batch with an error."""
    for submission in batch:
        submission.resolve(error)
