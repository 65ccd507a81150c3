"""LoopMonitor: a blocked event loop is counted, and the log says where it was blocked."""

import asyncio
import sys
import time
from collections.abc import MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from commerce_event.loop_monitor import STALLED_S, LoopMonitor, work_of

PATIENCE_S = 60.0


def stand_still_here(loop_monitor: LoopMonitor, more_s: float = 0.0) -> float:
    """Block the loop until that is noticed, and so much longer; return for how long, in seconds."""
    began = time.monotonic()
    while not loop_monitor.stalls:
        time.sleep(0.01)
    time.sleep(more_s)
    return time.monotonic() - began


async def until_logged(logged: list[MutableMapping[str, Any]], count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while len(logged) < count:
            await asyncio.sleep(0)


async def test_what_blocks_the_loop_is_counted_and_named_once() -> None:
    loop_monitor = LoopMonitor()
    loop_monitor.start()
    with capture_logs() as logged:
        stand_still_here(loop_monitor)
        await until_logged(logged, 2)
    loop_monitor.close()

    assert loop_monitor.stalls == 1
    assert loop_monitor.longest_s >= STALLED_S
    warning, end = logged
    assert warning["event"] == "the event loop stands still"
    assert "stand_still_here" in warning["stack"]
    assert end["event"] == "the event loop goes on"


async def test_end_of_a_stall_is_logged_with_its_full_length() -> None:
    loop_monitor = LoopMonitor()
    loop_monitor.start()
    with capture_logs() as logged:
        blocked_s = stand_still_here(loop_monitor, more_s=3 * STALLED_S)
        await until_logged(logged, 2)
    loop_monitor.close()

    assert logged[0]["seconds"] < blocked_s
    assert logged[1]["stalled_seconds"] >= round(blocked_s - 0.01, 2)
    assert loop_monitor.longest_s >= blocked_s - 0.01


async def test_long_stall_that_the_watching_thread_missed_is_logged_with_its_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop_monitor = LoopMonitor()
    monkeypatch.setattr(LoopMonitor, "_watch", lambda *_: None)  # as while native code holds the interpreter
    loop_monitor.start()
    now_s = time.monotonic()
    with capture_logs() as logged, monkeypatch.context() as patched:
        patched.setattr(time, "monotonic", lambda: now_s + 32.0)
        loop_monitor._beat(asyncio.get_running_loop())
    loop_monitor.close()

    [line] = logged
    assert line["event"] == "the event loop goes on"
    assert line["stalled_seconds"] >= 32.0
    assert (loop_monitor.stalls, loop_monitor.longest_s >= 32.0) == (1, True)


async def test_loop_in_which_nothing_runs_is_not_blamed_on_what_started_it() -> None:
    frame = sys._getframe()
    while not frame.f_globals["__name__"].startswith("asyncio"):
        assert frame.f_back is not None
        frame = frame.f_back

    assert "the machine was too busy" in work_of(frame)
    assert "test_loop_in_which_nothing_runs" in work_of(sys._getframe())


async def test_watching_ends_and_may_be_ended_twice() -> None:
    loop_monitor = LoopMonitor()
    loop_monitor.start()
    loop_monitor.close()
    loop_monitor.close()

    assert loop_monitor.stalls == 0
