"""Spread the start of requests over turns of the event loop, so that no turn delays other work for long."""

import asyncio
from collections import deque
from time import thread_time
from typing import Final

_STARTS_MAX: Final = 16  # in one turn of the loop: a few ms
_BULK_STARTS_MAX: Final = 4  # of bulk deliveries in one turn, while other deliveries are made
_PAUSE_S: Final = 0.001  # at least, between two such turns
_PAUSE_MAX_S: Final = 0.02
_PAUSE_FACTOR: Final = 2.0  # at least so many times as long as the loop has worked since the last pause
_OTHERS_S: Final = 60.0  # since the last other delivery: then bulk deliveries are alone


class Pace:
    """Lets a few requests begin in each turn of the loop; those that wait take turns by client.

    Without it, all receivers that answer at the same time have their next requests built in one turn: with hundreds in
    flight, every other caller waits for that, several times for each of its own requests.

    Bulk deliveries pause between their turns while other deliveries are made, longer when the loop has more to do. So
    the loop has time left, and what a new event waits for does not depend on how many bulk deliveries there are.
    """

    def __init__(self) -> None:
        self._others = _Gate()
        self._bulk = _Gate()
        self._others_until = 0.0  # loop time

    async def wait_for_turn(self, client_id: int, *, bulk: bool = False, weight: int = 1) -> None:
        """Wait until a request of the client may begin that takes as long to build as ``weight`` others."""
        now = asyncio.get_running_loop().time()
        if not bulk:
            self._others_until = now + _OTHERS_S
            await self._others.wait(client_id, weight, _STARTS_MAX)
        elif now >= self._others_until:
            await self._bulk.wait(client_id, weight, _STARTS_MAX)
        else:
            await self._bulk.wait(client_id, weight, _BULK_STARTS_MAX, pauses=True)


class _Gate:
    """Lets some requests begin in each turn; the clients take turns."""

    def __init__(self) -> None:
        self._starts_max = 0  # in each turn
        self._pauses = False
        self._started = 0  # in this turn
        self._waiting: dict[int, deque[tuple[asyncio.Future[None], int]]] = {}
        self._is_scheduled = False
        self._worked_s = 0.0  # processor time of the loop's thread when the last pause began

    async def wait(self, client_id: int, weight: int, starts_max: int, *, pauses: bool = False) -> None:
        """Wait for a turn. ``starts_max`` and ``pauses`` hold from the next turn on."""
        loop = asyncio.get_running_loop()
        self._starts_max, self._pauses = starts_max, pauses
        if not self._is_scheduled:
            self._is_scheduled = True
            loop.call_soon(self._end_turn)
        if self._started < starts_max and not self._waiting:
            self._started += weight
            return
        may_start: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(client_id, deque()).append((may_start, weight))
        await may_start

    def _begin_turn(self) -> None:
        self._started = 0
        while self._waiting and self._started < self._starts_max:
            client_id, queue = next(iter(self._waiting.items()))
            del self._waiting[client_id]
            may_start, weight = queue.popleft()
            if queue:
                self._waiting[client_id] = queue  # behind the others
            if not may_start.done():  # the delivery was cancelled
                may_start.set_result(None)
                self._started += weight
        self._is_scheduled = self._started > 0
        if self._is_scheduled:  # called after those that have just begun
            asyncio.get_running_loop().call_soon(self._end_turn)

    def _end_turn(self) -> None:
        if not self._pauses:
            self._begin_turn()
            return
        before_s, self._worked_s = self._worked_s, thread_time()
        pause_s = min(_PAUSE_MAX_S, max(_PAUSE_S, _PAUSE_FACTOR * (self._worked_s - before_s)))
        asyncio.get_running_loop().call_later(pause_s, self._begin_turn)
