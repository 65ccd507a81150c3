"""Named SQL from ``queries.sql``; many rows go to a statement as one array for each column."""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import asyncpg

from commerce_event.store import sql_files

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


_STATEMENTS: Final = sql_files.statements(__package__)


async def run(connection: Connection, name: str, *values: Any) -> list[asyncpg.Record]:
    """Run a named statement and return its rows."""
    return await connection.fetch(_STATEMENTS[name], *values)


async def only(connection: Connection, name: str, *values: Any) -> Any:
    """Run a named statement and return the first column of its first row, or None."""
    return await connection.fetchval(_STATEMENTS[name], *values)


def columns(rows: Sequence[Sequence[Any]], count: int) -> list[list[Any]]:
    """Turn rows of ``count`` values into that many columns."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(count)]
