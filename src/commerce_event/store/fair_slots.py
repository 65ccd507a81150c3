"""Bound work that takes long: few calls at once, fewer of each owner, and an end to each in time."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Final

from commerce_event.store.port import StoreUnavailableError

SEARCH_S: Final = 15.0  # of waiting and searching
SEARCHES_MAX: Final = 2  # at once, one of each owner
SEARCHES_WAITING_MAX: Final = 10  # of one owner


class FairSlots:
    """Lets ``count`` calls run, at most ``per_owner`` of each owner; those that wait take turns by owner."""

    def __init__(self, count: int, *, per_owner: int, waiting_max: int, time_s: float, what: str) -> None:
        """``waiting_max`` calls of an owner may wait; each takes ``time_s`` at most, waiting included.

        ``what`` is one call in words, for errors.
        """
        self._count = count
        self._per_owner = per_owner
        self._waiting_max = waiting_max
        self._time_s = time_s
        self._what = what
        self._running: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def slot(self, owner: Hashable) -> AsyncIterator[None]:
        """Wait for the turn of this owner; the block is the call. It is cancelled when it takes too long.

        Raises StoreUnavailableError then, and when too many calls of the owner wait.
        """
        timeout = asyncio.timeout(self._time_s)
        try:
            async with timeout:
                await self._acquire(owner)
                try:
                    yield
                finally:
                    self._release(owner)
        except TimeoutError:
            if not timeout.expired():
                raise
            raise StoreUnavailableError(
                f"the {self._what} took longer than {self._time_s:g} s; narrow it down by client, type or time"
            ) from None

    async def _acquire(self, owner: Hashable) -> None:
        queue = self._waiting.setdefault(owner, deque())
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self._start_next()
        if not turn.done() and len(queue) > self._waiting_max:
            queue.remove(turn)
            raise StoreUnavailableError(
                f"too many calls wait; wait for the answers of some before the next {self._what}"
            )
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release(owner)
            elif turn in queue:
                queue.remove(turn)
                if not queue and self._waiting.get(owner) is queue:
                    del self._waiting[owner]
            raise

    def _release(self, owner: Hashable) -> None:
        self._running[owner] -= 1
        if not self._running[owner]:
            del self._running[owner]
        self._start_next()

    def _start_next(self) -> None:
        has_started = True
        while has_started:
            has_started = False
            for owner in list(self._waiting):
                if self._running.total() >= self._count:
                    return
                if self._running[owner] < self._per_owner:
                    has_started |= self._start_one(owner)

    def _start_one(self, owner: Hashable) -> bool:
        """Start the next call of an owner, which is then the last in turn; return whether there was one."""
        queue = self._waiting.pop(owner)
        while queue:
            turn = queue.popleft()
            if not turn.done():
                self._running[owner] += 1
                turn.set_result(None)
                break
        else:
            return False
        if queue:
            self._waiting[owner] = queue
        return True


def search_slots() -> FairSlots:
    """Return the slots of text searches, which read far more than other calls."""
    return FairSlots(SEARCHES_MAX, per_owner=1, waiting_max=SEARCHES_WAITING_MAX, time_s=SEARCH_S, what="search")
