"""Long poll: calls that wait for the next event of a client.

A waiting call holds no read slot and no connection to the store. Commits of its own node wake it at once; those of
other nodes when the next poll reads the last sequence numbers, with one query for all waiting calls of the node.

Calls are woken a few at a time: each of them reads, answers and is made again, so a thousand at once would delay all
other callers. The pauses in between are longer when the loop has more to do.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from time import thread_time
from typing import Final

import structlog

from commerce_event.core.fair_budget import FairBudget
from commerce_event.core.problems import RETRY_AFTER_S, Problem
from commerce_event.store.port import StoreError

WAIT_MAX_S: Final = 30
WAITING_MAX: Final = 1_000  # calls of the node
WAITING_PER_OWNER: Final = 50  # half of the reads that an owner may queue, which is what they become at once
_POLL_S: Final = 1.0
WAKES_MAX: Final = 16  # calls woken together: some 10 ms of the loop
_PAUSE_MIN_S: Final = 0.001  # until the next ones
_PAUSE_MAX_S: Final = 0.1
_PAUSE_FACTOR: Final = 3.0  # times as long as the loop has worked since the last pause

LastSequences = Callable[[Sequence[int]], Awaitable[dict[int, int]]]

log = structlog.get_logger(__name__)


class WaitingCall:
    """A call that waits for an event of a client after a sequence number."""

    def __init__(self, after: int, wait_s: float) -> None:
        self._after = after
        self.is_due = False  # to be woken, or woken and not reading yet
        self._ends_at = asyncio.get_running_loop().time() + wait_s
        self._woken = asyncio.Event()
        self._ended = False

    async def next_event(self) -> bool:
        """Wait until there is an event that was not there at the last wake-up; return False at the end of the wait."""
        try:
            async with asyncio.timeout_at(self._ends_at):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        self.is_due = False
        return not self._ended

    def has_waited_for(self, sequence: int) -> bool:
        """Tell whether the event with this number is new to the call; it is not new a second time."""
        is_new = sequence > self._after
        self._after = max(self._after, sequence)
        return is_new

    def wake(self) -> None:
        """Let the call read again."""
        self._woken.set()

    def end(self) -> None:
        """End the wait now."""
        self._ended = True
        self._woken.set()


class WaitingCalls:
    """All waiting calls of a node."""

    def __init__(self, last_sequences: LastSequences) -> None:
        """``last_sequences`` reads the number of the last event of each client from the store."""
        self._last_sequences = last_sequences
        self._calls: dict[int, set[WaitingCall]] = {}  # by client
        self._of_owners: dict[str, int] = {}
        self._budget = FairBudget(WAITING_MAX)
        self._to_wake: deque[WaitingCall] = deque()
        self._is_pausing = False
        self._worked_s = 0.0  # processor time of the loop's thread when calls were woken last
        self._polling: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def count(self) -> int:
        """How many calls wait now."""
        return self._budget.used

    @contextmanager
    def wait(self, owner: str, client_id: int, after: int, wait_s: float) -> Iterator[WaitingCall]:
        """Let a call of this owner wait, from now on until the end of the block.

        Events that are accepted in the block wake it, so a caller that reads after the block began misses none.
        Raises Problem 429 when too many calls wait.
        """
        self._take_share(owner)
        call = WaitingCall(after, wait_s)
        calls = self._calls.setdefault(client_id, set())
        calls.add(call)
        if self._closed:
            call.end()
        elif self._polling is None:
            self._polling = asyncio.create_task(self._poll())
        try:
            yield call
        finally:
            calls.remove(call)
            if not calls:
                del self._calls[client_id]
            self._give_back_share(owner)

    def notice(self, client_id: int, sequence: int) -> None:
        """Wake the calls that wait for this event, which is stored."""
        for call in self._calls.get(client_id, ()):
            if call.has_waited_for(sequence) and not call.is_due:
                call.is_due = True
                self._to_wake.append(call)
        if self._to_wake and not self._is_pausing:
            self._wake_some()

    def close(self) -> None:
        """End all waits, also those that begin later. Idempotent."""
        self._closed = True
        if self._polling is not None:
            self._polling.cancel()
        for calls in self._calls.values():
            for call in calls:
                call.end()

    def _wake_some(self) -> None:
        for _ in range(min(WAKES_MAX, len(self._to_wake))):
            self._to_wake.popleft().wake()
        before_s, self._worked_s = self._worked_s, thread_time()
        pause_s = min(_PAUSE_MAX_S, max(_PAUSE_MIN_S, _PAUSE_FACTOR * (self._worked_s - before_s)))
        self._is_pausing = True
        asyncio.get_running_loop().call_later(pause_s, self._end_pause)

    def _end_pause(self) -> None:
        self._is_pausing = False
        if self._to_wake:
            self._wake_some()

    def _take_share(self, owner: str) -> None:
        held = self._of_owners.get(owner, 0)
        if held >= WAITING_PER_OWNER or not self._budget.take(owner, 1):
            raise Problem(
                429,
                f"Too many calls wait for an event, at most {WAITING_PER_OWNER} of a caller; wait for some answers.",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        self._of_owners[owner] = held + 1

    def _give_back_share(self, owner: str) -> None:
        self._budget.give_back(owner, 1)
        self._of_owners[owner] -= 1
        if not self._of_owners[owner]:
            del self._of_owners[owner]

    async def _poll(self) -> None:
        """Read the last sequence numbers as long as calls wait: other nodes accept events too."""
        try:
            while self._calls:
                await asyncio.sleep(_POLL_S)
                await self._notice_all()
        finally:
            self._polling = None

    async def _notice_all(self) -> None:
        try:
            for client_id, sequence in (await self._last_sequences(list(self._calls))).items():
                self.notice(client_id, sequence)
        except StoreError as error:
            log.warning("waiting calls learn of other nodes' events later", error=str(error))
        except Exception:
            log.exception("the last sequence numbers could not be read")
