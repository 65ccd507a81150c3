"""Run named SQL from ``queries.sql``. Many rows go to a statement as one array for each column."""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import asyncpg

from commerce_event.store import sql_files
from commerce_event.store.row_mapping import Row, row_type

RawConnection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


_STATEMENTS: Final = sql_files.statements(__package__)


def by_name(records: Sequence[asyncpg.Record]) -> list[Row]:
    """Return the rows of one statement as named tuples."""
    return list(map(row_type(tuple(records[0].keys())), records)) if records else []


async def fetch(connection: Connection, name: str, *values: Any) -> list[Row]:
    """Run a named statement; return its rows."""
    return by_name(await connection.fetch(_STATEMENTS[name], *values))


async def fetch_column(connection: Connection, name: str, *values: Any) -> list[Any]:
    """Run a named statement that returns one column; return its values."""
    return [value for (value,) in await connection.fetch(_STATEMENTS[name], *values)]


async def fetch_value(connection: Connection, name: str, *values: Any) -> Any:
    """Run a named statement that returns one value; None when there is no row."""
    return await connection.fetchval(_STATEMENTS[name], *values)


async def execute(connection: Connection, name: str, *values: Any) -> None:
    """Run a named statement that returns nothing."""
    await connection.fetch(_STATEMENTS[name], *values)


def columns(rows: Sequence[Sequence[Any]], count: int) -> list[list[Any]]:
    """Turn rows of ``count`` values into that many columns."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(count)]
