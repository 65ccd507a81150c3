"""Turn decoded row changes into Debezium envelopes, and gather them in batches. No input or output.

The envelopes have the shape of Debezium's PostgreSQL connector with JSON and without schema, so the server reads both
in the same way. One meaning differs: `source.lsn` is where the commit record of the transaction begins, not the place
of the single change. So it only grows from one change to the next, and is comparable with the position of a backfill.

https://debezium.io/documentation/reference/stable/connectors/postgresql.html
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from commerce_event.changes.capture.pgoutput import (
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Insert,
    Relation,
    Row,
    Truncate,
    Update,
    Value,
    decode,
    decode_relation,
)
from commerce_event.changes.capture.position import Position
from commerce_event.changes.capture.values import converter
from commerce_event.changes.debezium import UNAVAILABLE

ROWS_MAX: Final = 1_000  # of a request
BATCH_MAX_BYTES: Final = 8 * 1024**2
ENVELOPE_MAX_BYTES: Final = 192 * 1024  # the server takes 256 KiB
# Values longer than this are left out of an envelope that is too large, until it fits.
_VALUE_LIMITS: Final = (64 * 1024, 4 * 1024, 256, 0)
_UNAVAILABLE_JSON: Final = msgspec.json.encode(UNAVAILABLE)
FIRST_OWN_OID: Final = 16_384  # types below it are PostgreSQL's own


class Batch:
    """Changes to post together, and the position that the server has once it has them."""

    def __init__(self, position: Position) -> None:
        self.rows: list[bytes] = []
        self.size_bytes = 0
        self.position = position
        self.committed_ms = 0  # of the newest transaction in it

    def body(self) -> bytes:
        """Return the rows as a JSON array."""
        return b"[%b]" % b",".join(self.rows)


class TableEncoder:
    """Writes rows of one table, in the form that the table had at the time of the change."""

    def __init__(self, relation: Relation, source: str, database: str, base_types: Mapping[int, int]) -> None:
        self.relation = relation
        self._keys = [column.is_key for column in relation.columns]
        self._columns = [
            (msgspec.json.encode(column.name) + b":", converter(base_types.get(column.type_oid, column.type_oid)))
            for column in relation.columns
        ]
        names = {"name": source, "db": database, "schema": relation.schema, "table": relation.table}
        self.source = b'{"connector":"postgresql",%b' % msgspec.json.encode(names)[1:-1]

    def insert(self, after: Row) -> Iterator[bytes]:
        """Yield the envelope's values: the whole row first, then with fewer and fewer long values."""
        for limit in (None, *_VALUE_LIMITS):
            yield b'"op":"c","before":null,"after":' + self._row(after, limit)

    def read(self, row: Row) -> Iterator[bytes]:
        for limit in (None, *_VALUE_LIMITS):
            yield b'"op":"r","before":null,"after":' + self._row(row, limit)

    def update(self, change: Update) -> Iterator[bytes]:
        after = change.after
        if change.old is not None and UNCHANGED in after:
            after = [
                old if value is UNCHANGED and (key or not change.old_is_key) else value
                for value, old, key in zip(after, change.old, self._keys, strict=True)
            ]
        for limit in (None, *_VALUE_LIMITS):
            before = b"null" if change.old is None else self._row(change.old, limit, only_key=change.old_is_key)
            yield b'"op":"u","before":%b,"after":%b' % (before, self._row(after, limit))

    def delete(self, change: Delete) -> Iterator[bytes]:
        for limit in (None, *_VALUE_LIMITS):
            yield b'"op":"d","before":%b,"after":null' % self._row(change.old, limit, only_key=change.old_is_key)

    def _row(self, row: Row, limit: int | None, *, only_key: bool = False) -> bytes:
        """Return a JSON object of the columns; values of more than ``limit`` bytes are marked as unavailable."""
        if len(row) != len(self._columns):
            raise ValueError(f"a row of {self.relation.table} has {len(row)} columns, not {len(self._columns)}")
        if limit is not None:
            keep_keys = self.relation.replica_identity != "f"  # with it, every column is part of the key
            row = [
                UNCHANGED if value is not None and len(value) > limit and not (key and keep_keys) else value
                for value, key in zip(row, self._keys, strict=True)
            ]
        parts = [
            name + (b"null" if value is None else _UNAVAILABLE_JSON if value is UNCHANGED else convert(value))  # type: ignore[arg-type]
            for (name, convert), value in zip(self._columns, row, strict=True)
        ]
        if only_key:
            parts = [part for part, key in zip(parts, self._keys, strict=True) if key]
        return b"{%b}" % b",".join(parts)


