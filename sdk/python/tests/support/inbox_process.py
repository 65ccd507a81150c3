"""A program that works on an inbox, for tests that kill it: ``python inbox_process.py DATABASE MODE``.

``hang`` says ``started`` on stdout when its handler runs, and never returns from it. ``exit`` ends the process in the
handler. ``fork`` puts from a child that was forked after the first put; ``fork-close`` and ``fork-worker`` (with a running
worker) close the inbox of the parent between two puts of the child, which prints the ids that were stored.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress

from commerce_event_sdk import Delivery
from commerce_event_sdk.inbox import Inbox, InboxUnavailableError
from inboxes import delivery, worker


def main(database: str, mode: str) -> None:
    inbox = Inbox.sqlite(database) if "://" not in database else Inbox.postgres(database)

    def handler(event: object, got: Delivery) -> None:
        mark = "?" if "://" not in database else "%s"
        got.connection.execute(f"INSERT INTO effects (id) VALUES ({mark})", (got.webhook_id,))
        print("started", flush=True)
        if mode == "exit":
            os._exit(9)
        threading.Event().wait()

    if mode == "fork":
        inbox.put(delivery("parent"), None)
        child = os.fork()
        inbox.put(delivery("child" if child == 0 else "parent again"), None)
        if child == 0:
            os._exit(0)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    if mode.startswith("fork-"):
        sys.exit(_close_while_the_child_puts(inbox, with_worker=mode == "fork-worker"))
    worker(inbox, handler, claim_s=1.0).run()


def _close_while_the_child_puts(inbox: Inbox, *, with_worker: bool) -> int:
    """Return the exit code of the child."""
    inbox.put(delivery("parent"), None)
    running = worker(inbox, lambda *_: None).start() if with_worker else None
    while running is not None and inbox.status().pending:
        time.sleep(0.01)
    (has_put, put), (has_closed, closed) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        _put_and_print(inbox, "child")
        os.write(put, b"1")
        os.read(has_closed, 1)
        _put_and_print(inbox, "child-again")
        os._exit(0)
    os.read(has_put, 1)
    if running is not None:
        running.stop()
    inbox.close()
    os.write(closed, b"1")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _put_and_print(inbox: Inbox, message_id: str) -> None:
    with suppress(InboxUnavailableError):
        inbox.put(delivery(message_id), None)
        print(message_id, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
