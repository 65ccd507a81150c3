"""`commerce-event backup`: a copy of the embedded store while its server runs."""

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
    to: Annotated[Path, typer.Option(help="The file to make, on any disk of this machine.")],
    store: Annotated[str | None, typer.Option(help="The store to copy. (COMMERCE_EVENT_STORE)")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy a SQLite store as it stands at this moment; its server goes on meanwhile.

    The copy is checked and flushed before it gets its name. The key file beside the store is not in it: keep that too.
    """
    import msgspec

    from commerce_event.settings import Settings
    from commerce_event.store.backup import back_up

    wanted = store or os.environ.get("COMMERCE_EVENT_STORE", "")
    if wanted.startswith(("postgresql://", "postgres://")):
        raise UsageError("A PostgreSQL store is backed up with PostgreSQL's own tools: pg_dump, or pg_basebackup")
    path = Settings.from_environment(os.environ, store=store).store_path()
    if path is None:  # which no other address is
        raise UsageError("--store must be sqlite:///FILE")
    with _bar() as on_pages:
        made = back_up(path, to, replace=replace, on_pages=on_pages)
    if as_json:
        print_json(msgspec.to_builtins(made))
        return
    print(f"{made.file} holds {path}, {made.bytes:,} bytes, checked.")
    if made.key_file is not None:
        print(f"Keep {made.key_file} too, at another place: without it no restored store can open endpoint secrets.")


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """Show how many pages are copied, on standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    out = console(stderr=True)
    with Progress(*columns, console=out, transient=True, refresh_per_second=4, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("copying", total=None)

        def show(done: int, pages: int) -> None:
            bar.update(task, description="copying" if done < pages else "checking", completed=done, total=pages)

        yield show
