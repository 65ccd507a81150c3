"""The database to move a store into: it is empty, or holds the beginning of the same move."""
# ruff: noqa: S608 - SQL put together from our own names of tables and columns

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import msgspec

from commerce_event.store import text_search
from commerce_event.store.migrate_store.tables import TABLES, Row, Table
from commerce_event.store.port import StoreRefusedError
from commerce_event.store.postgres import partitions
from commerce_event.store.postgres.connections import SCHEMA, Address, check_server, close
from commerce_event.store.postgres.locks import MAINTENANCE, MOVING, RUNS
from commerce_event.store.postgres.migration_record import RECORD, Record, record
from commerce_event.store.postgres.partitions import Week
from commerce_event.store.postgres.schema import migrate
from commerce_event.store.postgres.sql import columns, execute, fetch_column

_LOCK_TRIES: Final = 100  # in ten seconds: a killed mover's connection lives until the server notices
_LOCK_PAUSE_S: Final = 0.1
_READ_AT_ONCE: Final = 2_000


class Progress(msgspec.Struct, frozen=True):
    """How far a table got."""

    after: Row | None = None
    done: bool = False
    rows: int = 0
    checksum: str | None = None


class Target:
    """One connection, the only one that moves a store into its database."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", address: Address) -> None:
        self._connection = connection
        self._address = address
        self.progress: dict[str, Progress] = {}
        self.finished_ms: int | None = None

    # -- begin

    async def begin(self, fingerprint: str, source: str, now_ms: int) -> None:
        """Make the schema and the record of the move, or read how far a former try got.

        Raises StoreRefusedError, with nothing changed, when the database holds anything else or is in use.
        """
        with self._address.refusals():
            await self._begin(fingerprint, source, now_ms)

    async def _begin(self, fingerprint: str, source: str, now_ms: int) -> None:
        await check_server(self._connection, self._address)
        await self._lock()
        async with self._connection.transaction():
            found = await record(self._connection)
            if found is None:
                await self._check_empty()
                await self._refuse_servers()
            else:
                self._check_same(found, fingerprint)
                self.finished_ms = found.finished_ms
            await migrate(self._connection, self._address)
            if found is None:
                await self._start_record(fingerprint, source, now_ms)
        rows = await self._connection.fetch("SELECT name, after, done, rows, checksum FROM move_table")
        found_rows = {row["name"]: row for row in rows}
        for row in [found_rows[table.name] for table in TABLES]:
            self.progress[row["name"]] = Progress(_key(row["after"]), row["done"], row["rows"], row["checksum"])

    async def _lock(self) -> None:
        for _ in range(_LOCK_TRIES):
            if await self._connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", MAINTENANCE, MOVING):
                return
            await asyncio.sleep(_LOCK_PAUSE_S)
        raise StoreRefusedError(f"another migrate-store is moving into {self._address}; wait until that one has ended")

    async def _check_empty(self) -> None:
        for name in (table.name for table in TABLES if table.name != "meta"):
            there = await self._connection.fetchval("SELECT to_regclass($1) IS NOT NULL", f"{SCHEMA}.{name}")
            if there and await self._connection.fetchval(f"SELECT EXISTS (SELECT FROM {name})"):
                raise StoreRefusedError(
                    f"{self._address} holds a store already (table {name} has rows); give an empty database, or empty "
                    f"this one: DROP SCHEMA {SCHEMA} CASCADE"
                )

    def _check_same(self, found: Record, fingerprint: str) -> None:
        if found.fingerprint == fingerprint:
            return
        state = "a part of" if found.finished_ms is None else "everything of"
        raise StoreRefusedError(
            f"{self._address} holds {state} {found.source} as it was when its move began, which is another store or "
            f"was served since; empty the target (DROP SCHEMA {SCHEMA} CASCADE) and begin anew, or name another one"
        )

    async def _start_record(self, fingerprint: str, source: str, now_ms: int) -> None:
        await self._connection.execute(RECORD)
        await self._connection.execute("INSERT INTO move VALUES ($1, $2, $3)", fingerprint, source, now_ms)
        await self._connection.execute(
            "INSERT INTO move_table (name) SELECT unnest($1::text[])", [table.name for table in TABLES]
        )
        await self._connection.execute("DELETE FROM meta")

    async def _refuse_servers(self) -> None:
        """Raise when a server has started on the database since the move began."""
        if await fetch_column(self._connection, "live_runs", RUNS):
            raise StoreRefusedError(f"a server runs on {self._address}; stop it, then move the store")

    async def create_partitions(self, wanted: Iterable[Week]) -> None:
        """Create the partitions that the events belong to, so that retention drops them whole."""
        have = set(await partitions.present(self._connection))
        for week in wanted:
            if week not in have:
                await partitions.create(self._connection, week)

    # -- rows

    async def add(self, table: Table, rows: Sequence[Row]) -> None:
        """Store rows together with the progress of the move."""
        async with self._connection.transaction():
            await self._refuse_servers()
            if table.name == "event_text":
                entries = [(event_id, *text_search.index_entry(client_id, body)) for event_id, client_id, body in rows]
                await execute(self._connection, "insert_texts", *columns(entries, 3))
            else:
                await self._connection.copy_records_to_table(table.name, records=rows, columns=list(table.columns))
            after = msgspec.json.encode(table.key_of(rows[-1])).decode()
            await self._connection.execute(
                "UPDATE move_table SET after = $2, rows = rows + $3 WHERE name = $1", table.name, after, len(rows)
            )

    async def table_done(self, table: Table) -> None:
        await self._connection.execute("UPDATE move_table SET done = true WHERE name = $1", table.name)

    async def checked_rows(self, table: Table) -> AsyncGenerator[list[Row], None]:
        """Yield the rows to compare with the source, in batches."""
        names = [f'sha256("{name}")' if name in table.hashed else f'"{name}"' for name in table.checked]
        order = ", ".join(f'"{name}"{table.collation}' for name in table.key)
        async with self._connection.transaction(readonly=True):
            cursor = await self._connection.cursor(f"SELECT {', '.join(names)} FROM {table.name} ORDER BY {order}")
            while rows := await cursor.fetch(_READ_AT_ONCE):
                yield [tuple(row) for row in rows]

    # -- end

    async def vacuum(self, table: Table) -> None:
        """Update the planner's statistics, and clean up the indexes."""
        await self._connection.execute(f"VACUUM (ANALYZE) {table.name}")

    async def finish(self, checksums: dict[str, str], now_ms: int) -> None:
        """Mark the move complete: from here on servers may start."""
        async with self._connection.transaction():
            await self._refuse_servers()
            for name, text in checksums.items():
                await self._connection.execute("UPDATE move_table SET checksum = $2 WHERE name = $1", name, text)
            await self._connection.execute("UPDATE move SET finished_ms = $1", now_ms)
        self.finished_ms = now_ms


@asynccontextmanager
async def open_target(url: str) -> AsyncIterator[Target]:
    """Connect to the database. Raises StoreRefusedError with the remedy."""
    address = Address(url)
    with address.refusals():
        connection = await address.connect_without_timeout()
    try:
        yield Target(connection, address)
    finally:
        await close(connection)


def _key(text: str | None) -> Row | None:
    return None if text is None else tuple(msgspec.json.decode(text, type=list[Any]))
