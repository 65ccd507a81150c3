"""Decode the messages of PostgreSQL's output plugin `pgoutput`, protocol version 1. No input or output.

https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
"""

import struct
from typing import Final, NamedTuple, TypeAlias

UNCHANGED: Final = "unchanged"  # a long value that the update did not touch, so that it is not in the log

# The text of a value; None for null.
Value: TypeAlias = bytes | str | None
Row: TypeAlias = list[Value]

_EPOCH_US: Final = 946_684_800_000_000  # 2000-01-01, PostgreSQL's zero, after 1970-01-01
_BEGIN: Final = struct.Struct("!QqI")
_COMMIT: Final = struct.Struct("!xQQq")
_OID: Final = struct.Struct("!I")
_COUNT: Final = struct.Struct("!H")
_COLUMN_TYPE: Final = struct.Struct("!Ii")
_NULL, _UNCHANGED, _TEXT, _BINARY = b"nutb"
_NEW, _OLD, _KEY = b"NOK"
_IS_KEY: Final = 1


class DecodeError(Exception):
    """A message is not what pgoutput of protocol version 1 sends."""


class Begin(NamedTuple):
    """A transaction begins. Transactions come whole, in the order of their commits."""

    commit_lsn: int  # where its commit record begins
    committed_us: int  # since 1970
    transaction_id: int


class Commit(NamedTuple):
    commit_lsn: int
    end_lsn: int  # where its commit record ends


class Column(NamedTuple):
    name: str
    is_key: bool  # part of the replica identity
    type_oid: int


class Relation(NamedTuple):
    """The columns of a table, for the changes that follow."""

    oid: int
    schema: str
    table: str
    replica_identity: str  # d: primary key, n: nothing, f: all columns, i: an index
    columns: tuple[Column, ...]


class Insert(NamedTuple):
    oid: int
    after: Row


class Update(NamedTuple):
    """``old`` has all columns, or only those of the key when ``old_is_key``, or is None when it was not logged."""

    oid: int
    old: Row | None
    old_is_key: bool
    after: Row


class Delete(NamedTuple):
    oid: int
    old: Row
    old_is_key: bool


class Truncate(NamedTuple):
    oids: tuple[int, ...]


Message: TypeAlias = Begin | Commit | Relation | Insert | Update | Delete | Truncate


def decode(data: bytes) -> Message | None:
    """Return the message; None for one that a capture does not need. Raises DecodeError."""
    try:
        decoder = _DECODERS[data[0]]
    except (IndexError, KeyError):
        raise DecodeError(f"unknown message {data[:16]!r}") from None
    if decoder is None:
        return None
    try:
        return decoder(data)
    except (struct.error, IndexError, ValueError) as error:
        raise DecodeError(f"message {data[:16]!r} is cut off or malformed ({error})") from None


def _begin(data: bytes) -> Begin:
    commit_lsn, at_us, transaction_id = _BEGIN.unpack_from(data, 1)
    return Begin(commit_lsn, at_us + _EPOCH_US, transaction_id)


def _commit(data: bytes) -> Commit:
    commit_lsn, end_lsn, _ = _COMMIT.unpack_from(data, 1)
    return Commit(commit_lsn, end_lsn)


def decode_relation(data: bytes) -> Relation:
    (oid,) = _OID.unpack_from(data, 1)
    schema, place = _text(data, 5)
    table, place = _text(data, place)
    identity = chr(data[place])
    (count,) = _COUNT.unpack_from(data, place + 1)
    place += 3
    columns = []
    for _ in range(count):
        flags = data[place]
        name, place = _text(data, place + 1)
        type_oid, _ = _COLUMN_TYPE.unpack_from(data, place)
        place += _COLUMN_TYPE.size
        columns.append(Column(name, bool(flags & _IS_KEY), type_oid))
    return Relation(oid, schema or "pg_catalog", table, identity, tuple(columns))


def _insert(data: bytes) -> Insert:
    _expect(data, 5, _NEW)
    after, _ = _row(data, 6)
    return Insert(_OID.unpack_from(data, 1)[0], after)


def _update(data: bytes) -> Update:
    (oid,) = _OID.unpack_from(data, 1)
    kind = data[5]
    old: Row | None = None
    place = 6
    if kind != _NEW:
        _expect_old(data, 5)
        old, place = _row(data, 6)
        _expect(data, place, _NEW)
        place += 1
    after, _ = _row(data, place)
    return Update(oid, old, kind == _KEY, after)


def _delete(data: bytes) -> Delete:
    _expect_old(data, 5)
    old, _ = _row(data, 6)
    return Delete(_OID.unpack_from(data, 1)[0], old, data[5] == _KEY)


def _truncate(data: bytes) -> Truncate:
    (count,) = _OID.unpack_from(data, 1)
    return Truncate(struct.unpack_from(f"!{count}I", data, 6))


def _row(data: bytes, place: int) -> tuple[Row, int]:
    """Return the values of a row, and the place after it."""
    count = data[place] << 8 | data[place + 1]
    place += 2
    row: Row = []
    add = row.append
    for _ in range(count):
        kind = data[place]
        place += 1
        if kind == _TEXT:
            start = place + 4
            place = start + int.from_bytes(data[place:start], "big")
            if place > len(data):
                raise ValueError("a value is cut off")
            add(data[start:place])
        elif kind == _NULL:
            add(None)
        elif kind == _UNCHANGED:
            add(UNCHANGED)
        else:
            raise ValueError("binary values were not asked for" if kind == _BINARY else f"kind of value {kind}")
    return row, place


def _text(data: bytes, place: int) -> tuple[str, int]:
    end = data.index(0, place)
    return data[place:end].decode(), end + 1


def _expect(data: bytes, place: int, kind: int) -> None:
    if data[place] != kind:
        raise ValueError(f"{chr(kind)} expected at byte {place}")


def _expect_old(data: bytes, place: int) -> None:
    if data[place] not in {_OLD, _KEY}:
        raise ValueError(f"O or K expected at byte {place}")


_DECODERS: Final = {
    ord("B"): _begin,
    ord("C"): _commit,
    ord("R"): decode_relation,
    ord("I"): _insert,
    ord("U"): _update,
    ord("D"): _delete,
    ord("T"): _truncate,
    ord("O"): None,  # origin of the transaction
    ord("Y"): None,  # name of a type
    ord("M"): None,  # a message of pg_logical_emit_message
}
