"""The shop under test: processes that take orders, add their events to an outbox, and run a relay.

    python outbox_shop.py SPEC    SPEC is JSON: {"database", "url", "bug", "ready", "report"}

What became of an order is appended to the file ``report``, after the commit or the rollback.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sqlite3
import sys
import time
from contextlib import closing
from typing import Any, Final

import outbox_bugs
from forked_process import fork_for_each_plan

from commerce_event_sdk import Client, OrderConfirmedEvent
from commerce_event_sdk.outbox import Outbox, Relay

KEYS: Final = 6
ORDERS: Final = "CREATE TABLE IF NOT EXISTS orders (number BIGINT PRIMARY KEY, key TEXT NOT NULL, kind TEXT NOT NULL)"


def url_of(database: str) -> str:
    """Return the address that a relay takes."""
    return database if database.startswith("postgres") else f"sqlite:///{database}"


def connect(database: str) -> Any:
    """Return a connection of the application."""
    if not database.startswith("postgres"):
        return sqlite3.connect(database, timeout=10)
    import psycopg

    return psycopg.connect(database)


def take_orders(database: str, kind: str, report: int) -> None:
    """Take orders, one after the other; a fifth of them is rolled back."""
    outbox = Outbox()
    with closing(connect(database)) as connection:
        mark = "?" if isinstance(connection, sqlite3.Connection) else "%s"
        while True:
            number = time.time_ns()
            key = f"{kind}-{random.randrange(KEYS)}"
            fate = "refused" if random.random() < 0.04 else "work"
            try:
                connection.execute(f"INSERT INTO orders VALUES ({mark}, {mark}, {mark})", (number, key, fate))
                outbox.add(connection, _event(number, key, fate))
            except sqlite3.OperationalError:  # locked for too long
                connection.rollback()
                continue
            if random.random() < 0.2:
                connection.rollback()
                _append(report, {"number": number, "key": key, "fate": "rolled back"})
            else:
                connection.commit()
                _append(report, {"number": number, "key": key, "fate": fate})
            time.sleep(random.random() * 0.01)


def _event(number: int, key: str, fate: str) -> OrderConfirmedEvent:
    return OrderConfirmedEvent(
        ClientId=1, ApplicationId=2, OrderId=number, OrderNo=fate, ClientOrderRef=key, Source="WEB"
    )


def _append(report: int, entry: dict[str, Any]) -> None:
    os.write(report, json.dumps(entry).encode() + b"\n")


def run(spec: dict[str, Any], plan: dict[str, Any]) -> None:
    """Be the shop until it is killed."""
    outbox_bugs.put_in(spec["bug"])
    relay = Relay(url_of(spec["database"]), Client(spec["url"], "cek_of_the_oracle"), batch_events=8)
    relay.start()
    os.write(spec["ready"][plan["kind"]], b".")
    if plan.get("last"):
        time.sleep(3600)
    take_orders(spec["database"], plan["kind"], os.open(spec["report"], os.O_WRONLY | os.O_CREAT | os.O_APPEND))


def main() -> None:
    spec = json.loads(sys.argv[1])
    logging.disable(logging.CRITICAL)
    if spec["database"].startswith("postgres"):
        import psycopg  # noqa: F401 - once, before the forks
    print(0, flush=True)
    fork_for_each_plan(lambda plan: run(spec, plan), ["outbox", "connections.py", "batch_sender.py", "publishing.py"])


if __name__ == "__main__":
    main()
