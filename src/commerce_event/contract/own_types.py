"""Own event types: made of a name and a JSON Schema, and used like those of the contract."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

import msgspec

from commerce_event.contract import types as t
from commerce_event.contract.catalogue import EVENT_TYPES, BusinessKey, EventType, Kind
from commerce_event.contract.json_schema import InvalidSchemaError, SchemaValidator, Violation
from commerce_event.contract.schema import LIMITS, Format, Property, properties_of

TYPES_MAX: Final = 50
VIOLATIONS_MAX: Final = 20
_NAME: Final = re.compile(r"[A-Z][A-Za-z0-9]{2,79}")
_PLAIN: Final[dict[str, Format]] = {each: each for each in get_args(Format)} | {"number": "double", "integer": "int64"}
# What every event may have; the client is required.
ROUTING: Final = tuple(properties_of(t.ClientEvent))
# Events of own types are in one order with the events of the contract about the same order, product or customer.
_KEYS: Final = {name: BusinessKey(kind.key.prefix, (name,)) for kind in EVENT_TYPES.values() for name in kind.key.names}


class InvalidTypeError(ValueError):
    """The type cannot be used. Each violation's path begins with the field that it is in."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__(violations[0].message)
        self.violations = tuple(violations)


def is_name(text: str) -> bool:
    """Tell whether a text can name a type or a category."""
    return _NAME.fullmatch(text) is not None


def own_type(
    name: str, category: str, kind: Kind, description: str, schema: Mapping[str, Any], example: dict[str, Any]
) -> EventType:
    """Return an own event type, without comparing its example with its schema. Raises InvalidTypeError."""
    try:
        validator = SchemaValidator(schema)
    except InvalidSchemaError as error:
        raise InvalidTypeError([Violation(("schema", *error.path), str(error))]) from None
    if schema.get("type", "object") != "object":
        raise InvalidTypeError([Violation(("schema", "type"), "must be object: an event is one")])
    given = schema.get("properties", {})
    required = schema.get("required", ())
    fields = list(ROUTING)
    names = {field.name for field in fields}
    fields += [_field(each, about, each in required) for each, about in given.items() if each not in names]
    return EventType(
        name=name,
        category=category,
        kind=kind,
        description=description,
        model=None,
        example=example,
        fields=tuple(fields),
        properties=frozenset(field.name for field in fields),
        key=next((_KEYS[each] for each in given if each in _KEYS), BusinessKey("", ())),
        own_schema=dict(schema),
        validator=validator,
    )


def _field(name: str, about: Any, required: bool) -> Property:
    schema = about if isinstance(about, dict) else {}
    kinds = schema.get("type", "any")
    kind = next((each for each in kinds if each != "null"), "any") if isinstance(kinds, list) else kinds
    values = schema.get("enum", ())
    return Property(
        name=name,
        format=_PLAIN.get(kind, "any"),
        required=required,
        description=str(schema.get("description", "")),
        values=tuple(each for each in values if isinstance(each, str | int)),
    )


def example_violations(event_type: EventType) -> list[Violation]:
    """Return where the example of an own event type does not fit its schema, or is no event."""
    example = event_type.example
    found = []
    for field in ROUTING:
        low, high = LIMITS[field.format]
        value = example.get(field.name)
        absent = value is None and not field.required
        if not absent and not (type(value) is int and low <= value <= high):
            found.append(Violation(("example", field.name), f"must be a whole number from {low} to {high}"))
    if event_type.validator is not None:
        body = msgspec.json.encode(example)
        violations = event_type.validator.violations(example, body, VIOLATIONS_MAX)
        known = {each.path for each in found}
        found += [Violation(("example", *path), text) for path, text in violations if ("example", *path) not in known]
    return found
