"""`commerce-event migrate-store`: move a store from SQLite to PostgreSQL."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from commerce_event.cli.errors import UsageError, WorkFailedError
from commerce_event.cli.options import AsJson
from commerce_event.cli.output import Columns, console, print_items, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from commerce_event.store.migrate_store.move import MovedTable, Step
    from commerce_event.store.migrate_store.source import Source

_COLUMNS: Columns = {
    "table": "table",
    "rows": lambda row: f"{row['rows']:,}",
    "checksum equal": lambda row: "yes" if row["equal"] else "no",
}


def migrate_store(
    source: Annotated[str, typer.Option("--from", help="The store to move: sqlite:///FILE. No server may run on it.")],
    target: Annotated[
        str,
        typer.Option(
            "--to", envvar="COMMERCE_EVENT_STORE", help="An empty database: postgresql://USER:PASSWORD@HOST/DATABASE."
        ),
    ],
    batch: Annotated[int, typer.Option(min=1, max=100_000, help="Rows in one transaction.")] = 5_000,
    as_json: AsJson = False,
) -> None:
    """Move a store from SQLite to PostgreSQL, then compare both table by table.

    The source is only read. Run the same command again to continue after an interruption. Servers refuse to start on
    the target until the move is complete.
    """
    from commerce_event.registry.sealed_rows import check_secret_key
    from commerce_event.store.migrate_store.source import open_source

    path, secret_key = _check_options(source, target)
    started = time.monotonic()
    with open_source(path) as opened, _bars() as on_step:
        opened.check_secrets(secret_key, check_secret_key)
        moved = asyncio.run(_move(opened, target, batch, on_step))
    _print(path, target, moved, time.monotonic() - started, as_json=as_json)


def _check_options(source: str, target: str) -> "tuple[Path, str | None]":
    """Return the file of the source and the key that encrypts secrets."""
    import msgspec

    from commerce_event.settings import Settings, SettingsError

    settings = Settings.from_environment(
        {name: value for name, value in os.environ.items() if name != "COMMERCE_EVENT_STORE"}
    )
    try:
        path = msgspec.structs.replace(settings, store=source).store_path()
    except SettingsError:
        path = None
    if path is None:
        raise UsageError("--from must be sqlite:///FILE (sqlite:////FILE for an absolute path)")
    try:
        other = msgspec.structs.replace(settings, store=target).store_path()
    except SettingsError:
        other = path
    if other is not None:
        raise UsageError("--to must be postgresql://USER:PASSWORD@HOST:5432/DATABASE")
    return path, settings.secret_key


async def _move(source: "Source", target: str, batch: int, on_step: "Callable[[Step], None]") -> "list[MovedTable]":
    import asyncpg

    from commerce_event.store.migrate_store.move import Move, MoveDiffersError
    from commerce_event.store.migrate_store.target import open_target
    from commerce_event.store.port import StoreRefusedError

    try:
        async with open_target(target) as opened:
            return await Move(source, opened, batch_rows=batch, on_step=on_step).run()
    except StoreRefusedError as error:
        raise UsageError(str(error).replace("--store", "--to")) from None
    except MoveDiffersError as error:
        raise WorkFailedError(str(error)) from None
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise WorkFailedError(
            f"the move stopped ({str(error) or type(error).__name__}); fix that and run the same command again to "
            "continue"
        ) from None


def _print(path: "Path", target: str, moved: "list[MovedTable]", seconds: float, *, as_json: bool) -> None:
    import msgspec

    from commerce_event.store.postgres.connections import Address

    tables = msgspec.to_builtins(moved)
    rows = sum(table.rows for table in moved)
    if as_json:
        print_json(
            {
                "from": str(path),
                "to": str(Address(target)),
                "complete": True,
                "rows": rows,
                "seconds": round(seconds, 3),
                "tables": tables,
            }
        )
        return
    print_items(tables, _COLUMNS, as_json=False, empty="")
    console().print(f"{rows:,} rows of {path} are in {Address(target)}; start servers there with the same secret key.")


@contextmanager
def _bars() -> "Iterator[Callable[[Step], None]]":
    """Show the progress of the table and of all tables on standard error."""
    columns = (TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    out = console(stderr=True)
    with Progress(*columns, console=out, transient=True, refresh_per_second=4, disable=not sys.stderr.isatty()) as bars:
        one, everything = bars.add_task("reading", total=None), bars.add_task("all", total=None)

        def show(step: "Step") -> None:
            bars.update(one, description=f"{step.what} {step.table}", completed=step.done, total=step.rows)
            bars.update(everything, completed=step.all_done, total=step.all_rows)

        yield show
