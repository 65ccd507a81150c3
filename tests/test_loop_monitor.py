"""LoopMonitor: a blocked event loop is counted, and the log says where it was blocked."""

import asyncio
import sys
import time

from structlog.testing import capture_logs

from commerce_event.loop_monitor import STALLED_S, LoopMonitor, work_of


def stand_still_here(loop_monitor: LoopMonitor) -> None:
    while not loop_monitor.stalls:
        time.sleep(0.01)


async def test_what_blocks_the_loop_is_counted_and_named_once() -> None:
    loop_monitor = LoopMonitor()
    loop_monitor.start()
    with capture_logs() as logged:
        stand_still_here(loop_monitor)
        await asyncio.sleep(0)
    loop_monitor.close()

    assert loop_monitor.stalls == 1
    assert loop_monitor.longest_s >= STALLED_S
    [line] = logged
    assert line["event"] == "the event loop stands still"
    assert "stand_still_here" in line["stack"]


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
