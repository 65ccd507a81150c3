"""`commerce-event backup`: copy a SQLite store while its server runs."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from commerce_event.cli.errors import UsageError
from commerce_event.cli.options import AsJson
from commerce_event.cli.output import console, print_json


def backup(
    to: Annotated[Path, typer.Option(help="The file to create.")],
    store: Annotated[str | None, typer.Option(help="The store to copy. (COMMERCE_EVENT_STORE)")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the file if it exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy a SQLite store; its server keeps running.

    The copy is checked and flushed to disk before it gets its name. It does not contain the key file next to the store:
    keep that file too.
    """
    import msgspec

    from commerce_event.settings import Settings
    from commerce_event.store.backup import back_up

    wanted = store or os.environ.get("COMMERCE_EVENT_STORE", "")
    if wanted.startswith(("postgresql://", "postgres://")):
        raise UsageError("Back up a PostgreSQL store with PostgreSQL's own tools: pg_dump or pg_basebackup")
    path = Settings.from_environment(os.environ, store=store).store_path()
    if path is None:  # cannot happen: PostgreSQL is handled above
        raise UsageError("--store must be sqlite:///FILE")
    with _bar() as on_pages:
        made = back_up(path, to, replace=replace, on_pages=on_pages)
    if as_json:
        print_json(msgspec.to_builtins(made))
        return
    print(f"Copied {path} to {made.file}: {made.bytes:,} bytes, checked.")
    if made.key_file is not None:
        print(f"Also keep {made.key_file}, in another place: a restored store cannot read endpoint secrets without it.")


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """Show the number of copied pages on standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    out = console(stderr=True)
    with Progress(*columns, console=out, transient=True, refresh_per_second=4, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("copying", total=None)

        def show(done: int, pages: int) -> None:
            bar.update(task, description="copying" if done < pages else "checking", completed=done, total=pages)

        yield show
