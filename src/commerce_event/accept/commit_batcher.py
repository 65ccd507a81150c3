"""A line: callers who wait for the next shared commit, one commit after the other, and nobody for ever."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import structlog

from commerce_event.accept.pending_event import PendingEvent
from commerce_event.store.model import Accepted
from commerce_event.store.port import StoreUnavailableError

ANSWER_S: Final = 8.0  # a commit takes milliseconds, and a database ends a hanging node's within five seconds
_BATCH_MAX: Final = 512  # events in one call to the store

log = structlog.get_logger(__name__)


class OutcomeUnknownError(StoreUnavailableError):
    """The store did not answer in time: the events may be stored or not."""


Stored = list[Accepted] | BaseException


class Submission:
    """Drafts of one caller, who hears once what became of them."""

    __slots__ = ("_on_stored", "drafts", "since", "size")

    def __init__(self, drafts: Sequence[PendingEvent], on_stored: Callable[[Stored], None], since: float) -> None:
        self.drafts = drafts
        self._on_stored: Callable[[Stored], None] | None = on_stored
        self.size = sum([len(draft.body) for draft in drafts])
        self.since = since

    @property
    def clients(self) -> frozenset[int]:
        return frozenset([draft.client_id for draft in self.drafts])

    def tell(self, stored: Stored) -> None:
        """Answer the caller, unless that was done before."""
        on_stored, self._on_stored = self._on_stored, None
        if on_stored is None:
            return
        try:
            on_stored(stored)
        except Exception:  # the others in the batch are to hear of it all the same
            log.exception("an answer could not be given")


class CommitBatcher:
    """Has drafts stored, batch after batch. Callers who come while one is under way share the next."""

    def __init__(self, store: Callable[[Sequence[Submission]], Awaitable[None]]) -> None:
        """``store`` has a batch stored and tells its callers."""
        self._store = store
        self._waiting: list[Submission] = []
        self._running: asyncio.Task[None] | None = None
        self._overdue = False

    @property
    def running(self) -> asyncio.Task[None] | None:
        """What ends when nobody waits any more."""
        return self._running

    @property
    def waits(self) -> bool:
        """Whether anybody waits for the next batch."""
        return bool(self._waiting)

    def add(self, waiting: Submission) -> None:
        """Let drafts wait for the next commit. Raises StoreUnavailableError while the store does not answer at all."""
        if self._overdue:
            raise StoreUnavailableError("the store does not answer now; try again in a moment")
        self._waiting.append(waiting)
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    def take(self, wanted: Callable[[Submission], bool]) -> list[Submission]:
        """Take out those who wait for the next batch and are wanted elsewhere."""
        taken = [waiting for waiting in self._waiting if wanted(waiting)]
        self._waiting = [waiting for waiting in self._waiting if not wanted(waiting)]
        return taken

    def turn_away(self) -> None:
        """Tell all who wait that nothing of theirs is stored."""
        waiting, self._waiting = self._waiting, []
        tell_all(waiting, StoreUnavailableError("the store does not answer now; try again in a moment"))

    async def _run(self) -> None:
        try:
            await asyncio.sleep(0)  # let whoever arrived in this turn of the loop join the batch
            while self._waiting:
                await self._store_in_time(self._next_batch())
        finally:
            self._running = None

    async def _store_in_time(self, batch: Sequence[Submission]) -> None:
        timer = asyncio.get_running_loop().call_later(ANSWER_S, self._give_up, batch)
        try:
            await self._store(batch)
        except BaseException as error:
            tell_all(batch, error)
            if not isinstance(error, Exception):
                raise
            log.exception("a batch of events could not be stored")
        finally:
            timer.cancel()
            self._overdue = False

    def _give_up(self, batch: Sequence[Submission]) -> None:
        """Answer those whom the store keeps waiting. What becomes of the batch is still waited for, and comes first."""
        self._overdue = True
        tell_all(
            batch,
            OutcomeUnknownError(
                "the store did not answer in time, so the event may be stored or not; "
                "send it again with the same idempotency key"
            ),
        )
        self.turn_away()

    def _next_batch(self) -> list[Submission]:
        size = count = 0
        for waiting in self._waiting:
            if count and size + len(waiting.drafts) > _BATCH_MAX:
                break
            size += len(waiting.drafts)
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch


def tell_all(batch: Iterable[Submission], error: BaseException) -> None:
    """Tell everybody in a batch why nothing of it is stored."""
    for waiting in batch:
        waiting.tell(error)
