"""Debezium envelopes become changes."""

import base64
import json
from typing import Any

import msgspec
import pytest

from commerce_event.changes.debezium import UNAVAILABLE, read_debezium
from commerce_event.core.changes.model import Change, ChangeSource, TableMapping
from commerce_event.core.changes.sources import SourceRow, map_row
from commerce_event.core.problems import RejectedError

SOURCE = ChangeSource(
    name="erp",
    client_id=1006,
    tables={
        "public.customer": TableMapping(
            entity="tClientCustomer",
            key={"CustomerId": "id"},
            fields={"FirstName": "first_name", "City": "city"},
            application_id={"column": "shop"},
        )
    },
)


def envelope(operation: str = "u", **members: Any) -> dict[str, Any]:
    row = {"id": 12, "first_name": "Eve", "city": "Lund", "shop": 5}
    made: dict[str, Any] = {
        "before": None if operation in "cr" else {**row, "first_name": "Ann"},
        "after": None if operation == "d" else row,
        "source": {
            "connector": "postgresql", "db": "shop", "schema": "public", "table": "customer", "lsn": 99, "txId": 7,
            "ts_ms": 1_700_000_000_123,
        },
        "op": operation,
        "ts_ms": 1_700_000_000_456,
    }  # fmt: skip
    return made | members


def read(document: Any) -> SourceRow | None:
    return read_debezium(json.dumps(document).encode(), "erp")


def mapped(document: Any) -> Change:
    row = read(document)
    assert row is not None
    return map_row(row, SOURCE)


@pytest.mark.parametrize(("op", "operation"), [("c", "insert"), ("u", "update"), ("d", "delete"), ("r", "read")])
def test_envelope_of_each_operation_is_mapped(op: str, operation: str) -> None:
    change = mapped(envelope(op))

    assert (change.entity, change.operation, change.client_id) == ("tClientCustomer", operation, 1006)
    assert (change.key, change.application_id) == ({"CustomerId": 12}, 5)
    assert change.before == (None if op in "cr" else {"FirstName": "Ann", "City": "Lund"})
    assert change.after == (None if op == "d" else {"FirstName": "Eve", "City": "Lund"})
    assert change.at_ms == 1_700_000_000_123


def test_envelope_with_a_schema_or_in_a_cloud_event_gives_the_same_change() -> None:
    plain = mapped(envelope())

    assert mapped({"schema": {"type": "struct"}, "payload": envelope()}) == plain
    assert mapped({"specversion": "1.0", "type": "x", "data": {"schema": None, "payload": envelope()}}) == plain


def test_value_that_the_database_did_not_give_is_absent() -> None:
    for placeholder in (UNAVAILABLE, base64.b64encode(UNAVAILABLE.encode()).decode()):
        after = {"id": 12, "first_name": placeholder, "city": None}
        assert mapped(envelope(after=after)).after == {"City": None}


def test_decimal_in_bytes_is_read_by_its_schema() -> None:
    column = {
        "field": "city", "type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2"},
    }  # fmt: skip
    schema = {"fields": [{"field": "after", "fields": [column]}]}
    raw = base64.b64encode((-24_900).to_bytes(2, "big", signed=True)).decode()
    document = {"schema": schema, "payload": envelope(after={"id": 12, "city": raw})}

    assert mapped(document).after == {"City": "-249.00"}


