"""Map a row of a source's table to a change, by the source's columns."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from commerce_event.core.changes.model import Change, ChangeSource, Operation, TableMapping, Values
from commerce_event.core.changes.values import as_property


class SourceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row that was changed, as its database has it. A column whose value is not known is absent.

    ``tables`` are the names by which a source may list the table, the preferred one first.
    """

    tables: tuple[str, ...]
    operation: Operation
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    at_ms: int | None = None
    idempotency_key: str | None = None


class _UnmappedError(Exception):
    """The row is no change of an entity; the message says why."""


def map_row(row: SourceRow, source: ChangeSource) -> Change:
    """Return the change of a row; one without an entity, and with a note, when the source does not map it.

    That one has no idempotency key, so that the row can be sent again when the source maps it. A row that has come from
    another client is a new one of its client, which does not see the values that it had there.
    """
    if _has_changed_client(row, source):
        row = msgspec.structs.replace(row, operation="insert", before=None)
    table = next((name for name in row.tables if name in source.tables), None)
    columns: Mapping[str, Any] = {**(row.before or {}), **(row.after or {})}
    client_id = source.client_id
    try:
        if client_id is None:
            client_id = _client_of(columns, source, row.operation)
        if table is None:
            raise _UnmappedError(f"the source {source.name} has no table {row.tables[0]}")
        mapping = source.tables[table]
        return Change(
            client_id=client_id,
            application_id=_application_of(columns, mapping),
            entity=mapping.entity,
            operation=row.operation,
            key={} if row.operation == "truncate" else _key_of(columns, mapping),
            before=_values(row.before, mapping) or None,
            after=None if row.after is None else _values(row.after, mapping),
            at_ms=row.at_ms,
            idempotency_key=row.idempotency_key,
            source=source.name,
            table=table,
        )
    except _UnmappedError as reason:
        return Change(
            client_id=client_id,
            entity=None,
            operation=row.operation,
            key={},
            at_ms=row.at_ms,
            source=source.name,
            table=table or row.tables[0],
            note=str(reason),
        )


def _has_changed_client(row: SourceRow, source: ChangeSource) -> bool:
    column = source.client_column
    if row.operation != "update" or column is None or not row.before or not row.after:
        return False
    clients = [as_property(columns.get(column), "int32") for columns in (row.before, row.after)]
    return UNSET not in clients and clients[0] != clients[1]


def _client_of(columns: Mapping[str, Any], source: ChangeSource, operation: Operation) -> int | None:
    column = source.client_column
    if operation == "truncate" or column is None:
        raise _UnmappedError("a truncated table names no client")
    client_id = as_property(columns.get(column), "int32")
    if client_id is UNSET:
        raise _UnmappedError(f"the column {column} holds no client number")
    return int(client_id)


def _application_of(columns: Mapping[str, Any], mapping: TableMapping) -> int | None:
    application = mapping.application_id
    if not isinstance(application, dict):
        return application
    value = columns.get(application["column"])
    if value is None:
        return None
    number = as_property(value, "int32")
    if number is UNSET:
        raise _UnmappedError(f"the column {application['column']} holds no application number")
    return int(number)


def _key_of(columns: Mapping[str, Any], mapping: TableMapping) -> Values:
    key = {name: columns.get(column) for name, column in mapping.key.items()}
    for name, value in key.items():
        if value is None:
            raise _UnmappedError(f"the column {mapping.key[name]} of {name} has no value")
        if isinstance(value, dict | list):
            raise _UnmappedError(f"the column {mapping.key[name]} of {name} holds no single value")
    return key


def _values(columns: Mapping[str, Any] | None, mapping: TableMapping) -> Values:
    """Return the fields of a row; all columns by their own names when the mapping lists no fields."""
    if columns is None:
        return {}
    if not mapping.fields:
        keys = set(mapping.key.values())
        return {name: value for name, value in columns.items() if name not in keys}
    return {name: columns[column] for name, column in mapping.fields.items() if column in columns}
