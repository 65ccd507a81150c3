"""The oracle of the inbox: sends events to receivers that are killed again and again, then judges what came of it.

    python sdk/python/tests/oracle/inbox_run.py --database sqlite --mode worker --kills 1000

Two receivers, one of them WSGI and one ASGI, share an inbox and a listening socket. They are killed at random moments,
before a line of the inbox that is chosen in turn, or stopped for longer than a claim lasts and continued. Exits 1 on
any violation.
"""

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
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from inbox_judge import Effect, Outcome, judge
from inbox_ledger import Ledger
from inbox_platform import Platform
from inbox_receiver import CLAIM_S, EFFECTS, open_inbox

FOLDER: Final = Path(__file__).parent
SERVERS: Final = ("wsgi", "asgi")
SENDERS: Final = 6
SETTLE_S: Final = 60.0
_LINE_WAIT_S: Final = 0.4  # for a line that is not reached, then the receiver is killed where it is
_READY_S: Final = 10.0
_READY_SHARE: Final = 0.8  # of the receivers live until they take requests
_LIFE_S: Final = 0.3  # longest life until a kill at a random moment
_STOPPED_S: Final = CLAIM_S * 1.6
_REPORT_S: Final = 3.0
MEMORY_DISK: Final = Path("/dev/shm")

Line = tuple[str, int]


@dataclass(frozen=True)
class Plan:
    """What is to be done in a run. ``stops`` is the share of receivers that are stopped and continued before."""

    database: str  # the path of a file, or a PostgreSQL URL
    mode: str = "worker"
    kills: int = 30
    seed: int = 1
    bug: str = "none"
    stops: float = 0.1
    lines: float = 0.5


@dataclass
class Report:
    """Violations, and figures of the run."""

    violations: list[str]
    figures: dict[str, Any] = field(default_factory=dict)


class Forker:
    """The process that forks receivers."""

    def __init__(self, plan: Plan) -> None:
        spec = {"database": plan.database, "mode": plan.mode, "bug": plan.bug}
        pipes = {server: os.pipe() for server in SERVERS}
        self._ready = {server: reading for server, (reading, _) in pipes.items()}
        writing = {server: end for server, (_, end) in pipes.items()}
        command = [sys.executable, str(FOLDER / "inbox_receiver.py"), json.dumps({**spec, "ready": writing})]
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
        """Start a receiver; return the descriptor of its process."""
        with self._lock:
            with suppress(BlockingIOError):
                os.read(self._ready[plan["server"]], 100)  # of one that was killed meanwhile
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(plan) + "\n")
            self._process.stdin.flush()
            pid = self._answer()
            try:
                return os.pidfd_open(pid)
            except ProcessLookupError:
                return os.open(os.devnull, os.O_RDONLY)  # it has ended already; always readable

    def wait_until_ready(self, server: str, process: int) -> None:
        """Return once the receiver takes requests, or has ended, or takes too long for either."""
        ready = self._ready[server]
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
    """Lets receivers of one kind live for a while, one after the other."""

    def __init__(self, forker: Forker, server: str, plan: Plan, lines: Sequence[Line], counts: Counter[str]) -> None:
        self._forker = forker
        self._server = server
        self._plan = plan
        self._lines = lines
        self._rng = random.Random(f"{plan.seed}/{server}")
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
            {"server": self._server, "line": line, "hits": self._rng.choice((1, 1, 2, 5)), "signal": number}
        )
        self._forker.wait_until_ready(self._server, process)
        if is_stop:
            time.sleep(_STOPPED_S + self._rng.random() * _LIFE_S)
            self._continue(process)
            self._counts["stopped before a line"] += 1
            _end(process)
        elif _has_ended(process, _LINE_WAIT_S):
            self.reached.add(line)
            self._counts["killed before a line"] += 1
            os.close(process)
        else:
            self._counts["killed at a random moment"] += 1
            _end(process)

    def _at_random(self) -> None:
        process = self._forker.fork({"server": self._server})
        if self._rng.random() < _READY_SHARE:
            self._forker.wait_until_ready(self._server, process)
        time.sleep(self._rng.random() * _LIFE_S)
        if self._rng.random() < self._plan.stops:
            _send(process, signal.SIGSTOP)
            time.sleep(_STOPPED_S)
            self._continue(process)
            self._counts["stopped at a random moment"] += 1
        self._counts["killed at a random moment"] += 1
        _end(process)

    def _continue(self, process: int) -> None:
        _send(process, signal.SIGCONT)
        time.sleep(self._rng.random() * 0.1)


