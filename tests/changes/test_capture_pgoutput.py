"""Messages of pgoutput are decoded as PostgreSQL's documentation describes them."""

import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_event.changes.capture import pgoutput
from commerce_event.changes.capture.pgoutput import (
    UNCHANGED,
    Begin,
    Column,
    Commit,
    DecodeError,
    Delete,
    Insert,
    Relation,
    Row,
    Truncate,
    Update,
    decode,
)

U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=63)
ROWS: st.SearchStrategy[Row] = st.lists(st.one_of(st.none(), st.just(UNCHANGED), st.binary(max_size=300)), max_size=20)


def encode_row(row: Row) -> bytes:
    parts = [struct.pack("!H", len(row))]
    for value in row:
        if value is None:
            parts.append(b"n")
        elif isinstance(value, str):
            parts.append(b"u")
        else:
            parts.append(b"t" + struct.pack("!I", len(value)) + value)
    return b"".join(parts)


@given(U64, st.integers(-(2**40), 2**50), U32)
def test_decode_begin(lsn: int, at_us: int, transaction_id: int) -> None:
    data = b"B" + struct.pack("!QqI", lsn, at_us, transaction_id)

    assert decode(data) == Begin(lsn, at_us + 946_684_800_000_000, transaction_id)


@given(U64, U64)
def test_decode_commit(lsn: int, end: int) -> None:
    assert decode(b"C\0" + struct.pack("!QQq", lsn, end, 0)) == Commit(lsn, end)


@given(U32, NAMES, NAMES, st.sampled_from("dnfi"), st.lists(st.tuples(NAMES, st.booleans(), U32), max_size=10))
def test_decode_relation(
    oid: int, schema: str, table: str, identity: str, columns: list[tuple[str, bool, int]]
) -> None:
    data = b"R" + struct.pack("!I", oid) + schema.encode() + b"\0" + table.encode() + b"\0" + identity.encode()
    data += struct.pack("!H", len(columns))
    for name, is_key, type_oid in columns:
        data += bytes([is_key]) + name.encode() + b"\0" + struct.pack("!Ii", type_oid, -1)

    assert decode(data) == Relation(oid, schema, table, identity, tuple(Column(*each) for each in columns))


def test_decode_relation_without_schema_is_of_the_catalogue() -> None:
    data = b"R" + struct.pack("!I", 1) + b"\0pg_class\0d" + struct.pack("!H", 0)

    assert decode(data) == Relation(1, "pg_catalog", "pg_class", "d", ())


@given(U32, ROWS, st.one_of(st.none(), st.tuples(st.booleans(), ROWS)))
def test_decode_rows(oid: int, after: Row, old: tuple[bool, Row] | None) -> None:
    head = struct.pack("!I", oid)

    assert decode(b"I" + head + b"N" + encode_row(after)) == Insert(oid, after)
    if old is None:
        assert decode(b"U" + head + b"N" + encode_row(after)) == Update(oid, None, False, after)
        return
    is_key, before = old
    kind = b"K" if is_key else b"O"
    assert decode(b"D" + head + kind + encode_row(before)) == Delete(oid, before, is_key)
    update = b"U" + head + kind + encode_row(before) + b"N" + encode_row(after)
    assert decode(update) == Update(oid, before, is_key, after)


@given(st.lists(U32, max_size=5))
def test_decode_truncate(oids: list[int]) -> None:
    data = b"T" + struct.pack("!I", len(oids)) + b"\0" + struct.pack(f"!{len(oids)}I", *oids)

    assert decode(data) == Truncate(tuple(oids))


@pytest.mark.parametrize("data", [b"O" + bytes(8) + b"x\0", b"Y" + bytes(4) + b"\0int\0", b"M" + bytes(20)])
def test_decode_messages_that_a_capture_does_not_need_give_none(data: bytes) -> None:
    assert decode(data) is None


@given(st.binary(max_size=60))
def test_decode_anything_gives_a_message_or_decode_error(data: bytes) -> None:
    with suppress(DecodeError):
        assert isinstance(decode(data), tuple | None)


@given(ROWS.filter(bool), st.data())
def test_decode_message_that_is_cut_off_is_an_error(row: Row, data: st.DataObject) -> None:
    whole = b"I" + struct.pack("!I", 1) + b"N" + encode_row(row)
    cut = data.draw(st.integers(1, len(whole) - 1))

    with pytest.raises(DecodeError):
        decode(whole[:cut])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Z",
        b"I" + bytes(4) + b"K" + bytes(2),
        b"D" + bytes(4) + b"N" + bytes(2),
        b"U" + bytes(4) + b"K" + bytes(2) + b"K" + bytes(2),
        b"I" + bytes(4) + b"N\0\1b" + bytes(4),
        b"I" + bytes(4) + b"N\0\1x",
    ],
)
def test_decode_malformed_message_is_an_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(data)


def test_decoders_cover_every_message_of_the_protocol() -> None:
    known: Any = pgoutput._DECODERS

    assert {chr(kind) for kind in known} == set("BCORYIUDTM")
