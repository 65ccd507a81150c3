"""Find the places where an event breaks the contract, and describe each in plain words."""

import re
from collections.abc import Mapping
from functools import reduce
from typing import Any, Final

from commerce_event.contract.catalogue import EventType
from commerce_event.contract.json_schema import SchemaValidator
from commerce_event.contract.own_types import ROUTING
from commerce_event.contract.properties import TABLE_NAME_PATTERN
from commerce_event.contract.schema import LIMITS, Property
from commerce_event.core.problems import Fault, child

FAULTS_MAX: Final = 20
_POINTER_MAX: Final = 500  # letters: twenty long ones would be many times as long as the event
_CLIENT: Final = next(field for field in ROUTING if field.name == "ClientId")
_NUL: Final = "must not contain the character U+0000"
_TABLE_NAME: Final = re.compile(TABLE_NAME_PATTERN)
_KINDS: Final[dict[type, str]] = {
    bool: "true or false",
    int: "a number",
    float: "a fraction or an exponent",
    str: "text",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def find_faults(event_type: EventType, data: Mapping[str, Any]) -> tuple[Fault, ...]:
    """Return the faults of the properties of a type of the contract, at most 20; none when the event keeps it."""
    faults = []
    for field in event_type.fields:
        message = _fault(field, data)
        if message is not None:
            faults.append(Fault(child("", field.name), message))
    return tuple(faults[:FAULTS_MAX])


def find_own_faults(validator: SchemaValidator, data: dict[str, Any], body: bytes) -> tuple[Fault, ...]:
    """Return where an event of an own type does not fit its schema, at most 20 places.

    A pointer of more than 500 letters is cut.
    """
    faults = [Fault(child("", field.name), message) for field in ROUTING if (message := _fault(field, data))]
    known = {fault.pointer for fault in faults}
    for path, message in validator.violations(data, body, FAULTS_MAX):
        pointer = reduce(child, path, "")[:_POINTER_MAX]
        if pointer not in known:
            faults.append(Fault(pointer, message))
    return tuple(faults[:FAULTS_MAX])


def find_unusable(event_type: EventType, data: Mapping[str, Any]) -> tuple[Fault, ...]:
    """Return the faults that no validation mode accepts: of the ClientId, and of text that databases cannot hold."""
    found = [Fault(child("", _CLIENT.name), message)] if (message := _fault(_CLIENT, data)) else []
    for name in event_type.properties:
        value = data.get(name)
        if isinstance(value, str) and "\0" in value:
            found.append(Fault(child("", name), _NUL))
    return tuple(found)


def find_misspelt(event_type: EventType, data: Mapping[str, Any]) -> tuple[Fault, ...]:
    """Return the names that differ from the contract's in case only, at most 20.

    Receivers that ignore case would read such a property in place of the contract's.
    """
    right = event_type.folded_names
    wrong = [name for name in data if name not in event_type.properties and name.casefold() in right]
    return tuple(
        Fault(child("", name), f"is written {right[name.casefold()]} in the contract") for name in wrong[:FAULTS_MAX]
    )


def _fault(field: Property, data: Mapping[str, Any]) -> str | None:
    value = data.get(field.name)
    if value is None and not field.required:  # null means absent
        return None
    if field.name not in data:
        return "is required"
    if field.format in LIMITS:
        return _integer_fault(field, value)
    if field.format == "double":
        return _number_fault(value)
    return _text_fault(field, value)


def _integer_fault(field: Property, value: Any) -> str | None:
    low, high = LIMITS[field.format]
    wanted = f"must be {_one_of(field)}" if field.values else f"must be a whole number from {low} to {high}"
    if type(value) is not int:
        return f"{wanted}, not {_KINDS[type(value)]}"
    fits = value in field.values if field.values else low <= value <= high
    return None if fits else wanted


def _number_fault(value: Any) -> str | None:
    if type(value) not in (int, float):
        return f"must be a number, not {_KINDS[type(value)]}"
    try:
        float(value)
    except OverflowError:
        return "must be a number that fits a double (64 bits)"
    return None


def _text_fault(field: Property, value: Any) -> str | None:
    if not isinstance(value, str):
        kind = _KINDS[type(value)] if type(value) is not float else "a number"
        return f"must be text, not {kind}"
    if "\0" in value:
        return _NUL
    if field.values and value not in field.values:
        return f"must be {_one_of(field)}"
    if field.known_values and not _TABLE_NAME.match(value):
        return "must be the name of a data table: t, a capital, then letters and digits, such as tCategory"
    return None


def _one_of(field: Property) -> str:
    return "one of " + ", ".join(map(str, field.values)) if len(field.values) > 1 else str(field.values[0])