class EnvelopeWriter:
    """Follows the messages of a slot from a position on, and fills batches.

    Changes before the position are skipped. A batch may end inside a transaction, so a transaction of any length needs
    little memory.
    """

    def __init__(
        self,
        position: Position,
        *,
        source: str,
        database: str,
        base_types: Mapping[int, int],
        on_table: Callable[[Relation], None] = lambda _: None,
    ) -> None:
        self._names = (source, database)
        self._base_types = base_types
        self._on_table = on_table
        self._encoders: dict[int, TableEncoder] = {}
        self._known: dict[bytes, TableEncoder] = {}  # by the message that describes the table
        self._identity = position
        self._lsn, self._changes = position.lsn, position.changes
        self._batch = Batch(position)
        self._commit_lsn = 0
        self._committed_ms = 0
        self._index = 0
        self._transaction = b""

    def unknown_types(self, messages: Iterable[bytes]) -> set[int]:
        """Return types of columns whose base type must be in ``base_types`` before the messages are fed."""
        return {
            column.type_oid
            for data in messages
            if data[:1] == b"R" and data not in self._known
            for column in decode_relation(data).columns
            if column.type_oid >= FIRST_OWN_OID and column.type_oid not in self._base_types
        }

    @property
    def position(self) -> Position:
        """How far the messages have been followed."""
        return self._identity._replace(lsn=self._lsn, changes=self._changes)

    def feed(self, messages: Iterable[bytes], now_ms: int) -> Iterator[Batch]:
        """Yield each batch that is full. Raises DecodeError."""
        for data in messages:
            kind = data[:1]
            if kind == b"R":
                self._describe(data)
                continue
            match decode(data):
                case Begin() as begin:
                    self._begin(begin)
                case Commit() as commit:
                    self._move(commit.end_lsn, 0)
                case Insert(oid, after):
                    yield from self._add(self._encoders[oid], self._encoders[oid].insert(after), now_ms)
                case Update() as update:
                    encoder = self._encoders[update.oid]
                    yield from self._add(encoder, encoder.update(update), now_ms)
                case Delete() as delete:
                    encoder = self._encoders[delete.oid]
                    yield from self._add(encoder, encoder.delete(delete), now_ms)
                case Truncate(oids):
                    for oid in oids:
                        truncate = iter([b'"op":"t","before":null,"after":null'])
                        yield from self._add(self._encoders[oid], truncate, now_ms)

    def finish(self, read_up_to_lsn: int | None = None) -> Batch:
        """Return the last batch, which may be empty.

        ``read_up_to_lsn``: the slot has nothing more of transactions whose commit record begins before it.
        """
        if read_up_to_lsn is not None:
            self._move(read_up_to_lsn, 0)
        return self._cut()

    def _describe(self, data: bytes) -> None:
        encoder = self._known.get(data)
        if encoder is None:
            relation = decode_relation(data)
            encoder = self._known[data] = TableEncoder(relation, *self._names, self._base_types)
            self._on_table(relation)
        self._encoders[encoder.relation.oid] = encoder

    def _begin(self, begin: Begin) -> None:
        self._commit_lsn = begin.commit_lsn
        self._committed_ms = begin.committed_us // 1_000
        self._index = 0
        self._transaction = b',"snapshot":"false","lsn":%d,"txId":%d,"ts_ms":%d},"transaction":{"id":"%d:%d"' % (
            begin.commit_lsn,
            begin.transaction_id,
            self._committed_ms,
            begin.transaction_id,
            begin.commit_lsn,
        )

    def _add(self, encoder: TableEncoder, forms: Iterator[bytes], now_ms: int) -> Iterator[Batch]:
        self._index += 1
        if (self._commit_lsn, self._index) <= (self._lsn, self._changes):
            return  # the server has it
        tail = b',"ts_ms":%d,"source":%b%b,"total_order":%d}}' % (
            now_ms,
            encoder.source,
            self._transaction,
            self._index,
        )
        values = _fit(forms, ENVELOPE_MAX_BYTES - len(tail))
        batch = self._batch
        if batch.rows and (len(batch.rows) >= ROWS_MAX or batch.size_bytes + len(values) > BATCH_MAX_BYTES):
            yield self._cut()
            batch = self._batch
        batch.rows.append(b"{%b%b" % (values, tail))
        batch.size_bytes += len(values) + len(tail)
        batch.committed_ms = self._committed_ms
        self._move(self._commit_lsn, self._index)

    def _move(self, lsn: int, index: int) -> None:
        self._lsn, self._changes = max((self._lsn, self._changes), (lsn, index))

    def _cut(self) -> Batch:
        batch, self._batch = self._batch, Batch(self.position)
        batch.position = self.position
        return batch


def read_rows(
    relation: Relation,
    rows: Iterable[Sequence[Value]],
    *,
    source: str,
    database: str,
    base_types: Mapping[int, int],
    as_inserted: bool,
    lsn: int,
    now_ms: int,
) -> list[bytes]:
    """Return envelopes of existing rows of a table, as they were at ``lsn``: read (r), or inserted (c)."""
    encoder = TableEncoder(relation, source, database, base_types)
    tail = b',"ts_ms":%d,"source":%b,"snapshot":"incremental","lsn":%d,"ts_ms":%d}}' % (
        now_ms,
        encoder.source,
        lsn,
        now_ms,
    )
    write = encoder.insert if as_inserted else encoder.read
    return [b"{%b%b" % (_fit(write(list(row)), ENVELOPE_MAX_BYTES - len(tail)), tail) for row in rows]


def _fit(forms: Iterator[bytes], limit: int) -> bytes:
    """Return the first form that is short enough, or the last one."""
    form = b""
    for form in forms:
        if len(form) <= limit:
            break
    return form
