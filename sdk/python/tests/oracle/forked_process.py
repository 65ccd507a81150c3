"""Processes of an oracle that are forked at once, and traced so that they can be killed before a chosen line.

Loading Python and the SDK again for each of a thousand kills would take most of a run.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Final

import commerce_event_sdk

_PACKAGE: Final = Path(commerce_event_sdk.__file__).parent


def fork_for_each_plan(run: Callable[[dict[str, Any]], None], traced: Sequence[str]) -> None:
    """Read one JSON plan a line from the input, fork a process that runs it, and answer with its id.

    ``traced`` are the modules and folders of the SDK whose lines count. A plan may have ``report``, a file for the
    lines that run, or ``line``, ``hits`` and ``signal``: which signal comes before which line, at which pass.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no process waits for what was killed
    for text in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(0)
            random.seed()
            plan = json.loads(text)
            if plan.get("report"):
                _trace_lines(traced, _reporter(plan["report"]))
            elif plan.get("line"):
                name, line = plan["line"]
                _trace_lines(traced, _signaller(name, line, plan["hits"], plan["signal"]))
            run(plan)
            os._exit(1)
        print(pid, flush=True)


def _trace_lines(modules: Sequence[str], on_line: Callable[[str, int], None]) -> None:
    """Call ``on_line`` before each line of the modules, in every thread."""
    folders = tuple(str(_PACKAGE / each) for each in modules)
    traced: dict[Any, str | None] = {}

    def enter(frame: FrameType, _event: str, _argument: Any) -> Any:
        code = frame.f_code
        if code not in traced:
            is_traced = code.co_filename.startswith(folders)
            traced[code] = str(Path(code.co_filename).relative_to(_PACKAGE)) if is_traced else None
        return None if traced[code] is None else at_line

    def at_line(frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            on_line(traced[frame.f_code] or "", frame.f_lineno)
        return at_line

    threading.settrace(enter)
    sys.settrace(enter)


def _signaller(name: str, line: int, hits: int, number: int) -> Callable[[str, int], None]:
    left = [hits]

    def on_line(at_name: str, at_line: int) -> None:
        if at_line == line and at_name == name and left[0] > 0:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), number)

    return on_line


def _reporter(path: str) -> Callable[[str, int], None]:
    seen: set[tuple[str, int]] = set()
    report = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def on_line(name: str, line: int) -> None:
        if (name, line) not in seen:
            seen.add((name, line))
            os.write(report, f"{name}:{line}\n".encode())

    return on_line
