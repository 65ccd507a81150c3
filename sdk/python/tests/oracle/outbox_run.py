"""The oracle of the outbox: shops whose processes are killed again and again publish through a relay.

    python sdk/python/tests/oracle/outbox_run.py --database postgres --kills 1000

Two shops share a database and an outbox; each takes orders and has a relay, of which one is active. Exits 1 on any
violation.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

from kills import Forker, Plan, Report, connect, end, kill_again_and_again, main
from outbox_judge import Order, Outcome, judge
from outbox_server import EventServer
from outbox_shop import ORDERS

from commerce_event_sdk.outbox import Outbox

KINDS: Final = ("first", "second")
SETTLE_S: Final = 60.0


def run(plan: Plan, progress: bool = False) -> Report:
    """Take orders while the shops are killed, wait until the outbox is empty, and judge what was published."""
    with closing(connect(plan.database)) as connection:
        if not plan.database.startswith("postgres"):
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(ORDERS)
        Outbox().create_tables(connection)
        connection.commit()
    began = time.monotonic()
    with ExitStack() as closing_:
        report = Path(closing_.enter_context(tempfile.TemporaryDirectory())) / "report"
        report.touch()
        server = EventServer(plan.seed)
        closing_.callback(server.close)
        spec = {"database": plan.database, "url": server.url, "bug": plan.bug, "report": str(report)}
        forker = Forker("outbox_shop.py", KINDS, spec)
        closing_.callback(forker.close)

        def show(kills: int) -> None:
            if progress:
                print(f"{kills} kills, {len(server.published)} events", flush=True)

        figures = kill_again_and_again(forker, KINDS, plan, show)
        closing_.callback(end, forker.fork({"kind": KINDS[0], "last": True}))
        _wait_until_empty(plan.database)
        outcome = _outcome(plan.database, report, server)
    figures |= {
        "orders committed": len(outcome.orders),
        "rolled back": sum(each.fate == "rolled back" for each in outcome.reported),
        "events taken": len(server.published),
        "sent again": server.repeats,
        "requests": dict(server.requests),
        "dead": len(outcome.dead),
        "seconds in all": round(time.monotonic() - began, 1),
    }
    return Report(judge(outcome), figures)


def _wait_until_empty(database: str) -> None:
    deadline = time.monotonic() + SETTLE_S
    while _pending(database) and time.monotonic() < deadline:
        time.sleep(0.05)


def _pending(database: str) -> int:
    with closing(connect(database)) as connection:
        rows = connection.execute("SELECT count(*) FROM commerce_event_outbox WHERE state = 'pending'").fetchall()
        return int(rows[0][0])


def _outcome(database: str, report: Path, server: EventServer) -> Outcome:
    with closing(connect(database)) as connection:
        orders = connection.execute("SELECT number, key, kind FROM orders ORDER BY number").fetchall()
        dead = connection.execute("SELECT data, reason FROM commerce_event_outbox WHERE state = 'dead'").fetchall()
    return Outcome(
        [Order(*row) for row in orders],
        [Order(**json.loads(line)) for line in report.read_text("utf-8").splitlines()],
        list(server.published.values()),
        {json.loads(data)["OrderId"]: reason for data, reason in dead},
        _pending(database),
    )


if __name__ == "__main__":
    sys.exit(main(run, ("relay",), __doc__ or ""))
