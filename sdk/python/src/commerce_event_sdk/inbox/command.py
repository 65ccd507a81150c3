"""The command ``python -m commerce_event_sdk inbox``: list messages, retry, discard, delete or fetch them."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final

from commerce_event_sdk.inbox import Inbox, InboxMessage, InboxUnavailableError, gaps_command
from commerce_event_sdk.inbox.messages import STATES
from commerce_event_sdk.plain_text import printable

LIMIT_MAX: Final = 1000
_UNITS_S: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_EPILOG: Final = """environment:
  COMMERCE_EVENT_INBOX_DATABASE  the database, instead of --database

exit codes: 0 done; 1 failed, or a message was not found; 2 wrong usage"""


class _CommandError(Exception):
    """One sentence for the person at the terminal."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.database:
        parser.error("give --database or set COMMERCE_EVENT_INBOX_DATABASE")
    try:
        inbox = _open(options.database)
        try:
            code: int = options.run(inbox, options)
        finally:
            inbox.close()
    except (_CommandError, InboxUnavailableError, ModuleNotFoundError, ValueError) as error:
        print(f"inbox: {printable(' '.join(str(error).split()))}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        sys.stdout = None
        return 0
    return code


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--database",
        default=os.environ.get("COMMERCE_EVENT_INBOX_DATABASE"),
        help="the database of the inbox: sqlite:///path or postgresql://…",
    )
    shared.add_argument("--json", action="store_true", help="write JSON")
    parser = argparse.ArgumentParser(
        prog="python -m commerce_event_sdk inbox",
        description="List the messages of an inbox, retry, discard, delete or fetch them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, run: Callable[[Inbox, argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, parents=[shared], help=text, description=text.capitalize() + ".")
        command.set_defaults(run=run)
        return command

    add("status", _status, "count the messages by state")
    listing = add("list", _list, "list messages, the newest first")
    listing.add_argument("--state", choices=STATES, help="only messages in this state")
    listing.add_argument("--limit", type=_limit, default=20, help=f"how many, 1 to {LIMIT_MAX} (default 20)")
    listing.add_argument("--before", metavar="ID", help="continue after this message")
    show = add("show", _show, "show one message with its body and the traceback of the last failed attempt")
    show.add_argument("id")
    retry = add("retry", _retry, "handle dead letters and waiting messages now; their attempts count from 1 again")
    which = retry.add_mutually_exclusive_group(required=True)
    which.add_argument("id", nargs="*", default=[])
    which.add_argument("--all-dead", action="store_true", help="all dead letters")
    discard = add(
        "discard", _discard, "end pending messages and dead letters without handling them; repeats are ignored"
    )
    discard.add_argument("id", nargs="+")
    purge = add("purge", _purge, "delete finished messages; a repeat of one is a new event")
    purge.add_argument("--older-than", type=_duration, required=True, metavar="TIME", help="such as 30d, 12h or 15m")
    purge.add_argument("--state", choices=("done", "dead"), default="done", help="which messages (default done)")
    gaps_command.add_options(add("gaps", gaps_command.run, "fetch missed events from a server"))
    return parser


def _open(url: str) -> Inbox:
    """Return the inbox of a database that has one already."""
    if url.startswith("sqlite:///"):
        inbox = Inbox.sqlite(url[len("sqlite:///") :])
    elif re.match(r"postgres(ql)?(\+\w+)?://", url):
        inbox = Inbox.postgres(url)
    else:
        raise _CommandError("--database must be sqlite:///path or postgresql://user@host/name")
    if inbox.database.read_version() is None:
        raise _CommandError(
            "this database has no inbox: name another --database (programs create the tables at their first use)"
        )
    return inbox


def _status(inbox: Inbox, options: argparse.Namespace) -> int:
    status = inbox.status()
    age_s = None if status.oldest_pending_at is None else max(0.0, time.time() - status.oldest_pending_at)
    if options.json:
        counts = {"pending": status.pending, "done": status.done, "dead": status.dead}
        _write_json({**counts, "oldest_pending_s": age_s})
        return 0
    for state in STATES:
        print(f"{state:8} {getattr(status, state):>12,}")
    if age_s is not None:
        print(f"the oldest pending message has waited for {_span(age_s)}")
    return 0


def _list(inbox: Inbox, options: argparse.Namespace) -> int:
    before = None if options.before is None else _find(inbox, options.before)
    found = inbox.messages(state=options.state, limit=options.limit, before=before)
    if options.json:
        _write_json({"messages": [_as_json(each) for each in found]})
        return 0
    rows: list[tuple[str, ...]] = [("ID", "TYPE", "STATE", "ATTEMPTS", "RECEIVED", "NEXT ATTEMPT", "KEY")]
    rows += [_row(each) for each in found]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _row(message: InboxMessage) -> tuple[str, ...]:
    upcoming = "running" if message.is_claimed else _time(message.next_attempt_at) or "-"
    return (
        printable(message.id),
        printable(message.event_type or "-"),
        message.state,
        str(message.attempt_count),
        _time(message.received_at) or "-",
        upcoming,
        printable(message.business_key or "-"),
    )


def _show(inbox: Inbox, options: argparse.Namespace) -> int:
    message = _find(inbox, options.id)
    shown = _as_json(message)
    body = None if message.body is None else message.body.decode("utf-8", "backslashreplace")
    if options.json:
        _write_json({**shown, "body": body})
        return 0
    for name, value in shown.items():
        if name != "error" and value is not None:
            print(f"{name + ':':18} {printable(str(value))}")
    print(f"{'body:':18} {'not kept' if body is None else printable(body)}")
    if message.error is not None:
        print("\n" + "\n".join(printable(line) for line in message.error.splitlines()))
    return 0


def _retry(inbox: Inbox, options: argparse.Namespace) -> int:
    if options.all_dead:
        return _report(options, "retried", inbox.retry_dead(), [])
    return _change(options, "retried", inbox.retry, "is done, runs, or is not in the inbox")


def _discard(inbox: Inbox, options: argparse.Namespace) -> int:
    return _change(options, "discarded", inbox.discard, "is done or not in the inbox")


def _change(options: argparse.Namespace, name: str, change: Callable[[str], int], reason: str) -> int:
    unchanged = [each for each in options.id if change(each) == 0]
    for each in unchanged:
        print(f"inbox: {printable(each)} {reason}", file=sys.stderr)
    return _report(options, name, len(options.id) - len(unchanged), unchanged)


def _report(options: argparse.Namespace, name: str, count: int, unchanged: Sequence[str]) -> int:
    if options.json:
        _write_json({name: count, **({"unchanged": list(unchanged)} if unchanged else {})})
    else:
        print(f"{count} {'message' if count == 1 else 'messages'} {name}")
    return 1 if unchanged else 0


def _purge(inbox: Inbox, options: argparse.Namespace) -> int:
    return _report(options, "deleted", inbox.purge(before=time.time() - options.older_than, state=options.state), [])


def _find(inbox: Inbox, message_id: str) -> InboxMessage:
    message = inbox.message(message_id)
    if message is None:
        raise _CommandError(f"{printable(message_id)} is not in the inbox")
    return message


def _as_json(message: InboxMessage) -> dict[str, Any]:
    return {
        "id": message.id,
        "event_type": message.event_type,
        "client_id": message.client_id,
        "business_key": message.business_key,
        "sequence": message.sequence,
        "state": message.state,
        "attempt_count": message.attempt_count,
        "received_at": _time(message.received_at),
        "next_attempt_at": _time(message.next_attempt_at),
        "is_claimed": message.is_claimed,
        "finished_at": _time(message.finished_at),
        "error": message.error,
    }


def _write_json(value: object) -> None:
    print(json.dumps(value, indent=2))


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _span(seconds: float) -> str:
    for name, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {name}"
    return f"{seconds:.0f} s"


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= LIMIT_MAX:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to {LIMIT_MAX}, not {text}")
    return int(text)


def _duration(text: str) -> float:
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"must be a number with s, m, h or d, such as 30d, not {text}")
    return float(int(match[1]) * _UNITS_S[match[2]])
