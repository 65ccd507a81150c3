"""From JSON Schema to the lines that a reader sees of it."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from commerce_event.reference.model import Property
from commerce_event.web.highlight import shown

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
_OF_THE_FORMAT: Final = {-(2**31), 2**31 - 1, -(2**63), 2**63 - 1}  # no news to a reader
_DEPTH_MAX: Final = 3


def properties_of(schema: Schema, schemas: Schemas, depth: int = _DEPTH_MAX) -> Iterator[Property]:
    """Yield the properties of an object; what they are made of as deep as ``depth``, others only as links."""
    required = set(schema.get("required", ()))
    for name, each in schema.get("properties", {}).items():
        yield property_of(name, each, schemas, required=name in required, depth=depth)


def property_of(name: str, schema: Schema, schemas: Schemas, *, required: bool, depth: int = 0) -> Property:
    inner = without_null(schema)
    link = link_of(inner) or link_of(items_of(inner))
    made_of = schemas[link] if link else (items_of(inner) or inner)
    values = inner.get("enum") or ([inner["const"]] if "const" in inner else ())
    return Property(
        name=name,
        kind=kind_of(schema),
        format=inner.get("format", ""),
        required=required,
        description=schema.get("description", "") or inner.get("description", ""),
        values=tuple(shown(value) for value in values if value is not None),
        known_values=tuple(map(shown, inner["examples"])) if "pattern" in inner and "examples" in inner else (),
        limits=", ".join(_limits(schema, inner)),
        link=link,
        inside=tuple(properties_of(made_of, schemas, depth - 1)) if depth else (),
    )


def kind_of(schema: Schema) -> str:
    """Return the type in words, such as ``array of string or null``."""
    if "$ref" in schema:
        return link_of(schema)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind_of(each) for each in schema["anyOf"]))
    kind = schema.get("type", "string" if "enum" in schema else "any")
    if kind == "array" and items_of(schema):
        return f"array of {kind_of(items_of(schema))}"
    members = schema.get("additionalProperties")
    if kind == "object" and isinstance(members, Mapping):
        return f"object of {kind_of(members)}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def items_of(schema: Schema) -> Schema:
    """Return what an array holds; of one with places of their own (pairs, say) what the first place holds."""
    items = schema.get("items")
    return items if isinstance(items, Mapping) else next(iter(schema.get("prefixItems", ())), {})


def link_of(schema: Schema) -> str:
    """Return the name of the schema that is referred to, or nothing."""
    return str(schema.get("$ref", "")).removeprefix(_REF)


def without_null(schema: Schema) -> Schema:
    """Return the one kind that stands beside null, or the schema itself."""
    members = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    return members[0] if len(members) == 1 else schema


def _limits(schema: Schema, inner: Schema) -> Iterator[str]:
    for key, text in _LIMITS.items():
        if key in inner and inner[key] not in _OF_THE_FORMAT:
            limit = text.format(f"{inner[key]:,}")
            yield limit.removesuffix("s") if inner[key] == 1 and key != "minimum" else limit
    default = schema.get("default", inner.get("default"))
    if default not in (None, "", [], {}):
        yield f"{shown(default).removesuffix('.0')} when left out"
