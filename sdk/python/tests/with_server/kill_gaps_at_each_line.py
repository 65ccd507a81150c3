"""Looks for gaps in processes that are killed, each one line of the search later than the one before.

    python kill_gaps_at_each_line.py FOLDER URL KEY

Each has an inbox of its own, ``FOLDER/inbox-N.db``. The last one runs to its end; its N is printed.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any

from commerce_event_sdk.inbox import Inbox, gaps

WITH_EFFECTS = {"run_once", "_store", "_first_position", "pages"}  # the other functions only compute


def run_until(line: int, path: str, url: str, key: str) -> None:
    """Look for gaps, and be killed before that line, counted in the order in which they run."""
    left = [line]

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        if frame.f_code.co_filename != gaps.__file__ or frame.f_code.co_name not in WITH_EFFECTS:
            return None
        if event == "line":
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    search = gaps.Gaps(Inbox.sqlite(path), url, key, 1, grace_s=0.0, start=0)
    sys.settrace(trace)
    search.run_once()
    sys.settrace(None)


def main() -> None:
    folder, url, key = sys.argv[1:]
    gaps.PAGE_EVENTS = 2  # type: ignore[misc]
    for line in range(1, 10_000):
        pid = os.fork()
        if pid == 0:
            run_until(line, f"{folder}/inbox-{line}.db", url, key)
            os._exit(0)
        if os.waitpid(pid, 0)[1] == 0:
            print(line)
            return


main()
