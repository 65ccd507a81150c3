"""The intake of changes: evaluate the changes of each caller in turn, and store them with what they raise.

Changes of one owner are evaluated and stored one batch after the other, because a later change is compared with what an
earlier one has left. Owners do not wait for each other. Batches are small, so that published events are
stored between them.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import structlog

from commerce_event.accept.commit_batcher import ANSWER_S, OutcomeUnknownError
from commerce_event.accept.intake import Commit, Intake, IntakeFullError
from commerce_event.changes.evaluation import (
    ChangeAnswer,
    Evaluation,
    Known,
    SeenFields,
    idempotency_ids,
    row_ids,
)
from commerce_event.changes.release import NotificationRelease
from commerce_event.core.changes.model import Change
from commerce_event.core.clock import Clock
from commerce_event.core.fair_budget import FairBudget
from commerce_event.core.ids import IdMaker
from commerce_event.core.problems import Problem
from commerce_event.http.problems import problem_of
from commerce_event.registry.registry import Registry
from commerce_event.store.model import Accepted, NewEvent, PositionWrite
from commerce_event.store.port import (
    ChangesOutdatedError,
    ConfigChangedError,
    PositionChangedError,
    Store,
    StoreError,
    StoreUnavailableError,
)

_BATCH_MAX: Final = 128  # changes in one commit: some 5 ms of the write lock
_BATCH_BYTES_MAX: Final = 4 * 1024**2  # of them, unless it is one change, or one request with a position
_STORED_MAX: Final = 4  # batches that the store reads or writes at the same time
_TRIES_MAX: Final = 20  # while other nodes change what a batch was decided by
_WAITING_MAX: Final = 20_000  # changes that may wait
_WAITING_BYTES_MAX: Final = 32 * 1024**2
_ANSWER_S: Final = 2 * ANSWER_S
_FULL: Final = "more changes arrive than can be stored; try again in a moment"

log = structlog.get_logger(__name__)


class _Submission:
    """Changes that are stored in one commit, and the future for their answers."""

    __slots__ = ("bytes", "changes", "future", "position", "size")

    def __init__(
        self,
        changes: Sequence[Change],
        size: int,
        position: PositionWrite | None,
        future: asyncio.Future[list[ChangeAnswer]],
    ) -> None:
        self.changes = changes
        self.bytes = size
        self.size = sum(map(size_of, changes))
        self.position = position
        self.future = future


class ChangeIntake:
    """Stores changes with the notifications that they raise."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        intake: Intake,
        release: NotificationRelease,
        id_maker: IdMaker,
        clock: Clock,
    ) -> None:
        self._store = store
        self._registry = registry
        self._intake = intake
        self._release = release
        self._ids = id_maker
        self._clock = clock
        self._seen = SeenFields()
        self._queues: dict[str, deque[_Submission]] = {}  # by owner
        self._running: dict[str, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(_STORED_MAX)
        self._waiting = FairBudget(_WAITING_MAX)
        self._waiting_bytes = FairBudget(_WAITING_BYTES_MAX)
        self._closed = False

    async def submit(self, owner: str, changes: Sequence[Change], *, size: int) -> list[ChangeAnswer | Problem]:
        """Store changes in pieces; return an answer for each, in order, once they are durable with what they raised.

        ``size`` is in bytes. When the store fails after the first pieces, the others get the problem as their answer.
        Raises StoreUnavailableError when nothing was stored, OutcomeUnknownError.
        """
        with self._share(owner, sum(map(size_of, changes)), size):
            answers: list[ChangeAnswer | Problem] = []
            change_bytes = size // max(len(changes), 1)  # on average: they are counted together
            for piece in _pieces(changes, change_bytes):
                try:
                    answers += await self._store_piece(owner, piece, change_bytes * len(piece))
                except StoreUnavailableError as error:
                    if not answers:
                        raise
                    return [*answers, *[problem_of(error)] * (len(changes) - len(answers))]
            return answers

    async def submit_together(
        self, owner: str, changes: Sequence[Change], *, size: int, position: PositionWrite | None = None
    ) -> list[ChangeAnswer]:
        """Store changes, and the position of their source, in one commit; return an answer for each.

        Raises PositionChangedError, OutcomeUnknownError, StoreUnavailableError.
        """
        with self._share(owner, sum(map(size_of, changes)), size):
            return await self._store_piece(owner, changes, size, position)

    @contextmanager
    def _share(self, owner: str, count: int, size: int) -> Iterator[None]:
        """Take the owner's share of what may wait. Raises IntakeFullError."""
        if self._closed:
            raise StoreUnavailableError("the server is shutting down")
        if not self._waiting.take(owner, count):
            raise IntakeFullError(_FULL)
        try:
            if not self._waiting_bytes.take(owner, size):
                raise IntakeFullError(_FULL)
            try:
                yield
            finally:
                self._waiting_bytes.give_back(owner, size)
        finally:
            self._waiting.give_back(owner, count)

    async def _store_piece(
        self, owner: str, changes: Sequence[Change], size: int, position: PositionWrite | None = None
    ) -> list[ChangeAnswer]:
        """Queue changes for a commit, and wait for it."""
        future: asyncio.Future[list[ChangeAnswer]] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(owner, deque()).append(_Submission(changes, size, position, future))
        if owner not in self._running:
            self._running[owner] = asyncio.create_task(self._run(owner))
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await future
        except TimeoutError:
            raise OutcomeUnknownError from None

    async def close(self, within_s: float) -> None:
        """Refuse new changes, and store the waiting ones as far as the store can in that time."""
        self._closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._running:  # the next piece of a request is queued when the one before is stored
                    await asyncio.wait(list(self._running.values()))
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        error = StoreUnavailableError("the server is shutting down")
        for queue in self._queues.values():
            for submission in queue:
                _resolve(submission, error)
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, owner: str) -> None:
        """Store the batches of one owner until none waits."""
        queue = self._queues[owner]
        try:
            await asyncio.sleep(0)  # so that callers of this turn of the event loop share the batch
            while queue:
                await self._store_batch(owner, _next_batch(queue))
        finally:
            del self._running[owner], self._queues[owner]

    async def _store_batch(self, owner: str, batch: Sequence[_Submission]) -> None:
        """Store submissions in one commit, and give each its answers."""
        batch = [submission for submission in batch if not submission.future.done()]
        if not batch:
            return
        try:
            answers = iter(await self._store_in_tries(owner, batch))
            for submission in batch:
                _resolve(submission, [next(answers) for _ in submission.changes])
        except asyncio.CancelledError:
            for submission in batch:
                _resolve(submission, OutcomeUnknownError())
            raise
        except Exception as error:
            if not isinstance(error, StoreError | PositionChangedError):
                log.exception("a batch of changes could not be stored")
            for submission in batch:
                _resolve(submission, error)

    async def _store_in_tries(self, owner: str, batch: Sequence[_Submission]) -> list[ChangeAnswer]:
        """Evaluate and store a batch, again while what it was decided by changes."""
        changes = [change for submission in batch for change in submission.changes]
        for _ in range(_TRIES_MAX):
            version = self._registry.version
            async with self._places:
                known = Known(
                    await self._store.changes.known_rows(row_ids(changes, self._registry)),
                    await self._store.changes.first_changes(idempotency_ids(changes)),
                )
            evaluation = Evaluation(self._registry, self._intake, self._ids, self._seen, known, self._clock.now_ms())
            await self._intake.turns.run(owner, evaluation.steps(changes, version), bulk=True)
            commit = self._commit_of(evaluation, batch[0].position)
            async with self._places:
                if self._registry.version != version:  # it may have changed while a place was awaited
                    continue
                try:
                    events = await self._intake.store_with(evaluation.events, commit)
                except (ConfigChangedError, ChangesOutdatedError):
                    continue
            if evaluation.has_waiting:
                self._release.notice()
            await self._release.release(evaluation.deferred)  # before the next batch, so that newer values come later
            return evaluation.answers(events)
        raise StoreUnavailableError("settings or rows are being changed faster than changes can be evaluated")

    def _commit_of(self, evaluation: Evaluation, position: PositionWrite | None) -> Commit:
        async def commit(events: Sequence[NewEvent], config_version: int) -> list[Accepted]:
            batch = evaluation.batch(events, position)
            return await self._store.changes.accept(batch, events, config_version=config_version)

        return commit


