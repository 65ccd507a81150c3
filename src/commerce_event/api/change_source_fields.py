"""The fields of a change source in requests: their types, and the checks of their values."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from commerce_event.api.parameters import Int32
from commerce_event.contract.entities import ENTITIES, sources_of
from commerce_event.contract.near_names import nearest_name
from commerce_event.core.changes.model import ChangeSource, TableMapping
from commerce_event.core.problems import Fault, child, invalid, together

TABLES_MAX: Final = 200
FIELDS_MAX: Final = 200  # of a table
KEY_MAX: Final = 10  # columns, as in the key of a change
_FAULTS_MAX: Final = 50  # in one answer
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")

SourceName = Annotated[str, Meta(min_length=1, max_length=60, examples=["erp"])]
ColumnName = Annotated[str, Meta(min_length=1, max_length=200)]


class Column(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The column of a table that has the value in each row."""

    column: ColumnName


class TableFields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which entity a table is, and the column of each property of the key and of each field."""

    entity: Annotated[str, Meta(max_length=100, examples=["tClientCustomer"])]
    key: Annotated[dict[str, ColumnName], Meta(min_length=1, max_length=KEY_MAX, examples=[{"CustomerId": "id"}])]
    fields: Annotated[dict[str, ColumnName], Meta(max_length=FIELDS_MAX, examples=[{"FirstName": "first_name"}])] = {}
    application_id: Int32 | Column | None = None


Tables = Annotated[dict[str, TableFields], Meta(min_length=1, max_length=TABLES_MAX)]


class ChangeSourceFields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change source: the client of its rows, and what its tables are."""

    client_id: Int32 | Column
    tables: Tables


class NewChangeSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change source to create."""

    name: SourceName
    client_id: Int32 | Column
    tables: Tables


def check_name(name: str, pointer: str) -> None:
    """Raise Problem 422 for a name that cannot be in a path and in a metric."""
    if not _NAME.fullmatch(name):
        message = "write 1 to 60 letters, digits, dots, hyphens and underscores, a letter or digit first"
        raise invalid(pointer, message)


def source_of(name: str, wanted: ChangeSourceFields | NewChangeSource, now_ms: int) -> ChangeSource:
    """Return the source that a request describes. Raises Problem 422 with every fault."""
    faults = [fault for table, fields in wanted.tables.items() for fault in _faults(table, fields)]
    if faults:
        raise together([invalid(fault.pointer, fault.message) for fault in faults[:_FAULTS_MAX]])
    return ChangeSource(
        name=name,
        client_id=None if isinstance(wanted.client_id, Column) else wanted.client_id,
        client_column=wanted.client_id.column if isinstance(wanted.client_id, Column) else None,
        tables={table: _mapping(fields) for table, fields in wanted.tables.items()},
        created_ms=now_ms,
        updated_ms=now_ms,
    )


def _mapping(fields: TableFields) -> TableMapping:
    application = fields.application_id
    return TableMapping(
        entity=fields.entity,
        key=dict(fields.key),
        fields=dict(fields.fields),
        application_id={"column": application.column} if isinstance(application, Column) else application,
    )


def table_fields(mapping: TableMapping) -> TableFields:
    """Return a mapping as it is written in requests."""
    application = mapping.application_id
    return TableFields(
        entity=mapping.entity,
        key=mapping.key,
        fields=mapping.fields,
        application_id=Column(column=application["column"]) if isinstance(application, dict) else application,
    )


def _faults(table: str, fields: TableFields) -> Iterator[Fault]:
    pointer = child("/tables", table)
    if not 0 < len(table) <= 200:
        yield Fault(pointer, "name the table with 1 to 200 characters, such as public.customer")
    sources = sources_of(fields.entity)
    near = None if fields.entity in ENTITIES else nearest_name(fields.entity, ENTITIES)
    if not sources or near is not None:
        hint = f"did you mean {near}?" if near else "name one of the contract's tables, such as tClientCustomer"
        yield Fault(f"{pointer}/entity", f"no notification is about {fields.entity[:60]!r}; {hint}")
    elif not any(fields.key.keys() >= set(source.key) for source in sources):
        needed = list(dict.fromkeys(" and ".join(source.key) for source in sources))
        yield Fault(f"{pointer}/key", f"a notification of {fields.entity} needs {', or '.join(needed)}")
    for place, names in (("key", fields.key), ("fields", fields.fields)):
        yield from _name_faults(names, f"{pointer}/{place}")


def _name_faults(names: Mapping[str, str], pointer: str) -> Iterator[Fault]:
    for name in names:
        if not 0 < len(name) <= 100:
            yield Fault(child(pointer, name), "a name has 1 to 100 characters")
