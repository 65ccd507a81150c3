"""DaemonThreads: an executor whose hanging calls do not keep the process from ending."""

import subprocess
import sys
import threading

import pytest

from commerce_event.daemon_threads import DaemonThreads

DEADLINE_S = 60.0
HANGING = """
import threading
from commerce_event.daemon_threads import DaemonThreads

began = threading.Event()
threads = DaemonThreads(1, name="test")
threads.submit(lambda: (began.set(), threading.Event().wait()))
began.wait()
"""


def test_submit_runs_calls_in_as_many_threads_as_allowed() -> None:
    threads = DaemonThreads(2, name="test")
    both, names = threading.Barrier(2), set()

    def meet() -> None:
        both.wait(DEADLINE_S)
        names.add(threading.current_thread().name)

    for done in [threads.submit(meet) for _ in range(6)]:
        done.result(DEADLINE_S)
    threads.shutdown()
    assert names == {"test-0", "test-1"}


def test_submit_of_a_failing_call_returns_its_error() -> None:
    threads = DaemonThreads(1, name="test")
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 // 0).result(DEADLINE_S)
    assert threads.submit(lambda: 1).result(DEADLINE_S) == 1
    threads.shutdown()
    with pytest.raises(RuntimeError):
        threads.submit(lambda: 1)


@pytest.mark.parametrize("cancels", [True, False])
def test_shutdown_finishes_or_cancels_waiting_calls(cancels: bool) -> None:
    threads = DaemonThreads(1, name="test")
    began, may_end = threading.Event(), threading.Event()

    def wait() -> None:
        began.set()
        may_end.wait(DEADLINE_S)

    running = threads.submit(wait)
    waiting = threads.submit(lambda: 1)
    began.wait(DEADLINE_S)
    threads.shutdown(wait=False, cancel_futures=cancels)
    assert not threads.join(0.01)
    may_end.set()
    assert threads.join(DEADLINE_S)
    assert running.done()
    assert waiting.cancelled() is cancels
    assert cancels or waiting.result() == 1


def test_hanging_call_does_not_keep_the_process_from_ending() -> None:
    done = subprocess.run([sys.executable, "-c", HANGING], check=False, timeout=DEADLINE_S)
    assert done.returncode == 0
