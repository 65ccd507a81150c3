"""Detect when the event loop is blocked, from a thread, and log where: a blocked loop delays every request."""

import asyncio
import sys
import threading
import time
import traceback
from types import FrameType
from typing import Final

import structlog

STALLED_S: Final = 0.25
_BEAT_S: Final = 0.05
_STACK_LINES: Final = 8  # the innermost
_LOOPS: Final = frozenset({"asyncio", "selectors", "uvloop"})
_LOG_EVERY_S: Final = 10.0  # at most

log = structlog.get_logger(__name__)


class LoopMonitor:
    """Watches the loop that ``start`` was called on. ``stalls`` counts; ``longest_s`` is the longest stall so far."""

    def __init__(self) -> None:
        self.stalls = 0
        self.longest_s = 0.0
        self._last_beat_s = 0.0
        self._next_log_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start to watch the running loop."""
        self._beat(asyncio.get_running_loop())
        self._thread = threading.Thread(
            target=self._watch, args=(threading.get_ident(),), name="loop-monitor", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop watching. May be called more than once."""
        self._ended.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._thread is not None:
            self._thread.join()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._last_beat_s = time.monotonic()
        self._timer = loop.call_later(_BEAT_S, self._beat, loop)

    def _watch(self, thread_id: int) -> None:
        stalled = False
        while not self._ended.wait(_BEAT_S):
            behind_s = time.monotonic() - self._last_beat_s
            if behind_s < STALLED_S:
                stalled = False
                continue
            self.longest_s = max(self.longest_s, behind_s)
            if not stalled:
                stalled = True
                self._log_stall(thread_id, behind_s)
                self.stalls += 1

    def _log_stall(self, thread_id: int, behind_s: float) -> None:
        now_s = time.monotonic()
        if now_s < self._next_log_s:
            return
        self._next_log_s = now_s + _LOG_EVERY_S
        frame = sys._current_frames().get(thread_id)  # noqa: SLF001 - the one way to see another thread's stack
        log.warning("the event loop stands still", seconds=round(behind_s, 2), stack=work_of(frame))


def work_of(frame: FrameType | None) -> str:
    """Return the innermost lines of the loop's stack, or that nothing ran when they are the loop's own code."""
    if frame is None or frame.f_globals.get("__name__", "").partition(".")[0] in _LOOPS:
        return "  Nothing ran in it at that moment: the machine was too busy, or the process was paused."
    return "".join(traceback.format_stack(frame)[-_STACK_LINES:])
