"""Rows of a list as CSV or JSON Lines."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET

Format = Literal["csv", "jsonl"]

MEDIA_TYPES: Final[dict[Format, str]] = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl; charset=utf-8"}
# What a spreadsheet takes for the beginning of a formula; some skip blanks, and read full-width signs as plain ones.
_FORMULA: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_BYTE_ORDER_MARK: Final = "\ufeff"  # without it, Excel reads UTF-8 as the code page of the machine


class Column(msgspec.Struct, frozen=True):
    """A column: its name in the file, and the attributes that lead to its value."""

    name: str
    path: tuple[str, ...]


def columns_of(view: type[msgspec.Struct]) -> list[Column]:
    """Return the columns of a view, by the names of the API; those of an object in it as ``endpoint.url``."""
    columns: list[Column] = []
    for field in msgspec.structs.fields(view):
        inner = field.type
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            columns += [
                Column(f"{field.encode_name}.{each.name}", (field.name, *each.path)) for each in columns_of(inner)
            ]
        else:
            columns.append(Column(field.encode_name, (field.name,)))
    return columns


def header(columns: Sequence[Column], format_: Format) -> bytes:
    """Return what comes before the rows."""
    return (_BYTE_ORDER_MARK + _csv_line([each.name for each in columns])).encode() if format_ == "csv" else b""


def rows(items: Sequence[Any], columns: Sequence[Column], format_: Format) -> Iterator[bytes]:
    """Return each item as a line. In CSV, lists and objects are JSON, and no cell begins like a formula."""
    for item in items:
        if format_ == "jsonl":
            yield msgspec.json.encode(item) + b"\n"
        else:
            yield _csv_line([_cell(_value(item, each.path)) for each in columns]).encode("utf-8", "replace")


def _value(item: Any, path: Sequence[str]) -> Any:
    for name in path:
        item = getattr(item, name, None)
    return item


def _cell(value: Any) -> str:
    if value is None or value is UNSET:
        return ""
    if isinstance(value, bool | int | float):
        return msgspec.json.encode(value).decode()
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def _csv_line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()
