"""Named SQL from ``queries.sql``; ``{rows:N}`` in a statement stands for many rows of N values in one step.

One step for a whole batch matters: every step gives up the interpreter lock once.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final, TypeVar

import apsw
import msgspec

from commerce_event.store import sql_files

_CHUNK_MAX: Final = 256
_CHUNK_STEP: Final = 16
_ROWS: Final = re.compile(r"\{rows:(\d+)\}")

T = TypeVar("T")


_STATEMENTS: Final = sql_files.statements(__package__)


@lru_cache(maxsize=1024)
def statement(name: str, rows: int = 1) -> str:
    """Return a named statement for that many rows."""

    def expand(match: re.Match[str]) -> str:
        row = "(" + ",".join("?" * int(match[1])) + ")"
        return ",".join([row] * rows)

    return _ROWS.sub(expand, _STATEMENTS[name])


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut a batch into few pieces of few different sizes, so that prepared statements are used again."""
    start = 0
    while (left := len(items) - start) > 0:
        size = min(_CHUNK_MAX, left - left % _CHUNK_STEP) or left
        yield items[start : start + size]
        start += size


def run(connection: apsw.Connection, name: str, values: Sequence[Any] = ()) -> apsw.Cursor:
    """Run a named statement once."""
    return connection.execute(statement(name), values)


def run_rows(
    connection: apsw.Connection, name: str, rows: Sequence[Sequence[Any]], *, before: Sequence[Any] = ()
) -> Iterator[tuple[Any, ...]]:
    """Run a named many-row statement over all rows, yielding what it returns. ``before`` is bound ahead of the rows."""
    for piece in chunks(rows):
        yield from connection.execute(statement(name, len(piece)), [*before, *chain.from_iterable(piece)])


def write_rows(
    connection: apsw.Connection, name: str, rows: Sequence[Sequence[Any]], *, before: Sequence[Any] = ()
) -> int:
    """Run a named many-row statement that returns nothing; return how many table rows it changed."""
    changed = 0
    for piece in chunks(rows):
        connection.execute(statement(name, len(piece)), [*before, *chain.from_iterable(piece)])
        changed += connection.changes()
    return changed


def as_json(values: Iterable[Any] | None) -> str | None:
    """Return many values as one: SQLite has no arrays."""
    return None if values is None else msgspec.json.encode(list(values)).decode()


def only(rows: Iterable[tuple[Any, ...]]) -> Any:
    """Return the first column of the first row, or None."""
    for row in rows:
        return row[0]
    return None
