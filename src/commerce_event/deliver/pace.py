"""Spread the start of requests over turns of the event loop, so that no turn delays other work for long."""

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Final

_STARTS_MAX: Final = 16  # in one turn of the loop: a few ms


class Pace:
    """Lets a few requests begin in each turn of the loop; those that wait take turns by owner.

    Without it, all receivers that answer at the same time have their next requests built in one turn: with hundreds in
    flight, every other caller waits for that, several times for each of its own requests.
    """

    def __init__(self) -> None:
        self._started = 0  # in this turn of the loop
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}
        self._is_scheduled = False

    async def wait_for_turn(self, owner: Hashable) -> None:
        """Wait until a request of the owner may begin: a client, with its bulk deliveries apart from the others."""
        if self._started < _STARTS_MAX and not self._waiting:
            self._started += 1
            self._schedule()
            return
        may_start: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(may_start)
        self._schedule()
        await may_start

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        self._is_scheduled = False
        self._started = 0
        while self._waiting and self._started < _STARTS_MAX:
            owner, queue = next(iter(self._waiting.items()))
            del self._waiting[owner]
            may_start = queue.popleft()
            if queue:
                self._waiting[owner] = queue  # behind the others
            if not may_start.done():  # the delivery was cancelled
                may_start.set_result(None)
                self._started += 1
        if self._started:
            self._schedule()
