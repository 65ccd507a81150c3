"""The receiver under test: processes that are forked at once, with a listening socket that outlives them.

python inbox_receiver.py SPEC    SPEC is JSON: {"database", "mode", "bug", "ready"}; ready has a pipe for each kind
"""

from __future__ import annotations

import json
import logging
import os
import random
import socket
import socketserver
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import inbox_bugs
from forked_process import fork_for_each_plan
from inbox_platform import SECRET

from commerce_event_sdk import DeadLetter, Delivery, OrderConfirmedEvent, Receiver
from commerce_event_sdk.inbox import Inbox

CLAIM_S: Final = 0.5
THINK_S: Final = 0.01  # longest time before a handler begins its transaction
FAILURE_RATE: Final = 0.05
EFFECTS: Final = (
    "CREATE TABLE IF NOT EXISTS effects (at {identity} PRIMARY KEY, event_id TEXT, key TEXT, number BIGINT)"
)


def open_inbox(database: str) -> Inbox:
    """Return the inbox of a PostgreSQL URL or of the path of a file."""
    return Inbox.postgres(database, writers=2) if database.startswith("postgres") else Inbox.sqlite(database)


def write_effect(connection: Any, event: Any) -> None:
    """The work of a handler: one row, named by what the event says. Some fail afterwards, and some always."""
    values = event.to_dict()
    mark = "?" if isinstance(connection, sqlite3.Connection) else "%s"
    connection.execute(
        f"INSERT INTO effects (event_id, key, number) VALUES ({mark}, {mark}, {mark})",
        (f"evt_{values['OrderId']:06d}", values["ClientOrderRef"] or None, values["OrderId"]),
    )
    if values["OrderNo"] == "poison":
        raise DeadLetter("a poison event")
    if random.random() < FAILURE_RATE:
        raise ConnectionError("the mail server is away")


def worker_receiver(database: str) -> Receiver:
    """Return a receiver that stores first, and whose worker does the work in the transaction of the inbox."""
    inbox = open_inbox(database)
    receiver = Receiver(secret=SECRET, inbox=inbox)

    def work(event: Any, delivery: Delivery) -> None:
        time.sleep(random.random() * THINK_S)
        write_effect(delivery.connection, event)

    receiver.on(OrderConfirmedEvent)(work)
    receiver.on("*")(work)
    inbox.worker(receiver, retry_schedule=(0.01,), max_attempts=10_000, claim_s=CLAIM_S, poll_s=0.05).start()
    return receiver


def accepting_receiver(database: str) -> Receiver:
    """Return a receiver that does the work before it answers, in a transaction of its own with ``inbox.accept``."""
    inbox = open_inbox(database)
    receiver = Receiver(secret=SECRET)

    def work(event: Any, delivery: Delivery) -> None:
        with closing(connect(database)) as connection, connection:
            if isinstance(connection, sqlite3.Connection):
                connection.execute("BEGIN IMMEDIATE")
            if inbox.accept(connection, delivery.webhook_id):
                write_effect(connection, event)

    receiver.on(OrderConfirmedEvent)(work)
    receiver.on("*")(work)
    return receiver


def connect(database: str) -> Any:
    """Return a connection of the application's own."""
    if not database.startswith("postgres"):
        return sqlite3.connect(database, timeout=5)
    import psycopg

    return psycopg.connect(database)


RECEIVERS: Final[dict[str, Callable[[str], Receiver]]] = {"worker": worker_receiver, "accept": accepting_receiver}


class _Handler(WSGIRequestHandler):
    def log_message(self, *values: object) -> None:
        """Write nothing."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, app: Any) -> None:
        super().__init__(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name, self.server_port = "127.0.0.1", listener.getsockname()[1]
        self.setup_environ()
        self.set_app(app)

    def handle_error(self, *_request: Any) -> None:
        """The sender went away."""


def serve(spec: dict[str, Any], plan: dict[str, Any], listener: socket.socket) -> None:
    """Be the receiver until it is killed."""
    inbox_bugs.put_in(spec["bug"])
    receiver = RECEIVERS[spec["mode"]](spec["database"])
    os.write(spec["ready"][plan["kind"]], b".")
    if plan["kind"] == "wsgi":
        _Server(listener, receiver.wsgi()).serve_forever(poll_interval=60)
        return
    import uvicorn

    uvicorn.Server(uvicorn.Config(receiver.asgi(), log_level="critical", lifespan="off")).run(sockets=[listener])


def main() -> None:
    spec = json.loads(sys.argv[1])
    logging.disable(logging.CRITICAL)
    if spec["database"].startswith("postgres"):
        import psycopg  # noqa: F401 - once, before the forks
    import uvicorn.loops.asyncio
    import uvicorn.protocols.http.httptools_impl  # noqa: F401

    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(listener.getsockname()[1], flush=True)
    fork_for_each_plan(lambda plan: serve(spec, plan, listener), ["inbox", "connections.py"])


if __name__ == "__main__":
    main()
