"""Named SQL from ``queries.sql``; many rows go to a statement as one array for each column."""

import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final, TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


def _load() -> dict[str, str]:
    text = (files(__package__) / "queries.sql").read_text()
    blocks = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(blocks[1::2], (block.strip() for block in blocks[2::2]), strict=True))


_STATEMENTS: Final = _load()


async def run(connection: Connection, name: str, *values: Any) -> list[asyncpg.Record]:
    """Run a named statement and return its rows."""
    return await connection.fetch(_STATEMENTS[name], *values)


async def only(connection: Connection, name: str, *values: Any) -> Any:
    """Run a named statement and return the first column of its first row, or None."""
    return await connection.fetchval(_STATEMENTS[name], *values)


def columns(rows: Sequence[Sequence[Any]], count: int) -> list[list[Any]]:
    """Turn rows of ``count`` values into that many columns."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(count)]
