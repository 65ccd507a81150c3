"""For any split and repeat of a stream of messages, each change is in the batches once and in order."""

import json
import struct
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_event.changes.capture import envelopes
from commerce_event.changes.capture.envelopes import Batch, EnvelopeWriter
from commerce_event.changes.capture.position import Position, lsn_text, parse_lsn
from commerce_event.changes.capture.values import converter

TABLE: Final = 5
RELATION: Final = (
    b"R" + struct.pack("!I", TABLE) + b"public\0part\0d" + struct.pack("!H", 1) + b"\1id\0" + struct.pack("!Ii", 23, -1)
)
START: Final = Position(7, 1, 10, 0)
# Numbers of changes of each transaction, and how much log lies between them.
TRANSACTIONS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), max_size=12)


def stream(transactions: list[tuple[int, int]]) -> tuple[list[bytes], int]:
    """Return messages of transactions whose rows count up, and the end of the log."""
    messages, lsn, number = [RELATION], START.lsn, 0
    for changes, gap in transactions:
        lsn += gap
        messages.append(b"B" + struct.pack("!QqI", lsn, 0, 1))
        for _ in range(changes):
            text = str(number).encode()
            messages.append(b"I" + struct.pack("!I", TABLE) + b"N\0\1t" + struct.pack("!I", len(text)) + text)
            number += 1
        messages.append(b"C\0" + struct.pack("!QQq", lsn, lsn + 3, 0))
        lsn += 3
    return messages, lsn


def writer(position: Position = START) -> EnvelopeWriter:
    return EnvelopeWriter(position, source="shop", database="shop", base_types={})


def read(messages: list[bytes], position: Position, end: int) -> list[Batch]:
    one = writer(position)
    return [*one.feed(messages, 0), one.finish(end)]


def ids(batches: list[Batch]) -> list[int]:
    return [row["after"]["id"] for batch in batches for row in json.loads(batch.body())]


@given(TRANSACTIONS, st.integers(1, 5))
def test_batches_have_every_change_once_and_growing_positions(transactions: list[tuple[int, int]], most: int) -> None:
    messages, end = stream(transactions)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envelopes, "ROWS_MAX", most)
        batches = read(messages, START, end)

    assert ids(batches) == list(range(sum(changes for changes, _ in transactions)))
    assert all(len(batch.rows) <= most for batch in batches)
    assert all(one.position < other.position for one, other in pairwise(batches[:-1]))
    assert batches[-1].position == Position(7, 1, end, 0)


@given(TRANSACTIONS, st.integers(1, 5), st.data())
def test_reading_again_from_any_stored_position_loses_and_duplicates_nothing(
    transactions: list[tuple[int, int]], most: int, data: st.DataObject
) -> None:
    messages, end = stream(transactions)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envelopes, "ROWS_MAX", most)
        batches = read(messages, START, end)
        stored = data.draw(st.integers(0, len(batches)))
        position = batches[stored - 1].position if stored else START
        rest = read(messages, Position.parse(str(position)), end)

    assert ids(batches[:stored]) + ids(rest) == ids(batches)


def test_batch_that_ends_with_a_transaction_has_the_position_after_it() -> None:
    messages, end = stream([(2, 1), (3, 1)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envelopes, "ROWS_MAX", 2)
        batches = read(messages, START, end)

    assert [(batch.position.lsn, batch.position.changes) for batch in batches] == [(14, 0), (15, 2), (18, 0)]


def test_batch_is_cut_at_its_size() -> None:
    messages, end = stream([(20, 0)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envelopes, "BATCH_MAX_BYTES", 1_000)
        batches = read(messages, START, end)

    assert len(batches) > 4
    assert all(len(batch.body()) <= 1_100 for batch in batches)
    assert ids(batches) == list(range(20))


@given(st.builds(Position, st.integers(0, 2**64 - 1), *[st.integers(0, 2**32 - 1)] * 2, st.integers(0, 10**10 - 1)))
def test_position_text_reads_back(position: Position) -> None:
    assert Position.parse(str(position)) == position


@given(*[st.builds(Position, st.just(7), *[st.integers(0, 2**32 - 1)] * 2, st.integers(0, 10**10 - 1))] * 2)
def test_position_texts_sort_like_positions(one: Position, other: Position) -> None:
    assert (str(one) < str(other)) == (one < other)


@pytest.mark.parametrize("text", ["", "1", "1/00000001/0/0", "0/16B3748", "1/00000001/00000000016B3748/0000000000\n"])
def test_position_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no position"):
        Position.parse(text)


@given(st.integers(0, 2**64 - 1))
def test_lsn_text_reads_back(lsn: int) -> None:
    assert parse_lsn(lsn_text(lsn)) == lsn


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_stay_integers(number: int) -> None:
    assert converter(20)(str(number).encode()) == str(number).encode()


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6))
def test_numerics_keep_their_digits(number: Any) -> None:
    text = f"{number:f}".encode()

    assert converter(1700)(text) == text
    assert json.loads(converter(1700)(text)) is not None


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_texts_are_json_texts(text: str) -> None:
    assert json.loads(converter(25)(text.encode())) == text


@given(st.binary())
def test_bytea_is_base64(content: bytes) -> None:
    import base64

    assert base64.b64decode(json.loads(converter(17)(b"\\x" + content.hex().encode()))) == content
