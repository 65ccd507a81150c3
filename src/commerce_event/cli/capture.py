"""`commerce-event capture`: follow a PostgreSQL database, and post its row changes to the server."""

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commerce_event.cli.api import Api
from commerce_event.cli.errors import UsageError, WorkFailedError
from commerce_event.cli.options import DEFAULT_URL, AsJson, Key, Url
from commerce_event.cli.output import clean, console, print_line, print_thing
from commerce_event.cli.publish import progress_bar
from commerce_event.cli.signals import interrupted, stop_event

if TYPE_CHECKING:
    from commerce_event.changes.capture.backfill import Backfill, Selection
    from commerce_event.changes.capture.change_server import ChangeServer
    from commerce_event.changes.capture.database import SourceDatabase
    from commerce_event.changes.capture.follow import Follower

_STATUS_S = 1.0
_JSON_STATUS_S = 5.0


def capture(
    database: Annotated[
        str,
        typer.Argument(
            envvar="COMMERCE_EVENT_CAPTURE_DATABASE",
            metavar="POSTGRESQL_URL",
            help="The database to follow: postgresql://user@host:5432/database; hosts separated by commas fail over.",
            show_default=False,
        ),
    ],
    source: Annotated[str, typer.Option(help="The change source on the server, which says what the tables mean.")],
    slot: Annotated[
        str | None, typer.Option(help="The replication slot. (default: commerce_event_ and the source)")
    ] = None,
    publication: Annotated[
        str | None, typer.Option(help="The publication. (default: commerce_event_ and the source)")
    ] = None,
    setup: Annotated[
        bool, typer.Option("--setup", help="Create publication and slot where they are missing, and exit.")
    ] = False,
    teardown: Annotated[bool, typer.Option("--teardown", help="Remove slot and publication, and exit.")] = False,
    status: Annotated[
        bool,
        typer.Option("--status", help="Show slot, lag and retained log, and exit; 1 if something needs attention."),
    ] = False,
    backfill: Annotated[
        str | None,
        typer.Option(
            metavar="TABLE",
            help="Send the existing rows of a table as last known values, which raises nothing, and exit.",
        ),
    ] = None,
    where: Annotated[str | None, typer.Option(metavar="SQL", help="Only rows that meet this condition.")] = None,
    as_inserted: Annotated[
        bool, typer.Option("--as-inserted", help="Send them as if inserted now, which raises notifications.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before --as-inserted.")] = False,
    accept_gap: Annotated[
        bool,
        typer.Option("--accept-gap", help="Continue although changes may be missing, because the slot was lost."),
    ] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Follow a PostgreSQL database by logical decoding, and post its row changes to the server, until Ctrl-C.

    Start with --setup, once. The server stores the position with the changes, so a capture that was killed continues
    without loss and without duplicates.
    """
    import uvloop

    from commerce_event.changes.capture.backfill import Selection
    from commerce_event.changes.capture.change_server import ChangeServer
    from commerce_event.changes.capture.database import SourceDatabase
    from commerce_event.changes.capture.errors import CaptureError
    from commerce_event.changes.capture.names import default_name

    if setup + teardown + status + (backfill is not None) > 1:
        raise UsageError("--setup, --teardown, --status and --backfill are separate actions; give one of them")
    if backfill is None and (where is not None or as_inserted or yes):
        raise UsageError("--where, --as-inserted and --yes belong to --backfill TABLE")
    name = default_name(source)
    with Api(url, key) as api:
        try:
            followed = SourceDatabase(database, slot=slot or name, publication=publication or name)
            server = ChangeServer(api.client, source)
            if setup or teardown:
                uvloop.run(_set_up(followed, server) if setup else _tear_down(followed))
            elif backfill is not None:
                _send_rows(followed, server, Selection(backfill, where, as_inserted), yes=yes or not as_inserted)
            elif status:
                uvloop.run(_show(followed, server, as_json=as_json))
            else:
                uvloop.run(_follow(followed, server, accept_gap=accept_gap, as_json=as_json))
        except CaptureError as error:
            raise WorkFailedError(str(error)) from None


async def _set_up(database: "SourceDatabase", server: "ChangeServer") -> None:
    from commerce_event.changes.capture.setup import set_up

    try:
        await set_up(database, await server.source(), lambda sentence: print(clean(sentence), flush=True))
    finally:
        await database.close()


async def _tear_down(database: "SourceDatabase") -> None:
    from commerce_event.changes.capture.setup import tear_down

    try:
        await tear_down(database, lambda sentence: print(clean(sentence), flush=True))
    finally:
        await database.close()


async def _show(database: "SourceDatabase", server: "ChangeServer", *, as_json: bool) -> None:
    from commerce_event.changes.capture.setup import inspect

    try:
        found = await inspect(database, await server.source())
    finally:
        await database.close()
    print_thing(found.state | ({"warnings": found.warnings} if as_json else {}), as_json=as_json)
    if found.warnings:
        raise WorkFailedError("; ".join(found.warnings))


def _send_rows(database: "SourceDatabase", server: "ChangeServer", selection: "Selection", *, yes: bool) -> None:
    """Count, ask unless ``yes``, and send with a progress bar."""
    import uvloop

    from commerce_event.changes.capture.backfill import Backfill

    work = Backfill(database, server, selection)

    async def counted() -> int:
        try:
            return await work.count()
        finally:
            await database.close()

    count = uvloop.run(counted())
    how = "as if inserted; this may raise notifications" if selection.as_inserted else "as last known values"
    print(f"{count:,} rows of {clean(selection.table)} will be sent {how}.", file=sys.stderr, flush=True)
    if not yes and count:
        if not sys.stdin.isatty():
            raise UsageError("There is no terminal to confirm on; give --yes to send the rows")
        if not typer.confirm("Send them?", err=True):
            raise WorkFailedError("Nothing was sent")
    if count:
        uvloop.run(_send_counted(database, work, count))
    print(f"{work.sent:,} rows sent.")


async def _send_counted(database: "SourceDatabase", work: "Backfill", count: int) -> None:
    from commerce_event.changes.capture.errors import CaptureError

    stop = stop_event()
    try:
        with progress_bar() as bar:
            task = bar.add_task("sending", total=count)
            await work.send(_warn, lambda rows: bar.advance(task, rows), stop)
    except CaptureError as error:
        raise WorkFailedError(
            f"{str(error).rstrip('.')}; {work.sent:,} rows were sent, in the order of the key"
        ) from None
    finally:
        await database.close()
    if stop.is_set():
        raise interrupted(f"{work.sent:,} of {count:,} rows were sent, in the order of the key")


async def _follow(database: "SourceDatabase", server: "ChangeServer", *, accept_gap: bool, as_json: bool) -> None:
    from commerce_event.changes.capture.follow import Follower

    follower = Follower(database, server, accept_gap=accept_gap, warn=_warn)
    stop = stop_event()
    print(f"Following {clean(database.shown)} with the slot {database.slot} — stop with Ctrl-C", file=sys.stderr)
    showing = asyncio.create_task(_print_status(follower) if as_json else _show_status(follower))
    try:
        await follower.run(stop)
    finally:
        showing.cancel()
        await asyncio.wait([showing])
    print(f"Stopped: {follower.progress.rows:,} changes sent.", file=sys.stderr)


def _warn(sentence: str) -> None:
    line = clean(sentence)
    print(f"{line}{'' if line.endswith('.') else '.'}", file=sys.stderr, flush=True)


async def _print_status(follower: "Follower") -> None:
    """Print a line of JSON from time to time."""
    while True:
        await asyncio.sleep(_JSON_STATUS_S)
        print_line(_status(follower))


def _status(follower: "Follower") -> dict[str, Any]:
    progress = follower.progress
    return {
        **progress.status(),
        "rows": progress.rows,
        "position": None if progress.position is None else str(progress.position),
    }


async def _show_status(follower: "Follower") -> None:
    """Show rate, lag and position on one line of a terminal."""
    from commerce_event.changes.capture.position import lsn_text

    out = console(stderr=True)
    if not sys.stderr.isatty():
        return
    progress = follower.progress
    rows, at = progress.rows, time.monotonic()
    with out.status("starting") as line:
        while True:
            await asyncio.sleep(_STATUS_S)
            rate = (progress.rows - rows) / (time.monotonic() - at)
            rows, at = progress.rows, time.monotonic()
            lag = f"{progress.lag_bytes / 1024:,.0f} KiB" + (f", {progress.lag_ms} ms" if progress.lag_ms else "")
            place = lsn_text(progress.position.lsn) if progress.position is not None else "-"
            line.update(f"{progress.state}: {rate:,.0f} changes/s, {rows:,} in all, lag {lag}, at {place}")
