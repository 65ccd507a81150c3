"""The receiver under test: processes that are forked at once, with a listening socket that outlives them.

    python inbox_receiver.py SPEC    SPEC is JSON: {"database", "mode", "bug", "ready"}; ready has a pipe for each kind

Reads one JSON plan a line from its input, forks a receiver for it and answers with the process id. Loading Python and
the SDK anew for each of a thousand kills would take most of the run.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import socket
import socketserver
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import inbox_bugs
from inbox_platform import SECRET

import commerce_event_sdk
from commerce_event_sdk import DeadLetter, Delivery, OrderConfirmedEvent, Receiver
from commerce_event_sdk.inbox import Inbox

CLAIM_S: Final = 0.5
THINK_S: Final = 0.01  # longest time before a handler begins its transaction
FAILURE_RATE: Final = 0.05
EFFECTS: Final = (
    "CREATE TABLE IF NOT EXISTS effects (at {identity} PRIMARY KEY, event_id TEXT, key TEXT, number BIGINT)"
)
_PACKAGE: Final = Path(commerce_event_sdk.__file__).parent
_TRACED: Final = (str(_PACKAGE / "inbox"), str(_PACKAGE / "connections.py"))


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
    if plan.get("report"):
        _trace_lines(_reporter(plan["report"]))
    elif plan.get("line"):
        name, line = plan["line"]
        _trace_lines(_signaller(name, line, plan["hits"], plan["signal"]))
    receiver = RECEIVERS[spec["mode"]](spec["database"])
    os.write(spec["ready"][plan["server"]], b".")
    if plan["server"] == "wsgi":
        _Server(listener, receiver.wsgi()).serve_forever(poll_interval=60)
        return
    import uvicorn

    uvicorn.Server(uvicorn.Config(receiver.asgi(), log_level="critical", lifespan="off")).run(sockets=[listener])


def _trace_lines(on_line: Callable[[str, int], None]) -> None:
    """Call ``on_line`` before each line of the inbox, in every thread."""
    traced: dict[Any, str | None] = {}

    def enter(frame: FrameType, _event: str, _argument: Any) -> Any:
        code = frame.f_code
        if code not in traced:
            is_traced = code.co_filename.startswith(_TRACED)
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


def main() -> None:
    spec = json.loads(sys.argv[1])
    logging.disable(logging.CRITICAL)
    if spec["database"].startswith("postgres"):
        import psycopg  # noqa: F401 - once, before the forks
    import uvicorn.loops.asyncio
    import uvicorn.protocols.http.httptools_impl  # noqa: F401

    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(listener.getsockname()[1], flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for what was killed
    for text in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(0)
            random.seed()
            serve(spec, json.loads(text), listener)
            os._exit(1)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
