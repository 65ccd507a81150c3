"""Detect when the event loop is blocked, and log where and for how long: a blocked loop delays every request.

A thread warns while the loop is blocked. The loop itself measures how long it was, once it goes on: native code may
keep the thread from running too.
"""

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
_WARN_EVERY_S: Final = 10.0  # at most
_LONG_S: Final = 1.0  # the end of such a stall is logged even without a warning

log = structlog.get_logger(__name__)


class LoopMonitor:
    """Watches the loop that ``start`` was called on. ``stalls`` counts; ``longest_s`` is the longest stall so far."""

    def __init__(self) -> None:
        self.stalls = 0
        self.longest_s = 0.0
        self._last_beat_s = 0.0
        self._next_warning_s = 0.0
        self._is_counted = False  # the stall that goes on
        self._is_warned = False
        self._lock = threading.Lock()  # for the fields of the stall
        self._timer: asyncio.TimerHandle | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start to watch the running loop."""
        self._last_beat_s = time.monotonic()
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
        with self._lock:
            now_s = time.monotonic()
            stalled_s = now_s - self._last_beat_s
            self._last_beat_s = now_s
            was_warned = self._is_warned
            if stalled_s >= STALLED_S:
                self._count(stalled_s)
            self._is_counted = self._is_warned = False
        if was_warned or stalled_s >= _LONG_S:
            log.warning("the event loop goes on", stalled_seconds=round(stalled_s, 2))
        self._timer = loop.call_later(_BEAT_S, self._beat, loop)

    def _watch(self, thread_id: int) -> None:
        while not self._ended.wait(_BEAT_S):
            with self._lock:
                now_s = time.monotonic()
                behind_s = now_s - self._last_beat_s
                if behind_s < STALLED_S:
                    continue
                self._count(behind_s)
                if self._is_warned or now_s < self._next_warning_s:
                    continue
                self._next_warning_s = now_s + _WARN_EVERY_S
                self._is_warned = True
                frame = sys._current_frames().get(thread_id)  # noqa: SLF001 - the one way to see another thread's stack
                log.warning("the event loop stands still", seconds=round(behind_s, 2), stack=work_of(frame))

    def _count(self, stalled_s: float) -> None:
        """Count a stall once, at its latest length."""
        self.longest_s = max(self.longest_s, stalled_s)
        self.stalls += not self._is_counted
        self._is_counted = True


def work_of(frame: FrameType | None) -> str:
    """Return the innermost lines of the loop's stack, or that nothing ran when they are the loop's own code."""
    if frame is None or frame.f_globals.get("__name__", "").partition(".")[0] in _LOOPS:
        return "  Nothing ran in it at that moment: the machine was too busy, or the process was paused."
    return "".join(traceback.format_stack(frame)[-_STACK_LINES:])
