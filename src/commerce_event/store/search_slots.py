"""Bound text searches: few at once, one of each client, and an end to each in time."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from commerce_event.core.model import Scope
from commerce_event.store.port import StoreUnavailableError

SEARCH_S: Final = 15.0  # of waiting and searching
WAITING_MAX: Final = 10  # searches of one client that wait

Owner = frozenset[int] | None


class SearchSlots:
    """Lets ``count`` searches run, at most one for each scope; those that wait take turns by scope."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._running: set[Owner] = set()
        self._waiting: dict[Owner, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def slot(self, scope: Scope) -> AsyncIterator[None]:
        """Wait for the turn of this scope; the block is the search. It is cancelled after ``SEARCH_S``.

        Raises StoreUnavailableError when it takes too long, or when too many searches of the scope wait.
        """
        owner = scope.client_ids
        try:
            async with asyncio.timeout(SEARCH_S):
                await self._acquire(owner)
                try:
                    yield
                finally:
                    self._running.discard(owner)
                    self._start_next()
        except TimeoutError:
            raise StoreUnavailableError(
                f"the search took longer than {SEARCH_S:g} s; narrow it down by client, type or time"
            ) from None

    async def _acquire(self, owner: Owner) -> None:
        queue = self._waiting.setdefault(owner, deque())
        if len(queue) >= WAITING_MAX:
            raise StoreUnavailableError("too many searches wait; wait for the answers of some before searching again")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self._start_next()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._running.discard(owner)
            elif turn in queue:
                queue.remove(turn)
                if not queue and self._waiting.get(owner) is queue:
                    del self._waiting[owner]
            self._start_next()
            raise

    def _start_next(self) -> None:
        for owner in list(self._waiting):
            if len(self._running) >= self._count:
                return
            if owner in self._running:
                continue
            queue = self._waiting.pop(owner)
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    self._running.add(owner)
                    turn.set_result(None)
                    break
            if queue:
                self._waiting[owner] = queue  # behind the others
