"""Kills the processes of an oracle: at random moments, and before each line of the SDK in turn."""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

FOLDER: Final = Path(__file__).parent
MEMORY_DISK: Final = Path("/dev/shm")
_LINE_WAIT_S: Final = 0.4  # for a line that is not reached, then the process is killed where it is
_READY_S: Final = 10.0
_READY_SHARE: Final = 0.8  # of the processes live until they are ready
_STOPPED_S: Final = 0.8  # longer than a claim lasts
_REPORT_S: Final = 1.5

Line = tuple[str, int]


@dataclass(frozen=True)
class Plan:
    """What is to be done in a run.

    ``stops`` is the share of processes that are stopped and continued, ``lines`` the share of those that are killed
    before a line. ``life_s`` is the longest life of a process that is ready until a kill at a random moment.
    """

    database: str  # the path of a file, or a PostgreSQL URL
    mode: str
    kills: int = 30
    seed: int = 1
    bug: str = "none"
    stops: float = 0.1
    lines: float = 0.5
    life_s: float = 0.3


@dataclass
class Report:
    """Violations, and figures of the run."""

    violations: list[str]
    figures: dict[str, Any] = field(default_factory=dict)


class Forker:
    """The process that forks others, of several kinds. ``port`` is the number that it begins with."""

    def __init__(self, program: str, kinds: Sequence[str], spec: Mapping[str, Any]) -> None:
        pipes = {kind: os.pipe() for kind in kinds}
        self._ready = {kind: reading for kind, (reading, _) in pipes.items()}
        writing = {kind: end for kind, (_, end) in pipes.items()}
        command = [sys.executable, str(FOLDER / program), json.dumps({**spec, "ready": writing})]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(FOLDER)},
            pass_fds=list(writing.values()),
        )
        for end in writing.values():
            os.close(end)
        for reading in self._ready.values():
            os.set_blocking(reading, False)
        self._lock = threading.Lock()
        self.port = self._answer()

    def fork(self, plan: dict[str, Any]) -> int:
        """Start a process; return the descriptor of its process."""
        with self._lock:
            with suppress(BlockingIOError):
                os.read(self._ready[plan["kind"]], 100)  # of one that was killed meanwhile
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(plan) + "\n")
            self._process.stdin.flush()
            pid = self._answer()
            try:
                return os.pidfd_open(pid)
            except ProcessLookupError:
                return os.open(os.devnull, os.O_RDONLY)  # it has ended already; always readable

    def wait_until_ready(self, kind: str, process: int) -> None:
        """Return once the process is ready, or has ended, or takes too long for either."""
        ready = self._ready[kind]
        if ready in select.select([ready, process], [], [], _READY_S)[0]:
            with suppress(BlockingIOError):
                os.read(ready, 100)

    def close(self) -> None:
        for reading in self._ready.values():
            os.close(reading)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _answer(self) -> int:
        pipe: IO[str] | None = self._process.stdout
        assert pipe is not None
        text = pipe.readline()
        assert text, "the forking process has ended"
        return int(text)


class Killer:
    """Lets processes of one kind live for a while, one after the other."""

    def __init__(self, forker: Forker, kind: str, plan: Plan, lines: Sequence[Line], counts: Counter[str]) -> None:
        self._forker = forker
        self._kind = kind
        self._plan = plan
        self._lines = lines
        self._rng = random.Random(f"{plan.seed}/{kind}")
        self._counts = counts
        self.reached: set[Line] = set()

    def kill(self, times: int) -> None:
        for number in range(times):
            if self._lines and self._rng.random() < self._plan.lines:
                self._at_line(self._lines[number % len(self._lines)])
            else:
                self._at_random()

    def _at_line(self, line: Line) -> None:
        is_stop = self._rng.random() < self._plan.stops
        number = signal.SIGSTOP if is_stop else signal.SIGKILL
        process = self._forker.fork(
            {"kind": self._kind, "line": line, "hits": self._rng.choice((1, 1, 2, 5)), "signal": number}
        )
        self._forker.wait_until_ready(self._kind, process)
        if is_stop:
            time.sleep(_STOPPED_S + self._rng.random() * self._plan.life_s)
            self._continue(process)
            self._counts["stopped before a line"] += 1
            end(process)
        elif _has_ended(process, _LINE_WAIT_S):
            self.reached.add(line)
            self._counts["killed before a line"] += 1
            os.close(process)
        else:
            self._counts["killed at a random moment"] += 1
            end(process)

    def _at_random(self) -> None:
        process = self._forker.fork({"kind": self._kind})
        if self._rng.random() < _READY_SHARE:
            self._forker.wait_until_ready(self._kind, process)
        time.sleep(self._rng.random() * self._plan.life_s)
        if self._rng.random() < self._plan.stops:
            _send(process, signal.SIGSTOP)
            time.sleep(_STOPPED_S)
            self._continue(process)
            self._counts["stopped at a random moment"] += 1
        self._counts["killed at a random moment"] += 1
        end(process)

    def _continue(self, process: int) -> None:
        _send(process, signal.SIGCONT)
        time.sleep(self._rng.random() * 0.1)


