"""Read the change events of Debezium (JSON converter, with and without schema; also inside a CloudEvent).

Source: the data change event of the Debezium documentation, "Change event values" of its connectors.
"""

import base64
import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from commerce_event.accept.strict_json import load
from commerce_event.changes.errors import InvalidChangeError
from commerce_event.core.changes.model import Operation
from commerce_event.core.changes.sources import SourceRow
from commerce_event.core.clock import TIME_MAX_MS
from commerce_event.core.problems import Fault

UNAVAILABLE: Final = "__debezium_unavailable_value"  # stands for a value that the database did not give
_UNAVAILABLE: Final = frozenset({UNAVAILABLE, base64.b64encode(UNAVAILABLE.encode()).decode()})
_OPERATIONS: Final[Mapping[str, Operation]] = {
    "c": "insert",
    "u": "update",
    "d": "delete",
    "r": "read",
    "t": "truncate",
}
_DECIMAL: Final = "org.apache.kafka.connect.data.Decimal"
# Where in the log of its database an event stands, by the names that the connectors use.
_POSITIONS: Final = (
    "lsn", "txId", "gtid", "file", "pos", "row", "change_lsn", "event_serial_no", "scn", "rs_id", "ssn", "ord",
    "resume_token",
)  # fmt: skip
_DECIMAL_MAX: Final = 256  # characters of base64: some 450 digits; the cost of more grows with their square
_DEPTH_MAX: Final = 66  # the envelope is around the row


def read_debezium(body: bytes, source_name: str) -> SourceRow | None:
    """Return the row of a change event; None for what changes no row: tombstones, heartbeats, transaction marks.

    Raises RejectedError with a pointer.
    """
    data, prefix, schema = _envelope(load(body, _DEPTH_MAX))
    if not isinstance(data, dict) or "op" not in data:
        if _changes_no_row(data):
            return None
        raise _invalid(f"{prefix}/op", "is required; send the whole envelope of Debezium, not the flattened row")
    if data["op"] == "m":  # a message that a program wrote into the log
        return None
    operation = _OPERATIONS.get(data["op"]) if isinstance(data["op"], str) else None
    if operation is None:
        raise _invalid(f"{prefix}/op", "must be one of c, u, d, r, t or m")
    origin = data.get("source")
    if not isinstance(origin, dict) or not isinstance(origin.get("table"), str):
        raise _invalid(f"{prefix}/source", "must be an object that names the table")
    before, after = _row(data, "before", prefix, schema), _row(data, "after", prefix, schema)
    if operation in {"insert", "update", "read"} and after is None:
        raise _invalid(f"{prefix}/after", f"is required for the operation {data['op']}")
    at_ms = origin.get("ts_ms") or data.get("ts_ms")
    return SourceRow(
        tables=_tables(origin),
        operation=operation,
        before=before,
        after=after,
        at_ms=at_ms if type(at_ms) is int and 0 <= at_ms <= TIME_MAX_MS else None,
        idempotency_key=_position_key(data, origin, source_name),
    )


def _envelope(data: Any) -> tuple[Any, str, Any]:
    """Return the envelope of a change event, its pointer, and its schema if it has one."""
    pointer = ""
    if isinstance(data, dict) and "specversion" in data:
        data, pointer = data.get("data"), "/data"
    if isinstance(data, dict) and "payload" in data and "op" not in data:
        return data["payload"], f"{pointer}/payload", data.get("schema")
    return data, pointer, None


def _changes_no_row(data: Any) -> bool:
    """Tell whether an event is a tombstone, a heartbeat, the mark of a transaction, or a change of the schema."""
    if not isinstance(data, dict):
        return data is None
    is_heartbeat = data.keys() <= {"ts_ms", "ts_us", "ts_ns"}
    return is_heartbeat or "ddl" in data or {"status", "id"} <= data.keys()


def _tables(origin: Mapping[str, Any]) -> tuple[str, ...]:
    table = origin["table"][:200]
    spaces = [origin[name][:200] for name in ("schema", "db") if isinstance(origin.get(name), str) and origin[name]]
    names = [f"{space}.{table}" for space in spaces]
    return tuple(dict.fromkeys([*names, table, ".".join([*reversed(spaces), table])]))


def _row(data: Mapping[str, Any], name: str, prefix: str, schema: Any) -> dict[str, Any] | None:
    """Return the known values of a row."""
    row = data.get(name)
    if row is None:
        return None
    if not isinstance(row, dict):
        raise _invalid(f"{prefix}/{name}", "must be an object, or null")
    scales = _decimal_scales(schema, name)
    return {
        column: _decimal(value, scales[column]) if column in scales else value
        for column, value in row.items()
        if not (isinstance(value, str) and value in _UNAVAILABLE)
    }


def _decimal_scales(schema: Any, name: str) -> dict[str, int]:
    """Return the scale of each column that is a decimal in bytes, by the schema of the event."""
    scales: dict[str, int] = {}
    for part in _fields(schema):
        if part.get("field") == name:
            for column in _fields(part):
                scale = _scale(column)
                if scale is not None and isinstance(column.get("field"), str):
                    scales[column["field"]] = scale
    return scales


def _fields(schema: Any) -> list[dict[str, Any]]:
    """Return the schemas of the fields of a schema; none when it is not a schema."""
    fields = schema.get("fields") if isinstance(schema, dict) else None
    return [each for each in fields if isinstance(each, dict)] if isinstance(fields, list) else []


def _scale(column: Mapping[str, Any]) -> int | None:
    """Return the scale of a column that is a decimal in bytes; None for any other column."""
    if column.get("name") != _DECIMAL:
        return None
    parameters = column.get("parameters")
    scale = str(parameters.get("scale", "0")) if isinstance(parameters, dict) else "0"
    return int(scale) if scale.isdecimal() and len(scale) <= 2 else None


def _decimal(value: Any, scale: int) -> Any:
    """Return a decimal as text, such as ``249.00``; the value itself when it is none, or too long."""
    if not isinstance(value, str) or len(value) > _DECIMAL_MAX:
        return value
    try:
        unscaled = int.from_bytes(base64.b64decode(value, validate=True), "big", signed=True)
    except ValueError:
        return value
    return format(Decimal(f"{unscaled}e-{scale}"), "f")  # exact, for any number of digits


def _position_key(data: Mapping[str, Any], origin: Mapping[str, Any], source_name: str) -> str | None:
    """Return the idempotency key of an event: its place in the log. None without one.

    Rows that one record of the log inserts share its position, so the row itself belongs to the key.
    """
    position = [origin.get(name) for name in _POSITIONS]
    if all(part is None for part in position):
        return None
    transaction = data.get("transaction")
    order = transaction.get("total_order") if isinstance(transaction, dict) else None
    row = data.get("after") if data.get("after") is not None else data.get("before")
    place = [*position, order, data["op"], origin.get("schema"), origin["table"], row]
    return f"{source_name}:{hashlib.sha256(msgspec.json.encode(place, order='deterministic')).hexdigest()[:40]}"


def _invalid(pointer: str, message: str) -> InvalidChangeError:
    return InvalidChangeError(f"The Debezium event is wrong: {pointer or 'it'} {message}.", [Fault(pointer, message)])
