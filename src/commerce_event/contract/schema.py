"""What the event classes say about their properties, in a form that checks, documents and generators can walk."""

from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec
from msgspec import inspect

from commerce_event.contract import properties as p
from commerce_event.contract.types import CommerceEvent

# The last four are formats of own event types.
Format = Literal["int32", "int64", "double", "string", "boolean", "object", "array", "any"]

LIMITS: Final = {"int32": (p.INT32_MIN, p.INT32_MAX), "int64": (p.INT64_MIN, p.INT64_MAX)}
_JSON_TYPES: Final = {"int32": "integer", "int64": "integer", "double": "number"}  # of other formats: their names


class Property(msgspec.Struct, frozen=True, kw_only=True):
    """One property of an event type. ``values`` is the closed list of its values, ``known_values`` an open one."""

    name: str
    format: Format
    required: bool
    description: str
    values: tuple[str | int, ...] = ()
    known_values: tuple[str, ...] = ()

    @property
    def json_type(self) -> str:
        return _JSON_TYPES.get(self.format, self.format)

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of the property. An optional property may be null, which means absent."""
        kind = self.json_type if self.required else [self.json_type, "null"]
        schema: dict[str, Any] = {"type": kind, "description": self.description}
        if self.format != "string":
            schema["format"] = self.format
        if self.values:
            schema["enum"] = [*self.values] if self.required else [*self.values, None]
        elif self.known_values:
            schema |= {"pattern": p.TABLE_NAME_PATTERN.replace(r"\Z", "$"), "examples": list(self.known_values)}
        elif self.format in LIMITS:
            schema["minimum"], schema["maximum"] = LIMITS[self.format]
        return schema


def properties_of(model: type[CommerceEvent]) -> Iterator[Property]:
    """Yield the properties of an event class in their order."""
    info = inspect.type_info(model)
    assert isinstance(info, inspect.StructType)  # noqa: S101 - tells mypy what msgspec returns for a Struct
    for field in info.fields:
        described = _without_null(field.type)
        extra = described.extra_json_schema or {}
        yield Property(
            name=field.encode_name,
            format=extra.get("format", "string"),
            required=field.required,
            description=extra["description"],
            values=_values(described.type),
            known_values=tuple(extra.get("examples", ())),
        )


def _values(kind: inspect.Type) -> tuple[str | int, ...]:
    if not isinstance(kind, inspect.LiteralType):
        return ()
    return tuple(value for value in kind.values if isinstance(value, str | int))


def _without_null(kind: inspect.Type) -> inspect.Metadata:
    """Return the described type inside ``X | None``: None stands for an absent property and for JSON null."""
    members = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return next(member for member in members if isinstance(member, inspect.Metadata))
