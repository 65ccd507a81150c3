"""Read the properties of JSON Schemas."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from commerce_event.reference.model import PropertyDoc
from commerce_event.web.highlight import value_text

Schema = Mapping[str, Any]
Schemas = Mapping[str, Schema]

_REF: Final = "#/components/schemas/"
_LIMITS: Final = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "maxProperties": "at most {} members",
}
_OF_THE_FORMAT: Final = {-(2**31), 2**31 - 1, -(2**63), 2**63 - 1}  # the format says it already
_DEPTH_MAX: Final = 3


def properties_of(schema: Schema, schemas: Schemas, depth: int = _DEPTH_MAX) -> Iterator[PropertyDoc]:
    """Yield the properties of an object, with those of its values down to ``depth`` levels."""
    required = set(schema.get("required", ()))
    for name, each in schema.get("properties", {}).items():
        yield property_of(name, each, schemas, required=name in required, depth=depth)


def property_of(name: str, schema: Schema, schemas: Schemas, *, required: bool, depth: int = 0) -> PropertyDoc:
    inner = without_null(schema)
    link = link_of(inner) or link_of(items_of(inner))
    value_schema = schemas[link] if link else (items_of(inner) or inner)
    values = inner.get("enum") or ([inner["const"]] if "const" in inner else ())
    return PropertyDoc(
        name=name,
        kind=type_text(schema),
        format=inner.get("format", ""),
        required=required,
        description=schema.get("description", "") or inner.get("description", ""),
        values=tuple(value_text(value) for value in values if value is not None),
        known_values=tuple(map(value_text, inner["examples"])) if "pattern" in inner and "examples" in inner else (),
        limits=", ".join(_limits(schema, inner)),
        link=link,
        inside=tuple(properties_of(value_schema, schemas, depth - 1)) if depth else (),
    )


def type_text(schema: Schema) -> str:
    """Return the type as text, such as ``array of string or null``."""
    if "$ref" in schema:
        return link_of(schema)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_text(each) for each in schema["anyOf"]))
    kind = schema.get("type", "string" if "enum" in schema else "any")
    if kind == "array" and items_of(schema):
        return f"array of {type_text(items_of(schema))}"
    members = schema.get("additionalProperties")
    if kind == "object" and isinstance(members, Mapping):
        return f"object of {type_text(members)}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def items_of(schema: Schema) -> Schema:
    """Return the schema of an array's items; of a tuple that of the first item."""
    items = schema.get("items")
    return items if isinstance(items, Mapping) else next(iter(schema.get("prefixItems", ())), {})


def link_of(schema: Schema) -> str:
    """Return the name of the referenced schema; empty when there is none."""
    return str(schema.get("$ref", "")).removeprefix(_REF)


def without_null(schema: Schema) -> Schema:
    """Return the schema without null when one other type remains, else the schema itself."""
    members = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    return members[0] if len(members) == 1 else schema


def _limits(schema: Schema, inner: Schema) -> Iterator[str]:
    for key, text in _LIMITS.items():
        if key in inner and inner[key] not in _OF_THE_FORMAT:
            limit = text.format(f"{inner[key]:,}")
            yield limit.removesuffix("s") if inner[key] == 1 and key != "minimum" else limit
    default = schema.get("default", inner.get("default"))
    if default not in (None, "", [], {}):
        yield f"{value_text(default).removesuffix('.0')} by default"
