"""Virtual time: an event loop that jumps to its next timer, and the node's clock on top of it."""

import asyncio
import contextvars
import selectors
from collections.abc import Callable
from typing import Any

from commerce_event.core.clock import SystemClock

_START_MS = 1_800_000_000_000


class StuckError(Exception):
    """Nothing is ready and nothing is scheduled, so the run would wait for ever."""


class _JumpingSelector(selectors.SelectSelector):
    """Does not wait: adds the requested time to a counter."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise StuckError("every task waits and no timer is set")
        self.now_s += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs everything in this thread, in an order that depends on nothing but the program.

    Work for executors runs inline and answers after ``answer_after_s``. Tasks are kept in the order they were made.
    """

    def __init__(self, answer_after_s: Callable[[], float]) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self._answer_after_s = answer_after_s
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        return self._jumping.now_s

    def pass_time(self, seconds: float) -> float:
        """Let time go by while something computes; return what it is then."""
        self._jumping.now_s += seconds
        return self._jumping.now_s

    def run_in_executor(self, _executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        future: asyncio.Future[Any] = self.create_future()
        self.call_later(self._answer_after_s(), _answer, future, func, args)
        return future

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: Any,
        *,
        context: contextvars.Context | None = None,
        **more: Any,
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, context=context, **more)
        self.tasks[task] = None
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self.tasks.pop(task, None)


def _answer(future: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]) -> None:
    if future.done():  # the caller is gone
        return
    try:
        future.set_result(func(*args))
    except Exception as error:
        future.set_exception(error)


class Machine:
    """The machine a node runs on: its true time, and a wall clock that people set."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.set_by_ms = 0

    def wall_ms(self) -> int:
        return _START_MS + self.set_by_ms + int(self.loop.time() * 1000)


class VirtualClock(SystemClock):
    """The product's own clock, on a simulated machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._offset_ms = machine.wall_ms() - self._monotonic_ms()

    def now_ms(self) -> int:
        return self._offset_ms + self._monotonic_ms()

    def monotonic(self) -> float:
        """Reading the time costs a microsecond, so that a busy loop until a later time ends."""
        return self._machine.loop.pass_time(1e-6)

    def drift_ms(self) -> int:
        return self._machine.wall_ms() - self.now_ms()

    def _monotonic_ms(self) -> int:
        return int(self._machine.loop.time() * 1000)