def decimal_schema(**column: Any) -> dict[str, Any]:
    decimal = {"field": "city", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2"}}
    return {"fields": [{"field": "after", "fields": [decimal | column]}]}


def test_decimal_of_many_digits_keeps_each_of_them() -> None:
    raw = base64.b64encode((12345678901234567890123456789012345678).to_bytes(17, "big")).decode()
    document = {"schema": decimal_schema(), "payload": envelope(after={"id": 12, "city": raw})}

    assert mapped(document).after == {"City": "123456789012345678901234567890123456.78"}


def test_decimal_that_is_too_long_to_be_read_stays_as_it_is() -> None:
    raw = base64.b64encode(b"\x7f" * 100_000).decode()
    document = {"schema": decimal_schema(), "payload": envelope(after={"id": 12, "city": raw})}

    assert mapped(document).after == {"City": raw}


@pytest.mark.parametrize(
    "schema",
    [
        5,
        {"fields": 5},
        {"fields": {"field": "after"}},
        {"fields": [{"field": "after", "fields": 5}]},
        {"fields": [{"field": ["after"], "fields": [5, None]}]},
        decimal_schema(parameters={"scale": "²"}),
        decimal_schema(parameters={"scale": [2]}),
        decimal_schema(field=["city"]),
    ],
)
def test_schema_that_is_none_is_ignored(schema: Any) -> None:
    assert mapped({"schema": schema, "payload": envelope()}) == mapped(envelope())


def test_scale_of_the_wrong_type_means_no_digits_behind_the_point() -> None:
    raw = base64.b64encode((249).to_bytes(2, "big")).decode()
    document = {"schema": decimal_schema(parameters="x"), "payload": envelope(after={"id": 12, "city": raw})}

    assert mapped(document).after == {"City": "249"}


@pytest.mark.parametrize("at_ms", [2**48 - 1, -1, 10**30, "now", [5]])
def test_time_that_cannot_be_shown_is_left_out(at_ms: Any) -> None:
    source = envelope()["source"] | {"ts_ms": at_ms}

    assert mapped(envelope(source=source)).at_ms is None


@pytest.mark.parametrize(
    "document",
    [
        None,
        {"schema": None, "payload": None},
        {"ts_ms": 5},
        {"status": "BEGIN", "id": "7", "event_count": None},
        {"databaseName": "shop", "ddl": "CREATE TABLE x"},
        envelope("m"),
    ],
)
def test_event_that_changes_no_row_is_ignored(document: Any) -> None:
    assert read(document) is None


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"id": 12, "first_name": "Eve"}, "/op"),
        ({"payload": {"id": 12}}, "/payload/op"),
        ([], "/op"),
        (envelope("x"), "/op"),
        (envelope(op=5), "/op"),
        (envelope(source=None), "/source"),
        (envelope(source={"table": 5}), "/source"),
        (envelope(after="row"), "/after"),
        (envelope(before=[1]), "/before"),
        (envelope("c", after=None), "/after"),
    ],
)
def test_wrong_envelope_is_refused_with_a_pointer(document: Any, pointer: str) -> None:
    with pytest.raises(RejectedError) as refusal:
        read(document)
    assert [fault.pointer for fault in refusal.value.faults] == [pointer]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (envelope(source={"schema": "public", "table": "staff", "lsn": 1}), "the source erp has no table public.staff"),
        (envelope("c", after={"first_name": "Eve"}), "the column id of CustomerId has no value"),
        (envelope("c", after={"id": {"a": 1}}), "the column id of CustomerId holds no single value"),
        (envelope("c", after={"id": 1, "shop": "x"}), "the column shop holds no application number"),
    ],
)
def test_row_that_no_mapping_fits_is_a_change_with_a_note(document: Any, reason: str) -> None:
    change = mapped(document)

    assert (change.entity, change.note) == (None, reason)
    assert (change.before, change.after) == (None, None)
    assert change.client_id == 1006


def test_client_in_a_column_is_read_from_the_row() -> None:
    source = ChangeSource(name="erp", client_id=None, client_column="shop", tables=SOURCE.tables)
    row = read(envelope())
    assert row is not None

    assert map_row(row, source).client_id == 5
    other = ChangeSource(name="erp", client_id=None, client_column="city", tables=SOURCE.tables)
    assert map_row(row, other).note == "the column city holds no client number"


def test_row_that_comes_from_another_client_is_new_and_hides_its_earlier_values() -> None:
    source = msgspec.structs.replace(SOURCE, client_id=None, client_column="client")
    before, after = {"id": 12, "first_name": "Ann", "client": 1}, {"id": 12, "first_name": "Eve", "client": "2"}
    for earlier, operation, values in ((before, "insert", None), (after, "update", {"FirstName": "Eve"})):
        row = read(envelope(before=earlier, after=after))
        assert row is not None
        change = map_row(row, source)
        assert (change.client_id, change.operation, change.before) == (2, operation, values)


def test_same_place_in_the_log_gives_the_same_idempotency_key() -> None:
    first, again, other = mapped(envelope()), mapped(envelope()), mapped(envelope(after={"id": 13}))

    assert first.idempotency_key == again.idempotency_key
    assert other.idempotency_key != first.idempotency_key
    assert mapped(envelope(source={"schema": "public", "table": "customer"})).idempotency_key is None


def test_truncated_table_names_no_row() -> None:
    change = mapped(envelope("t", before=None, after=None))

    assert (change.entity, change.operation, change.key) == ("tClientCustomer", "truncate", {})
