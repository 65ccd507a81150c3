"""The command ``commerce-event-relay``: run the relay, or show and change what is in the outbox."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any, Final

from commerce_event_sdk.client import Client
from commerce_event_sdk.outbox.relay import Relay
from commerce_event_sdk.outbox.store import OutboxError, OutboxStatus, open_store
from commerce_event_sdk.plain_text import printable

_STOP_S: Final = 5.0
_LOOK_S: Final = 0.5

_EPILOG = """environment:
  COMMERCE_EVENT_KEY              the key, with the role publish (needed to run)
  COMMERCE_EVENT_URL              the server, instead of --url
  COMMERCE_EVENT_OUTBOX_DATABASE  the database, instead of --database

exit codes: 0 done; 1 failed, or --status found dead messages; 2 wrong usage"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.database:
        parser.error("give --database or set COMMERCE_EVENT_OUTBOX_DATABASE")
    try:
        if options.status:
            return _show_status(options.database, as_json=options.json)
        if options.retry or options.discard:
            return _change(options)
        return _run(parser, options)
    except OutboxError as error:
        print(f"commerce-event-relay: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="commerce-event-relay",
        description="Publish the events that transactions have put into the outbox.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--database",
        default=os.environ.get("COMMERCE_EVENT_OUTBOX_DATABASE"),
        help="the application's database: sqlite:///path or postgresql://…",
    )
    parser.add_argument("--url", default=os.environ.get("COMMERCE_EVENT_URL"), help="the address of the server")
    parser.add_argument("--json", action="store_true", help="write JSON")
    actions = parser.add_mutually_exclusive_group()
    actions.add_argument("--status", action="store_true", help="count messages and list dead ones with the reasons")
    actions.add_argument("--retry", metavar="ID", help="publish a dead message again; 'all' for all of them")
    actions.add_argument("--discard", metavar="ID", help="delete a message; 'all' for all dead ones")
    return parser


def _run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    key = os.environ.get("COMMERCE_EVENT_KEY")
    if not options.url:
        parser.error("give --url or set COMMERCE_EVENT_URL")
    if not key:
        parser.error("set COMMERCE_EVENT_KEY to a key with the role publish")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        client = Client(options.url, key)
    except ValueError as error:
        parser.error(str(error))
    relay = Relay(options.database, client)
    stopping = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stopping.set())
    relay.start()
    while relay.is_running and not stopping.wait(_LOOK_S):
        pass
    relay.stop(_STOP_S)
    logging.getLogger(__name__).info("stopped")
    return 0


def _show_status(database: str, *, as_json: bool) -> int:
    store = open_store(database)
    try:
        status = store.status()
    finally:
        store.close()
    if as_json:
        print(json.dumps(dataclasses.asdict(status), ensure_ascii=False, indent=2))
    else:
        print("\n".join(map(printable, _lines(status))))
    return 1 if status.dead else 0


def _lines(status: OutboxStatus) -> list[str]:
    oldest = f", the oldest from {status.oldest_pending_at}" if status.oldest_pending_at else ""
    lines = [
        f"pending  {status.pending}{oldest}",
        f"dead     {status.dead}",
        f"relay    {'active' if status.relay_is_active else 'none is active'}",
    ]
    for each in status.dead_messages:
        about = f" {each.business_key}" if each.business_key else ""
        lines += ["", f"{each.id}  {each.event_type}{about}  dead since {each.dead_at}", f"  {each.reason}"]
    if status.dead > len(status.dead_messages):
        lines += ["", f"and {status.dead - len(status.dead_messages)} more"]
    return lines


def _change(options: argparse.Namespace) -> int:
    wanted = options.retry or options.discard
    message_id = None if wanted == "all" else wanted
    store = open_store(options.database)
    try:
        count = store.retry(message_id) if options.retry else store.discard(message_id)
    finally:
        store.close()
    done: dict[str, Any] = {"retried" if options.retry else "discarded": count}
    if not count and message_id is not None:
        kind = "dead message" if options.retry else "message"
        print(f"commerce-event-relay: there is no {kind} {message_id}; --status lists them", file=sys.stderr)
        return 1
    print(json.dumps(done) if options.json else " ".join(f"{name} {value}" for name, value in done.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
