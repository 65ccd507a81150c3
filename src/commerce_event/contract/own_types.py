"""Event types of one's own: made of a name and a JSON Schema, they are used like those of the contract."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

import msgspec

from commerce_event.contract import types as t
from commerce_event.contract.catalogue import EVENT_TYPES, BusinessKey, EventType, Kind
from commerce_event.contract.json_schema import InvalidSchemaError, Misfit, SchemaValidator
from commerce_event.contract.schema import LIMITS, Format, Property, properties_of

TYPES_MAX: Final = 50
MISFITS_MAX: Final = 20
_NAME: Final = re.compile(r"[A-Z][A-Za-z0-9]{2,79}")
_PLAIN: Final[dict[str, Format]] = {each: each for each in get_args(Format)} | {"number": "double", "integer": "int64"}
# What every event may have; the client is required.
ROUTING: Final = tuple(properties_of(t.ClientEvent))
# Events of one's own about an order, a product … are in one order with those of the contract about the same one.
_KEYS: Final = {name: BusinessKey(kind.key.prefix, (name,)) for kind in EVENT_TYPES.values() for name in kind.key.names}


class InvalidTypeError(ValueError):
    """The type cannot be used. Each misfit's path begins with the field that it is in."""

    def __init__(self, misfits: Sequence[Misfit]) -> None:
        super().__init__(misfits[0].message)
        self.misfits = tuple(misfits)


def is_name(text: str) -> bool:
    """Tell whether a text can name a type or a category."""
    return _NAME.fullmatch(text) is not None


def own_type(
    name: str, category: str, kind: Kind, description: str, schema: Mapping[str, Any], example: dict[str, Any]
) -> EventType:
    """Return a type of one's own, without comparing its example with its schema. Raises InvalidTypeError."""
    try:
        validator = SchemaValidator(schema)
    except InvalidSchemaError as error:
        raise InvalidTypeError([Misfit(("schema", *error.path), str(error))]) from None
    if schema.get("type", "object") != "object":
        raise InvalidTypeError([Misfit(("schema", "type"), "must be object: an event is one")])
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


def example_misfits(event_type: EventType) -> list[Misfit]:
    """Return where the example of a type of one's own does not fit its schema, or is no event."""
    example = event_type.example
    found = []
    for field in ROUTING:
        low, high = LIMITS[field.format]
        value = example.get(field.name)
        absent = value is None and not field.required
        if not absent and not (type(value) is int and low <= value <= high):
            found.append(Misfit(("example", field.name), f"must be a whole number from {low} to {high}"))
    if event_type.validator is not None:
        body = msgspec.json.encode(example)
        misfits = event_type.validator.misfits(example, body, MISFITS_MAX)
        known = {each.path for each in found}
        found += [Misfit(("example", *path), text) for path, text in misfits if ("example", *path) not in known]
    return found