def _pieces(changes: Sequence[Change], change_bytes: int) -> Iterator[Sequence[Change]]:
    """Split changes, of that many bytes each, into pieces for one commit each."""
    start = size = 0
    for index, change in enumerate(changes):
        more = size_of(change)
        if size and (size + more > _BATCH_MAX or (index + 1 - start) * change_bytes > _BATCH_BYTES_MAX):
            yield changes[start:index]
            start, size = index, 0
        size += more
    yield changes[start:]


def size_of(change: Change) -> int:
    """Return as how many changes one counts: one for each part that its key lists."""
    return max([1, *[len(part) for part in change.key.values() if isinstance(part, list)]])


def _next_batch(queue: deque[_Submission]) -> list[_Submission]:
    """Take submissions for one commit. One with a position has a commit of its own."""
    batch = [queue.popleft()]
    size, count = batch[0].bytes, batch[0].size
    while queue and batch[0].position is None and queue[0].position is None:
        size += queue[0].bytes
        count += queue[0].size
        if count > _BATCH_MAX or size > _BATCH_BYTES_MAX:
            break
        batch.append(queue.popleft())
    return batch


def _resolve(submission: _Submission, result: list[ChangeAnswer] | BaseException) -> None:
    if submission.future.done():
        return
    if isinstance(result, BaseException):
        submission.future.set_exception(result)
    else:
        submission.future.set_result(result)
