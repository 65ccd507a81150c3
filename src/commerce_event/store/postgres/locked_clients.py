"""Store submissions of clients whose rows another node has locked, without delaying other clients."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import Final

import msgspec

from commerce_event.store.model import Accepted, NewEvent
from commerce_event.store.port import ConfigChangedError, StoreUnavailableError
from commerce_event.store.postgres.executor import Executor

_GIVE_UP_S: Final = 8.0  # the database ends the transaction of a node that hangs within 5 seconds
_TRANSACTIONS_MAX: Final = 2  # concurrent ones, each of which keeps a connection while it waits for a lock
_BATCH_MAX: Final = 512  # events in one transaction


class RowsLockedError(Exception):
    """Another node has locked rows for longer than a transaction waits; nothing was stored."""


class _Waiting(msgspec.Struct, frozen=True, eq=False):
    """A submission that is not stored yet."""

    events: Sequence[NewEvent]
    clients: frozenset[int]
    config_version: int | None
    give_up_at: float
    result: asyncio.Future[list[Accepted]]


class LockedClients:
    """Retries submissions until the rows of their clients are unlocked, or for 8 seconds.

    Submissions that have a client in common are stored in the order in which they were added. Those of the same
    clients share a transaction; different clients take turns.
    """

    def __init__(
        self, executor: Executor, store: Callable[[Sequence[NewEvent], int | None], Awaitable[list[Accepted]]]
    ) -> None:
        """``store`` stores events matched at a config version in one transaction, or raises RowsLockedError."""
        self._executor = executor
        self._store = store
        self._waiting: list[_Waiting] = []
        self._running: dict[asyncio.Task[None], list[_Waiting]] = {}
        self._counts: Counter[int] = Counter()  # submissions that wait or are being stored, by client

    @property
    def clients(self) -> frozenset[int]:
        """The clients of the submissions that wait or are being stored."""
        return frozenset(self._counts)

    def add(
        self, events: Sequence[NewEvent], config_version: int | None, started_at: float
    ) -> asyncio.Future[list[Accepted]]:
        """Queue a submission whose caller waits since ``started_at`` (the loop's time); return its future result."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(
            [event.without_leases() for event in events],
            clients_of(events),
            config_version,
            started_at + _GIVE_UP_S,
            loop.create_future(),
        )
        self._waiting.append(waiting)
        if self._counts.keys().isdisjoint(waiting.clients):  # else it is started after the others of its clients
            loop.call_soon(self._start)  # so that submissions of this turn of the event loop share a transaction
        self._counts.update(waiting.clients)
        return waiting.result

    async def close(self) -> None:
        """Fail the waiting submissions, and wait for the transactions under way. The executor is closed."""
        self._start()
        if self._running:
            await asyncio.wait(self._running)

    def _start(self) -> None:
        """Start as many transactions as may run; fail the submissions that waited too long."""
        now = asyncio.get_running_loop().time()
        for each in self._waiting:
            if self._executor.closed:
                _fail(each, StoreUnavailableError("the store is closed"))
            elif each.give_up_at <= now:
                _fail(each, StoreUnavailableError("another node has locked this client's rows; try again in a moment"))
        self._forget([each for each in self._waiting if each.result.done()])
        self._waiting = [each for each in self._waiting if not each.result.done()]
        while len(self._running) < _TRANSACTIONS_MAX and (batch := self._next_batch()):
            task = asyncio.create_task(self._store_batch(batch))
            self._running[task] = batch
            task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._start()

    def _next_batch(self) -> list[_Waiting]:
        """Remove and return the first submission that need not wait for another, and others of the same clients."""
        blocked = {client for batch in self._running.values() for each in batch for client in each.clients}
        batch: list[_Waiting] = []
        left: list[_Waiting] = []
        count = 0
        for each in self._waiting:
            same = not batch or (each.clients, each.config_version) == (batch[0].clients, batch[0].config_version)
            if same and blocked.isdisjoint(each.clients) and (not batch or count + len(each.events) <= _BATCH_MAX):
                batch.append(each)
                count += len(each.events)
            else:
                left.append(each)
                blocked |= each.clients
        self._waiting = left
        return batch

    async def _store_batch(self, batch: list[_Waiting]) -> None:
        try:
            events = [event for each in batch for event in each.events]
            answers = iter(await self._store(events, batch[0].config_version))
        except RowsLockedError:  # other clients are next
            others, later = self._split(batch)
            self._waiting = [*others, *batch, *later]
            return
        except ConfigChangedError as error:  # later ones fail too, so that all are submitted again in their order
            self._waiting, later = self._split(batch)
            batch = [*batch, *later]
            for each in batch:
                _fail(each, error)
        except Exception as error:
            for each in batch:
                _fail(each, error)
        else:
            for each in batch:
                stored = list(islice(answers, len(each.events)))
                if not each.result.done():
                    each.result.set_result(stored)
        self._forget(batch)

    def _forget(self, submissions: Sequence[_Waiting]) -> None:
        self._counts -= Counter([client for each in submissions for client in each.clients])

    def _split(self, batch: Sequence[_Waiting]) -> tuple[list[_Waiting], list[_Waiting]]:
        """Split the waiting submissions into those that need not follow this batch, and those that must."""
        waits = must_wait([each.clients for each in self._waiting], batch[0].clients)
        pairs = list(zip(self._waiting, waits, strict=True))
        return [each for each, later in pairs if not later], [each for each, later in pairs if later]


def must_wait(submissions: Sequence[frozenset[int]], clients: Iterable[int]) -> list[bool]:
    """Tell for each submission, given by its clients, whether it waits for these clients or for one that does."""
    waited_for, waits = set(clients), []
    for each in submissions:
        waits.append(not waited_for.isdisjoint(each))
        if waits[-1]:
            waited_for |= each
    return waits


def clients_of(events: Sequence[NewEvent]) -> frozenset[int]:
    """Return the clients of a submission."""
    return frozenset([event.client_id for event in events])


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.result.done():
        waiting.result.set_exception(error)
