"""Turn the texts that PostgreSQL writes for values into JSON. No input or output."""

import base64
import re
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

Converter: TypeAlias = Callable[[bytes], bytes]

# Session settings under which PostgreSQL writes the texts that are read here.
SESSION: Final = {
    "DateStyle": "ISO",
    "IntervalStyle": "iso_8601",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
}
_JSON_NUMBER: Final = re.compile(rb"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_NUMBER_MAX: Final = 300  # characters; the server refuses numbers beyond a double
_TIMESTAMP: Final = re.compile(rb"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)(?:\+00)?")

_BOOL, _BYTEA, _INT8, _INT2, _INT4, _OID, _FLOAT4, _FLOAT8 = 16, 17, 20, 21, 23, 26, 700, 701
_TIMESTAMP_OID, _TIMESTAMPTZ, _NUMERIC = 1114, 1184, 1700


def text_to_json(value: bytes) -> bytes:
    return msgspec.json.encode(value.decode(errors="replace"))  # a database without encoding may hold anything


def _number(value: bytes) -> bytes:
    """Return a number with all of its digits; what JSON or a double cannot hold as text, such as NaN."""
    return value if _JSON_NUMBER.fullmatch(value) and len(value) <= _NUMBER_MAX else text_to_json(value)


def _integer(value: bytes) -> bytes:
    return value


def _bool(value: bytes) -> bytes:
    return b"true" if value[:1] == b"t" else b"false"


def _bytea(value: bytes) -> bytes:
    return b'"%b"' % base64.b64encode(bytes.fromhex(value[2:].decode()))


def _timestamp(value: bytes) -> bytes:
    """Return RFC 3339; one without time zone counts as UTC. Infinity and years BC stay as they are."""
    found = _TIMESTAMP.fullmatch(value)
    return text_to_json(value) if found is None else b'"%bT%bZ"' % found.groups()


_CONVERTERS: Final[dict[int, Converter]] = {
    _BOOL: _bool,
    _BYTEA: _bytea,
    _INT2: _integer,
    _INT4: _integer,
    _INT8: _integer,
    _OID: _integer,
    _FLOAT4: _number,
    _FLOAT8: _number,
    _NUMERIC: _number,
    _TIMESTAMP_OID: _timestamp,
    _TIMESTAMPTZ: _timestamp,
}


def converter(type_oid: int) -> Converter:
    """Return what turns texts of a type into JSON; types without a rule of their own stay text."""
    return _CONVERTERS.get(type_oid, text_to_json)
