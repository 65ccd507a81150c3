"""Receives events: verifies the signature over the raw bytes, and does the work of each event once.

Run it: pip install -r requirements.txt, then WEBHOOK_SECRET=whsec_… python handler.py
PORT (9000), HOST (127.0.0.1) and DATABASE (events.db) may be set as well.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from commerce_event_sdk import Delivery, OrderConfirmedEvent, Receiver

DATABASE = os.environ.get("DATABASE", "events.db")
TABLES = """
CREATE TABLE IF NOT EXISTS received_event (webhook_id TEXT PRIMARY KEY, received_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS work (order_id INTEGER NOT NULL); -- stands for your own tables
"""
REMEMBER = "INSERT INTO received_event VALUES (?, datetime('now')) ON CONFLICT DO NOTHING"

receiver = Receiver(secret=os.environ["WEBHOOK_SECRET"])


@receiver.on(OrderConfirmedEvent)
def work(event: OrderConfirmedEvent, delivery: Delivery) -> None:
    """Do the work. The sender waits five seconds for the answer: put what takes longer into an inbox of the SDK.

    The id and the work are one transaction. After a crash both are stored, or neither is and the event comes again.
    """
    with transaction() as connection:
        if connection.execute(REMEMBER, [delivery.webhook_id]).rowcount == 1:  # else a repeat
            connection.execute("INSERT INTO work (order_id) VALUES (?)", [event.OrderId])


@contextmanager
def transaction() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(DATABASE, timeout=3, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")  # closing without it rolls back


class Server(ThreadingMixIn, WSGIServer):
    """A thread for each request. In production, run receiver.wsgi() or receiver.asgi() in a server of your choice."""

    daemon_threads = True
    request_queue_size = 128  # connections that wait to be accepted; with the default of 5, others are reset


class RequestHandler(WSGIRequestHandler):
    timeout = 5  # seconds: a slow sender does not hold a thread


if __name__ == "__main__":
    with closing(sqlite3.connect(DATABASE)) as connection:
        connection.executescript(TABLES)
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "9000"))
    make_server(host, port, receiver.wsgi(), Server, RequestHandler).serve_forever()
