"""Send existing rows of a table: as last known values, or as if they were inserted now.

The rows are those of one moment. They are sent only after the running capture has passed that moment, so the server has
every change that is in them before it has the rows, and a row never replaces a newer value.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from commerce_event.changes.capture.change_server import ChangeServer
from commerce_event.changes.capture.database import SourceDatabase
from commerce_event.changes.capture.envelopes import BATCH_MAX_BYTES, FIRST_OWN_OID, read_rows
from commerce_event.changes.capture.errors import NeedsPersonError
from commerce_event.changes.capture.names import quoted, split_table
from commerce_event.changes.capture.pgoutput import Column, Relation
from commerce_event.changes.capture.position import lsn_text, parse_lsn

_POLL_S: Final = 0.2
_COUNT_S: Final = 600.0
_COLUMNS: Final = """
SELECT attname AS name, atttypid AS type_oid, class.oid AS table_oid,
       EXISTS (SELECT FROM pg_index WHERE indrelid = class.oid AND indisprimary AND attnum = ANY (indkey)) AS is_key
FROM pg_class AS class
JOIN pg_namespace AS schema ON schema.oid = class.relnamespace
JOIN pg_attribute ON attrelid = class.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
WHERE schema.nspname = $1 AND class.relname = $2
ORDER BY attnum
"""
_MOMENT: Final = "SELECT pg_current_wal_insert_lsn()::text"


class Selection(NamedTuple):
    """Rows of a table to send. ``condition`` is SQL; None for all rows."""

    table: str
    condition: str | None
    as_inserted: bool


class Backfill:
    """Sends a selection of rows, and knows how far it is."""

    def __init__(self, database: SourceDatabase, server: ChangeServer, selection: Selection) -> None:
        self.sent = 0
        self._database = database
        self._server = server
        self._selection = selection
        self._schema, self._table = split_table(selection.table)

    async def count(self) -> int:
        """Return how many rows there are to send. Raises CaptureError, also when the source does not have the table."""
        source = await self._server.source()
        if (self._schema, self._table) not in source.columns:
            raise NeedsPersonError(
                f"The source {source.name} has no table {self._schema}.{self._table}; it has {', '.join(source.tables)}"
            )
        if source.position is None:
            raise NeedsPersonError(
                "The source is not captured yet; start the capture first, and backfill while it runs"
            )
        await self._database.connect()
        async with self._database.snapshot():  # the condition may not change anything
            return int(await self._database.value(f"SELECT count(*) {self._from()}", limit_s=_COUNT_S))

    async def send(self, say: Callable[[str], None], on_rows: Callable[[int], None], stop: asyncio.Event) -> None:
        """Send the rows in the order of their key, until all are sent or ``stop`` is set. Raises CaptureError.

        ``on_rows`` gets how many rows have been sent in each request. Needs ``count`` first.
        """
        cluster = await self._database.connect()
        columns = await self._database.rows(_COLUMNS, self._schema, self._table)
        relation = Relation(
            columns[0]["table_oid"],
            self._schema,
            self._table,
            "d",
            tuple(Column(row["name"], row["is_key"], row["type_oid"]) for row in columns),
        )
        types = {column.type_oid for column in relation.columns if column.type_oid >= FIRST_OWN_OID}
        base_types = await self._database.base_types(types) if types else {}
        source = await self._server.source()
        async with self._database.snapshot():
            lsn = parse_lsn(await self._database.value(_MOMENT))  # the snapshot is older than this
            await self._wait_for_capture(lsn, say, stop)
            now_ms = time.time_ns() // 1_000_000
            async for block in self._database.stream(self._query(relation)):
                if stop.is_set():
                    return
                rows = read_rows(
                    relation,
                    [[None if value is None else value.encode() for value in row] for row in block],
                    source=source.name,
                    database=cluster.database,
                    base_types=base_types,
                    as_inserted=self._selection.as_inserted,
                    lsn=lsn,
                    now_ms=now_ms,
                )
                for piece in _pieces(rows):
                    await self._server.post_rows(piece)
                    self.sent += len(piece)
                    on_rows(len(piece))

    async def _wait_for_capture(self, lsn: int, say: Callable[[str], None], stop: asyncio.Event) -> None:
        """Wait until the server has everything that was committed before ``lsn``."""
        has_said = False
        while not stop.is_set():
            position = (await self._server.source()).position
            if position is not None and position.lsn >= lsn:
                return
            if not has_said:
                say(f"Waiting until the running capture has reached {lsn_text(lsn)}")
                has_said = True
            await asyncio.sleep(_POLL_S)

    def _from(self) -> str:
        condition = self._selection.condition
        return f"FROM {quoted(self._schema, self._table)}" + (f" WHERE ({condition})" if condition else "")

    def _query(self, relation: Relation) -> str:
        """Return a query of all columns in the text form that logical decoding gives them too."""
        names = [quoted(column.name) for column in relation.columns]
        texts = ", ".join(f"CASE WHEN {name} IS NOT NULL THEN concat({name}) END" for name in names)
        order = ", ".join(quoted(column.name) for column in relation.columns if column.is_key)
        return f"SELECT {texts} {self._from()}" + (f" ORDER BY {order}" if order else "")


def _pieces(rows: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Split rows of one block into requests that are not too large."""
    piece: list[bytes] = []
    size = 0
    for row in rows:
        if piece and size + len(row) > BATCH_MAX_BYTES:
            yield piece
            piece, size = [], 0
        piece.append(row)
        size += len(row)
    if piece:
        yield piece
