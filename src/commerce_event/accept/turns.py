"""Run long work on the event loop in short turns, the owners of the work one after the other."""

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Final, TypeVar

import structlog

from commerce_event.store.port import StoreUnavailableError

TURN_S: Final = 0.002  # of the work of one owner, before other tasks run
_LONG_S: Final = 0.004  # a turn that took so long, because of one large step, is followed by a pause
_PAUSE_MAX_S: Final = 0.05
_BULK_PAUSE_MIN_S: Final = 0.001  # after a turn of bulk work, while other work arrives
_OTHERS_S: Final = 1.0  # since other work arrived last: then bulk work is alone

T = TypeVar("T")
Steps = Generator[None, None, T]


log = structlog.get_logger(__name__)


class _Job:
    __slots__ = ("bulk", "on_done", "steps")

    def __init__(self, steps: Steps[Any], on_done: Callable[[Any], None], *, bulk: bool) -> None:
        self.steps = steps
        self.on_done = on_done
        self.bulk = bulk


class Turns:
    """Runs generators that yield after each small step.

    Each owner gets a turn of ``TURN_S`` at most; then other tasks of the event loop run, then the next owner has its
    turn. The jobs of one owner run one after the other.

    After a turn with a step that took much longer, the loop is left to other tasks for as long as it took: a publish
    of another caller needs several turns of the loop, and a thread that writes. After a turn of bulk work it is left
    to others as well, while they have work.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, deque[_Job]] = {}
        self._running: asyncio.Task[None] | None = None
        self._closed = False
        self._others_until = 0.0  # loop time

    def note_other_work(self) -> None:
        """Note that work arrived that bulk work must not delay."""
        self._others_until = asyncio.get_running_loop().time() + _OTHERS_S

    def start(
        self, owner: str, steps: Steps[T], on_done: Callable[[T | BaseException], None], *, bulk: bool = False
    ) -> None:
        """Queue work; later, call ``on_done`` with what the generator returns or raises.

        Raises StoreUnavailableError after ``close``.
        """
        if self._closed:
            raise StoreUnavailableError("the server is shutting down")
        self._jobs.setdefault(owner, deque()).append(_Job(steps, on_done, bulk=bulk))
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    async def run(self, owner: str, steps: Steps[T], *, bulk: bool = False) -> T:
        """Run work and return what the generator returns. The work ends when the caller is cancelled."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def resolve(result: T | BaseException) -> None:
            if future.done():
                return
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

        def until_cancelled() -> Steps[T]:
            while not future.cancelled():
                try:
                    next(steps)
                except StopIteration as end:
                    result: T = end.value
                    return result
                yield
            raise asyncio.CancelledError

        self.start(owner, until_cancelled(), resolve, bulk=bulk)
        return await future

    def close(self) -> None:
        """End all work with StoreUnavailableError."""
        self._closed = True
        jobs, self._jobs = self._jobs, {}
        for queue in jobs.values():
            for job in queue:
                job.on_done(StoreUnavailableError("the server is shutting down"))

    async def _run(self) -> None:
        try:
            await asyncio.sleep(0)
            while self._jobs:
                for owner, queue in list(self._jobs.items()):
                    bulk = queue[0].bulk
                    await asyncio.sleep(self._rest_s(self._take_turn(owner), bulk=bulk))
        finally:
            self._running = None

    def _rest_s(self, took_s: float, *, bulk: bool) -> float:
        """Return how long other tasks have the loop after a turn."""
        if bulk and asyncio.get_running_loop().time() < self._others_until:
            return min(max(took_s, _BULK_PAUSE_MIN_S), _PAUSE_MAX_S)
        return min(took_s, _PAUSE_MAX_S) if took_s >= _LONG_S else 0.0

    def _take_turn(self, owner: str) -> float:
        """Run steps of an owner for ``TURN_S``; return how many seconds it took."""
        now = asyncio.get_running_loop().time
        began = now()
        while (queue := self._jobs.get(owner)) is not None:
            job = queue[0]
            try:
                next(job.steps)
            except StopIteration as stop:
                self._finish(owner, stop.value)
            except Exception as error:
                self._finish(owner, error)
            except asyncio.CancelledError as error:
                self._finish(owner, error)
            took_s = now() - began
            if took_s >= TURN_S:
                return took_s
        return now() - began

    def _finish(self, owner: str, result: Any) -> None:
        queue = self._jobs[owner]
        job = queue.popleft()
        if not queue:
            del self._jobs[owner]
        try:
            job.on_done(result)
        except Exception:  # the other jobs must go on
            log.exception("a result could not be handed over")
