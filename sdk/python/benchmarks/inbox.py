"""How fast an inbox acknowledges and works: ``python sdk/python/benchmarks/inbox.py [--database URL] [--seconds N]``.

Prints, as one JSON object for each measurement:

- ``acknowledge``: as many puts as threads can do, each of which waits for its commit;
- ``latency``: puts at a steady rate, timed from when each was due, so that a stall counts for all that it delays;
- ``work``: a worker with an empty handler, and one whose handler writes on ``delivery.connection``;
- ``claim``: one claim and one put with 1,000,000 done and 100,000 pending messages (``--large``).

Without ``--database`` it measures SQLite in the folder of ``--folder`` (give one on a real disk).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from commerce_event_sdk import Delivery, Receiver
from commerce_event_sdk.inbox import Inbox, messages

BODY = json.dumps({"ClientId": 1, "OrderId": 884211, "OrderNo": "W-100234", "Text": "x" * 600}).encode()


def main() -> None:
    """Run the measurements that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", help="a PostgreSQL URL")
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where the SQLite file is made")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--rate", type=float, default=300.0, help="puts each second for the latency")
    parser.add_argument("--large", action="store_true", help="also measure with 1,100,000 messages")
    options = parser.parse_args()
    if options.database:
        measure(Inbox.postgres(options.database), "postgres", options)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        measure(Inbox.sqlite(Path(folder) / "inbox.db"), "sqlite", options)


def measure(inbox: Inbox, kind: str, options: argparse.Namespace) -> None:
    """Run and print each measurement."""

    def show(name: str, **figures: Any) -> None:
        rounded = {key: round(value, 2) if isinstance(value, float) else value for key, value in figures.items()}
        print(json.dumps({"measurement": name, "database": kind, **rounded}), flush=True)

    inbox.create_tables()
    inbox.put(new_delivery(), None)
    show("acknowledge", **acknowledge(inbox, options.threads, options.seconds))
    drain(inbox)
    show("latency", rate=options.rate, **latency(inbox, options.rate, options.seconds))
    drain(inbox)
    worker = inbox.worker(new_receiver(lambda _: None)).start()
    show("latency while a worker runs", rate=options.rate, **latency(inbox, options.rate, options.seconds))
    worker.stop()
    drain(inbox)
    show("work", handler="empty", **work(inbox, lambda _: None, options.seconds))
    show("work", handler="transaction", **work(inbox, use_connection, options.seconds))
    inbox.purge(before=time.time() + 1)
    if options.large:
        fill(inbox, kind)
        show("claim", **claim(inbox))
    inbox.close()


def new_delivery() -> Delivery:
    """Return an event that no inbox has."""
    return Delivery(event_type="OrderConfirmedEvent", message_id=f"evt_{uuid.uuid4().hex}", body=BODY)


def acknowledge(inbox: Inbox, threads: int, seconds: float) -> dict[str, Any]:
    """Put from threads for some seconds."""
    times: list[float] = []
    end = time.monotonic() + seconds

    def put() -> None:
        own = []
        while time.monotonic() < end:
            delivery, start = new_delivery(), time.perf_counter()
            inbox.put(delivery, "order:884211")
            own.append(time.perf_counter() - start)
        times.extend(own)

    start = time.monotonic()
    run_threads(put, threads)
    return {"threads": threads, "per_second": len(times) / (time.monotonic() - start), **percentiles(times)}


def latency(inbox: Inbox, rate: float, seconds: float) -> dict[str, Any]:
    """Put at a steady rate from eight threads."""
    times: list[float] = []
    ticket = iter(range(int(rate * seconds)))
    lock = threading.Lock()
    start = time.perf_counter()

    def put() -> None:
        while True:
            with lock:
                number = next(ticket, None)
            if number is None:
                return
            due = start + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            inbox.put(new_delivery(), f"order:{number}")
            times.append(time.perf_counter() - due)

    run_threads(put, 8)
    return percentiles(times)


def work(inbox: Inbox, handler: Callable[..., Any], seconds: float) -> dict[str, Any]:
    """Handle what was put before."""
    count = int(seconds * 400)
    run_threads(lambda: [inbox.put(new_delivery(), None) for _ in range(count // 20)], 20)
    start = time.monotonic()
    worker = inbox.worker(new_receiver(handler)).start()
    while inbox.status().pending:
        time.sleep(0.05)
    figures = {"messages": count, "per_second": count / (time.monotonic() - start)}
    worker.stop()
    return figures


def use_connection(_: object, delivery: Delivery) -> None:
    """Open the transaction that also marks the message as done."""
    delivery.connection.execute("SELECT 1")


def new_receiver(handler: Callable[..., Any]) -> Receiver:
    """Return a receiver whose handler gets everything."""
    receiver = Receiver(header=("x-key", "value"))
    receiver.on("*", model=dict)(handler)
    return receiver


def drain(inbox: Inbox) -> None:
    """Mark everything as done, and delete it."""
    with inbox.session() as session:
        session.run("DELETE FROM commerce_event_inbox", {})


def fill(inbox: Inbox, kind: str) -> None:
    """Store 1,000,000 done and 100,000 pending messages; every third pending one waits behind a failed one."""
    numbers = (
        "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {}) "
        if kind == "sqlite"
        else "WITH numbers AS (SELECT n FROM generate_series(1, {}) AS n) "
    )
    done = """INSERT INTO commerce_event_inbox (id, event_type, received_at, state, finished_at)
        SELECT 'done_' || n, 'OrderConfirmedEvent', :now, 'done', :now FROM numbers"""
    pending = """INSERT INTO commerce_event_inbox
        (id, event_type, business_key, body, headers, received_at, state, next_attempt_at)
        SELECT 'pending_' || n, 'OrderConfirmedEvent', 'order:' || (n % 30000), NULL, '{{}}', :now, 'pending',
        CASE WHEN n <= 30000 THEN :now + 3600 ELSE :now END FROM numbers"""
    with inbox.session() as session:
        session.run(numbers.format(1_000_000) + done, {"now": time.time()})
        session.run(numbers.format(100_000) + pending.replace("{{}}", "{}"), {"now": time.time()})
        session.run("ANALYZE", {})
    for _ in range(1000):
        inbox.put(new_delivery(), None)


def claim(inbox: Inbox) -> dict[str, Any]:
    """Postpone 70,000 blocked messages by claims, then time claims of four."""
    with inbox.session() as session:
        start = time.perf_counter()
        rounds = 0
        while not messages.claim(session, limit=4, max_attempts=9, now=time.time(), claim_s=600):
            rounds += 1
        first_s = time.perf_counter() - start
        times = []
        for _ in range(200):
            start = time.perf_counter()
            messages.claim(session, limit=4, max_attempts=9, now=time.time(), claim_s=600)
            times.append(time.perf_counter() - start)
    return {"first_claim_s": first_s, "rounds": rounds, **percentiles(times)}


def percentiles(times: list[float]) -> dict[str, float]:
    """Return the median, the 99th percentile and the maximum in milliseconds."""
    cuts = statistics.quantiles(times, n=100)
    return {"p50_ms": cuts[49] * 1000, "p99_ms": cuts[98] * 1000, "max_ms": max(times) * 1000}


def run_threads(target: Callable[[], Any], count: int) -> None:
    """Run a function in threads to its end."""
    threads = [threading.Thread(target=target) for _ in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


if __name__ == "__main__":
    main()
