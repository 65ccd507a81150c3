"""Run named SQL from ``queries.sql``. ``{rows:N}`` in a statement stands for many rows of N values.

A batch is one statement, because every statement releases the interpreter lock once.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final, TypeVar

import apsw
import msgspec

from commerce_event.store import sql_files
from commerce_event.store.row_mapping import Row, row_type

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
    """Split a batch into pieces of few different sizes, so that prepared statements are reused."""
    start = 0
    while (left := len(items) - start) > 0:
        size = min(_CHUNK_MAX, left - left % _CHUNK_STEP) or left
        yield items[start : start + size]
        start += size


def by_name(cursor: apsw.Cursor) -> Iterator[Row]:
    """Return the rows of a cursor as named tuples, which are read as the iterator goes on."""
    try:
        columns = tuple([name for name, _ in cursor.get_description()])
    except apsw.ExecutionCompleteError:  # there are no rows
        return iter(())
    return map(row_type(columns), cursor)


def execute(connection: apsw.Connection, name: str, *values: Any) -> None:
    """Run a named statement that returns nothing."""
    connection.execute(statement(name), values)


def fetch(connection: apsw.Connection, name: str, *values: Any) -> Iterator[Row]:
    """Run a named statement; return its rows, which are read as the iterator goes on."""
    return by_name(connection.execute(statement(name), values))


def fetch_column(connection: apsw.Connection, name: str, *values: Any) -> list[Any]:
    """Run a named statement that returns one column; return its values."""
    return [value for (value,) in connection.execute(statement(name), values)]


def fetch_value(connection: apsw.Connection, name: str, *values: Any) -> Any:
    """Run a named statement that returns one value; None when there is no row."""
    return connection.execute(statement(name), values).get


def fetch_rows(connection: apsw.Connection, name: str, rows: Sequence[Sequence[Any]]) -> Iterator[Row]:
    """Run a named many-row statement over all rows; yield what it returns."""
    for piece in chunks(rows):
        yield from by_name(connection.execute(statement(name, len(piece)), list(chain.from_iterable(piece))))


def write_rows(
    connection: apsw.Connection, name: str, rows: Sequence[Sequence[Any]], *, before: Sequence[Any] = ()
) -> None:
    """Run a named many-row statement that returns nothing. ``before`` is bound ahead of the rows."""
    for piece in chunks(rows):
        connection.execute(statement(name, len(piece)), [*before, *chain.from_iterable(piece)])


def as_json(values: Iterable[Any] | None) -> str | None:
    """Return many values as one JSON array: SQLite has no arrays."""
    return None if values is None else msgspec.json.encode(list(values)).decode()
