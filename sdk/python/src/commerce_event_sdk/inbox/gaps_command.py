"""The command ``python -m commerce_event_sdk inbox gaps``: fetch missed events from a server."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

from commerce_event_sdk.inbox.gaps import GRACE_S, GapReport, Gaps, GapsError

if TYPE_CHECKING:
    from commerce_event_sdk.inbox import Inbox

EPILOG: Final = """environment:
  COMMERCE_EVENT_INBOX_DATABASE  the database, instead of --database
  COMMERCE_EVENT_KEY             the key, with the role read for the client
  COMMERCE_EVENT_URL             the server, instead of --url

exit codes: 0 done; 1 failed, or events are lost; 2 wrong usage"""


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    command.epilog, command.formatter_class = EPILOG, argparse.RawDescriptionHelpFormatter
    command.add_argument("--url", default=os.environ.get("COMMERCE_EVENT_URL"), help="the address of the server")
    command.add_argument("--client-id", type=_count, required=True, metavar="N", help="the client")
    command.add_argument("--types", metavar="A,B", help="event types, separated by commas (default: all)")
    command.add_argument(
        "--application-id", type=_count, metavar="N", help="events of this application, and those without one"
    )
    command.add_argument(
        "--grace",
        type=_count,
        default=GRACE_S,
        metavar="S",
        help="skip younger events, which may still arrive (default 60 s)",
    )
    command.add_argument(
        "--start",
        type=_count,
        metavar="N",
        help="sequence number after which the very first run begins; 0: everything",
    )
    command.add_argument("--every", type=_count, metavar="S", help="run again every S seconds until interrupted")


def run(inbox: Inbox, options: argparse.Namespace) -> int:
    """Run the command; return its exit code. Raises ValueError, and InboxUnavailableError."""
    key = os.environ.get("COMMERCE_EVENT_KEY")
    if not options.url or not key:
        print("inbox: give --url, and set COMMERCE_EVENT_KEY to a key with the role read", file=sys.stderr)
        return 2
    gaps = Gaps(
        inbox,
        options.url,
        key,
        options.client_id,
        None if options.types is None else [each.strip() for each in options.types.split(",")],
        options.application_id,
        grace_s=options.grace,
        start=options.start,
    )
    if options.every is not None:
        return _run_until_interrupted(gaps, options.every)
    try:
        report = gaps.run_once()
    except GapsError as error:
        print(f"inbox: {error}", file=sys.stderr)
        return 1
    _show(report, as_json=options.json)
    return 1 if report.lost else 0  # the log names them on stderr


def _run_until_interrupted(gaps: Gaps, every_s: float) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: gaps.request_stop())
    gaps.run(every_s)
    return 0


def _show(report: GapReport, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(dataclasses.asdict(report), indent=2))
        return
    print(f"{report.checked} events compared up to number {report.position}, {report.fetched} fetched")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:20]) >= 2**63:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0, not {text}")
    return int(text)
