"""A program that works on an inbox, for tests that kill it: ``python inbox_process.py DATABASE MODE``.

``hang`` says ``started`` on stdout when its handler runs, and never returns from it. ``exit`` ends the process in the
handler. ``fork`` puts from a child that was forked after the first put.
"""

from __future__ import annotations

import os
import sys
import threading

from commerce_event_sdk import Delivery
from commerce_event_sdk.inbox import Inbox
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
    worker(inbox, handler, claim_s=1.0).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