def kill_again_and_again(
    forker: Forker, kinds: Sequence[str], plan: Plan, on_progress: Callable[[int], None]
) -> dict[str, Any]:
    """Kill processes of each kind, side by side, ``plan.kills`` times in all; return the figures."""
    counts: Counter[str] = Counter()
    lines = reported_lines(forker, kinds) if plan.lines else []
    random.Random(plan.seed).shuffle(lines)
    firsts = [len(lines) * number // len(kinds) for number in range(len(kinds))]
    began = time.monotonic()
    killers = [
        Killer(forker, kind, plan, [*lines[first:], *lines[:first]], counts)
        for kind, first in zip(kinds, firsts, strict=True)
    ]
    threads = [threading.Thread(target=killer.kill, args=(plan.kills // len(kinds),)) for killer in killers]
    for thread in threads:
        thread.start()
    while running := [thread for thread in threads if thread.is_alive()]:
        running[0].join(5)
        on_progress(sum(counts.values()))
    reached: set[Line] = set().union(*(killer.reached for killer in killers))
    return {
        **counts,
        "lines of the SDK that ran": len(lines),
        "of them killed before": len(reached),
        "seconds of killing": round(time.monotonic() - began, 1),
    }


def reported_lines(forker: Forker, kinds: Sequence[str]) -> list[Line]:
    """Let one process of each kind live, and return the lines that they ran."""
    found: set[Line] = set()
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "lines"
            process = forker.fork({"kind": kind, "report": str(report)})
            forker.wait_until_ready(kind, process)
            time.sleep(_REPORT_S)
            end(process)
            for text in report.read_text("utf-8").splitlines():
                name, _, number = text.rpartition(":")
                found.add((name, int(number)))
    return sorted(found)


def connect(database: str) -> Any:
    """Open a connection of the oracle's own."""
    if not database.startswith("postgres"):
        return sqlite3.connect(database)
    import psycopg

    return psycopg.connect(database)


def _has_ended(process: int, timeout_s: float) -> bool:
    return bool(select.select([process], [], [], timeout_s)[0])


def _send(process: int, number: signal.Signals) -> None:
    with suppress(OSError):  # it has ended
        signal.pidfd_send_signal(process, number)


def end(process: int) -> None:
    """Kill a process and wait until it is gone."""
    _send(process, signal.SIGKILL)
    _has_ended(process, 10)
    os.close(process)


@contextmanager
def new_database(kind: str) -> Iterator[str]:
    """Make a database for one run: ``sqlite`` or ``postgres``."""
    with tempfile.TemporaryDirectory(dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None) as folder:
        if kind == "sqlite":
            yield str(Path(folder) / "inbox.db")
            return
        sys.path.append(str(FOLDER.parents[3] / "tests" / "support"))
        import asyncio

        from postgres import drop, empty_database, in_database, server_url

        name = asyncio.run(empty_database())
        try:
            yield in_database(server_url(), name)
        finally:
            asyncio.run(drop(name))


def main(run: Callable[..., Report], modes: Sequence[str], description: str) -> int:
    """Run an oracle from the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--mode", choices=modes, default=modes[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stops", type=float, default=0.1, help="share of processes that are stopped and continued")
    parser.add_argument("--lines", type=float, default=0.5, help="share of processes that are killed before a line")
    parser.add_argument("--life", type=float, default=0.3, help="seconds until a kill at a random moment, at most")
    parser.add_argument("--bug", default="none", help="a seeded bug")
    options = parser.parse_args()
    with new_database(options.database) as database:
        plan = Plan(
            database=database,
            mode=options.mode,
            kills=options.kills,
            seed=options.seed,
            bug=options.bug,
            stops=options.stops,
            lines=options.lines,
            life_s=options.life,
        )
        report = run(plan, progress=True)
    for name, value in report.figures.items():
        print(f"{name}: {value}")
    for violation in report.violations[:20]:
        print(f"VIOLATION {violation}")
    print(f"{len(report.violations)} violations")
    return 1 if report.violations else 0