def run(plan: Plan, progress: bool = False) -> Report:
    """Send events while receivers are killed, wait until everything is done, and judge it."""
    ledger, counts = Ledger(), Counter[str]()
    _create_tables(plan.database)
    began = time.monotonic()
    with ExitStack() as closing_:
        forker = Forker(plan)
        closing_.callback(forker.close)
        platform = Platform(
            forker.port, ledger, senders=SENDERS, seed=plan.seed, has_dead_letters=plan.mode == "worker"
        )
        platform.start()
        lines = _reported_lines(forker) if plan.lines else []
        random.Random(plan.seed).shuffle(lines)
        half = len(lines) // 2
        killers = [
            Killer(forker, server, plan, [*lines[first:], *lines[:first]], counts)
            for server, first in zip(SERVERS, (0, half), strict=True)
        ]
        threads = [threading.Thread(target=killer.kill, args=(plan.kills // 2,)) for killer in killers]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            threads[0].join(5)
            threads[1].join(5)
            if progress:
                print(f"{sum(counts.values())} kills, {len(ledger.sent)} events", flush=True)
        killed_s = time.monotonic() - began
        last = [forker.fork({"server": server}) for server in SERVERS]
        for each in last:
            closing_.callback(_end, each)
        all_acknowledged = platform.finish(SETTLE_S)
        _wait_until_idle(plan.database)
        violations = judge(ledger.sent, _outcome(plan.database), has_dead_letters=plan.mode == "worker")
        if not all_acknowledged:
            violations.append("some events were never acknowledged")
    reached = set().union(*(killer.reached for killer in killers))
    figures = {
        **counts,
        "lines of the inbox that ran": len(lines),
        "of them killed before": len(reached),
        "events": len(ledger.sent),
        "requests": sum(each.times_sent for each in ledger.sent),
        "answers": dict(ledger.answers),
        "seconds of killing": round(killed_s, 1),
        "seconds in all": round(time.monotonic() - began, 1),
    }
    return Report(violations, figures)


def _create_tables(database: str) -> None:
    with closing(open_inbox(database)) as inbox:
        inbox.create_tables()
        is_sqlite = inbox.database.dialect == "sqlite"
    identity = "INTEGER" if is_sqlite else "BIGINT GENERATED ALWAYS AS IDENTITY"
    with closing(_connect(database)) as connection:
        connection.execute(EFFECTS.format(identity=identity))
        connection.commit()


def _reported_lines(forker: Forker) -> list[Line]:
    """Let one receiver of each kind live, and return the lines of the inbox that they ran."""
    found: set[Line] = set()
    for server in SERVERS:
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "lines"
            process = forker.fork({"server": server, "report": str(report)})
            forker.wait_until_ready(server, process)
            time.sleep(_REPORT_S / 2)
            _end(process)
            for text in report.read_text("utf-8").splitlines():
                name, _, number = text.rpartition(":")
                found.add((name, int(number)))
    return sorted(found)


def _wait_until_idle(database: str) -> None:
    deadline = time.monotonic() + SETTLE_S
    with closing(open_inbox(database)) as inbox:
        while inbox.status().pending and time.monotonic() < deadline:
            time.sleep(0.05)


def _outcome(database: str) -> Outcome:
    with closing(_connect(database)) as connection:
        rows = connection.execute("SELECT event_id, key, number FROM effects ORDER BY at").fetchall()
    with closing(open_inbox(database)) as inbox:
        dead = {each.id.partition("/")[0]: each.error or "" for each in inbox.messages(state="dead", limit=100_000)}
        pending = {each.id for each in inbox.messages(state="pending", limit=1_000)}
    return Outcome([Effect(*row) for row in rows], dead, pending)


def _connect(database: str) -> Any:
    if not database.startswith("postgres"):
        return sqlite3.connect(database)
    import psycopg

    return psycopg.connect(database)


def _has_ended(process: int, timeout_s: float) -> bool:
    return bool(select.select([process], [], [], timeout_s)[0])


def _send(process: int, number: signal.Signals) -> None:
    with suppress(OSError):  # it has ended
        signal.pidfd_send_signal(process, number)


def _end(process: int) -> None:
    """Kill a receiver and wait until it is gone."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--mode", choices=("worker", "accept"), default="worker")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stops", type=float, default=0.1, help="share of receivers that are stopped and continued")
    parser.add_argument("--lines", type=float, default=0.5, help="share of receivers that are killed before a line")
    parser.add_argument("--bug", default="none", help="a seeded bug, see inbox_bugs.py")
    options = parser.parse_args()
    with new_database(options.database) as database:
        plan = Plan(database, options.mode, options.kills, options.seed, options.bug, options.stops, options.lines)
        report = run(plan, progress=True)
    for name, value in report.figures.items():
        print(f"{name}: {value}")
    for violation in report.violations[:20]:
        print(f"VIOLATION {violation}")
    print(f"{len(report.violations)} violations")
    sys.exit(1 if report.violations else 0)


if __name__ == "__main__":
    main()
