"""The oracle of the inbox: sends events to receivers that are killed again and again, then judges what came of it.

    python sdk/python/tests/oracle/inbox_run.py --database sqlite --mode worker --kills 1000

Two receivers, one of them WSGI and one ASGI, share an inbox and a listening socket. They are killed at random moments,
before a line of the inbox that is chosen in turn, or stopped for longer than a claim lasts and continued. Exits 1 on
any violation.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Final

from inbox_judge import Effect, Outcome, judge
from inbox_ledger import Ledger
from inbox_platform import Platform
from inbox_receiver import EFFECTS, open_inbox
from kills import Forker, Plan, Report, connect, end, kill_again_and_again, main

from commerce_event_sdk.inbox import InboxUnavailableError

KINDS: Final = ("wsgi", "asgi")
MODES: Final = ("worker", "accept")
SENDERS: Final = 6
SETTLE_S: Final = 60.0
PENDING_MAX: Final = 150


def run(plan: Plan, progress: bool = False) -> Report:
    """Send events while receivers are killed, wait until everything is done, and judge it."""
    ledger = Ledger()
    has_dead_letters = plan.mode == "worker"
    _create_tables(plan.database)
    began = time.monotonic()
    with ExitStack() as closing_:
        forker = Forker("inbox_receiver.py", KINDS, {"database": plan.database, "mode": plan.mode, "bug": plan.bug})
        closing_.callback(forker.close)
        platform = Platform(forker.port, ledger, senders=SENDERS, seed=plan.seed, has_dead_letters=has_dead_letters)
        platform.start()

        def show(kills: int) -> None:
            if progress:
                print(f"{kills} kills, {len(ledger.sent)} events", flush=True)

        with _throttled(platform, plan.database):
            figures = kill_again_and_again(forker, KINDS, plan, show)
        for kind in KINDS:
            closing_.callback(end, forker.fork({"kind": kind}))
        all_acknowledged = platform.finish(SETTLE_S)
        acknowledged_s = time.monotonic() - began
        waiting = _wait_until_idle(plan.database)
        violations = judge(ledger.sent, _outcome(plan.database), has_dead_letters=has_dead_letters)
        if not all_acknowledged:
            violations.append("some events were never acknowledged")
    figures |= {
        "events": len(ledger.sent),
        "requests": sum(each.times_sent for each in ledger.sent),
        "answers": dict(ledger.answers),
        "seconds until all were acknowledged": round(acknowledged_s, 1),
        "of them waiting for a worker then": waiting,
        "seconds in all": round(time.monotonic() - began, 1),
    }
    return Report(violations, figures)


def _create_tables(database: str) -> None:
    with closing(open_inbox(database)) as inbox:
        inbox.create_tables()
        is_sqlite = inbox.database.dialect == "sqlite"
    identity = "INTEGER" if is_sqlite else "BIGINT GENERATED ALWAYS AS IDENTITY"
    with closing(connect(database)) as connection:
        connection.execute(EFFECTS.format(identity=identity))
        connection.commit()


@contextmanager
def _throttled(platform: Platform, database: str) -> Iterator[None]:
    """Hold the sender while many messages are pending: workers that fall behind would be killed with little to do."""
    ended = threading.Event()

    def watch() -> None:
        with closing(open_inbox(database)) as inbox:
            while not ended.wait(0.3):
                with suppress(InboxUnavailableError):
                    platform.hold(inbox.status().pending > PENDING_MAX)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _wait_until_idle(database: str) -> int:
    """Return how many messages were pending at first. Gives up when their number stays the same."""
    with closing(open_inbox(database)) as inbox:
        first = left = inbox.status().pending
        deadline = time.monotonic() + SETTLE_S
        while left and time.monotonic() < deadline:
            time.sleep(0.1)
            pending = inbox.status().pending
            if pending < left:
                left, deadline = pending, time.monotonic() + SETTLE_S
    return first


def _outcome(database: str) -> Outcome:
    with closing(connect(database)) as connection:
        rows = connection.execute("SELECT event_id, key, number FROM effects ORDER BY at").fetchall()
    with closing(open_inbox(database)) as inbox:
        dead = {each.id.partition("/")[0]: each.error or "" for each in inbox.messages(state="dead", limit=100_000)}
        pending = {each.id for each in inbox.messages(state="pending", limit=1_000)}
    return Outcome([Effect(*row) for row in rows], dead, pending)


if __name__ == "__main__":
    sys.exit(main(run, MODES, __doc__ or ""))
