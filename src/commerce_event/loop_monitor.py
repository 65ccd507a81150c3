"""A thread that notices when the event loop stands still, and tells where: whatever blocks it delays everybody."""

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
_FRAMES: Final = 8  # of the stack, the innermost
_LOOPS: Final = frozenset({"asyncio", "selectors", "uvloop"})
_SILENT_S: Final = 10.0  # between two lines in the log

log = structlog.get_logger(__name__)


class LoopMonitor:
    """Watches the loop that ``start`` was called on. ``stalls`` counts; ``longest_s`` is the longest so far."""

    def __init__(self) -> None:
        self.stalls = 0
        self.longest_s = 0.0
        self._alive_s = 0.0
        self._silent_until_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch the running loop."""
        self._beat(asyncio.get_running_loop())
        self._thread = threading.Thread(target=self._watch, args=(threading.get_ident(),), name="watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Watch no more. Idempotent."""
        self._ended.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._thread is not None:
            self._thread.join()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._alive_s = time.monotonic()
        self._timer = loop.call_later(_BEAT_S, self._beat, loop)

    def _watch(self, watched: int) -> None:
        stalled = False
        while not self._ended.wait(_BEAT_S):
            behind_s = time.monotonic() - self._alive_s
            if behind_s < STALLED_S:
                stalled = False
                continue
            self.longest_s = max(self.longest_s, behind_s)
            if not stalled:
                stalled = True
                self._tell(watched, behind_s)
                self.stalls += 1

    def _tell(self, watched: int, behind_s: float) -> None:
        now_s = time.monotonic()
        if now_s < self._silent_until_s:
            return
        self._silent_until_s = now_s + _SILENT_S
        frame = sys._current_frames().get(watched)  # noqa: SLF001 - the one way to see another thread's stack
        log.warning("the event loop stands still", seconds=round(behind_s, 2), stack=work_of(frame))


def work_of(frame: FrameType | None) -> str:
    """Return the innermost lines of a loop's stack, or that nothing ran in it when it is the loop's own code."""
    if frame is None or frame.f_globals.get("__name__", "").partition(".")[0] in _LOOPS:
        return "  Nothing ran in it when looked at: the machine had too much to do, or the process was paused."
    return "".join(traceback.format_stack(frame)[-_FRAMES:])
