"""The record of a move into this database: where the store came from, how far the move got, whether it is complete."""

import msgspec

from commerce_event.store.port import StoreRefusedError
from commerce_event.store.postgres.connections import SCHEMA, Address
from commerce_event.store.postgres.sql import Connection

# Made by a move, and there only after one.
RECORD = """
CREATE TABLE move (
  fingerprint text PRIMARY KEY,          -- of the source, as it was when the move began
  source      text NOT NULL,             -- for people
  started_ms  bigint NOT NULL,
  finished_ms bigint
);
CREATE TABLE move_table (
  name     text PRIMARY KEY,
  after    text,                         -- JSON: the key of the last row that is here
  done     boolean NOT NULL DEFAULT false,
  rows     bigint NOT NULL DEFAULT 0,
  checksum text                          -- found equal on both sides
);
"""


class Record(msgspec.Struct, frozen=True):
    """What a database says about the move into it."""

    fingerprint: str
    source: str
    finished_ms: int | None


async def record(connection: Connection) -> Record | None:
    """Return the record of the move into this database, None when there was none."""
    if not await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", f"{SCHEMA}.move"):
        return None
    found = await connection.fetchrow(f"SELECT fingerprint, source, finished_ms FROM {SCHEMA}.move")  # noqa: S608
    return None if found is None else Record(**found)


async def refuse_half_moved(connection: Connection, address: Address) -> None:
    """Raises StoreRefusedError when a move into this database was not finished."""
    found = await record(connection)
    if found is not None and found.finished_ms is None:
        raise StoreRefusedError(
            f"{address} holds only a part of {found.source}, whose move was not finished; run commerce-event "
            f"migrate-store again, or empty it (DROP SCHEMA {SCHEMA} CASCADE) and begin anew"
        )
