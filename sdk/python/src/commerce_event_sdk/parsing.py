"""Make an event of a body, and check it against the contract."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, Final, Literal, NamedTuple, TypeVar, get_type_hints

from commerce_event_sdk.event import CommerceEvent, InvalidEventError, UnknownEvent
from commerce_event_sdk.models import MODELS

UnknownProperties = Literal["keep", "ignore", "reject"]
Event = TypeVar("Event", bound=CommerceEvent)
_LIMITS: Final = {"int32": 2**31, "int64": 2**63}
_ERRORS_MAX: Final = 20
_DOUBLE_MAX: Final = sys.float_info.max
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")  # an escape that is half of a character unless it has its pair


class _Property(NamedTuple):
    name: str
    is_required: bool
    fault: Callable[[Any], str | None]  # returns what is wrong with a value


def _no_such_number(name: str) -> float:
    raise ValueError(f"{name} is not a number in JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_such_number)


def parse(
    event_type: str, body: bytes, *, unknown_properties: UnknownProperties = "keep"
) -> CommerceEvent | UnknownEvent:
    """Return the event of a body: an object of its class, or UnknownEvent for a type without one.

    Properties that the class does not know are kept in ``extra``, ignored, or rejected.
    Raises InvalidEventError with a pointer for each fault.
    """
    data = parse_object(body)
    model = MODELS.get(event_type)
    if model is None:
        return UnknownEvent(event_type, data)
    return event_of(model, data, unknown_properties)


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body. Raises InvalidEventError."""
    try:
        data = _DECODER.decode(body.decode())
        if _SURROGATE.search(body):
            json.dumps(data, ensure_ascii=False).encode()  # raises UnicodeEncodeError, which is a ValueError
    except (ValueError, RecursionError) as error:
        raise InvalidEventError([("", f"is not JSON in UTF-8: {error}")]) from None
    if not isinstance(data, dict):
        raise InvalidEventError([("", "must be a JSON object")])
    return data


def event_of(model: type[Event], data: Mapping[str, Any], unknown_properties: UnknownProperties) -> Event:
    """Return the event of a JSON object as an object of the class. Raises InvalidEventError."""
    values: dict[str, Any] = {}
    errors: list[tuple[str, str]] = []
    a_class: Any = model
    properties = _properties(a_class)
    for name, is_required, fault in properties:
        value = data.get(name)
        if value is None:
            if is_required:
                errors.append((f"/{name}", "must not be null" if name in data else "is required"))
            continue
        wrong = fault(value)
        if wrong is None:
            values[name] = value
        else:
            errors.append((f"/{name}", wrong))
    if unknown_properties != "ignore" and len(values) < len(data):
        known = {name for name, _, _ in properties}
        extra = {name: value for name, value in data.items() if name not in known}
        if extra and unknown_properties == "reject":
            errors += [(f"/{_escape(name)}", "is not a property of this event type") for name in extra]
        elif extra:
            values["extra"] = extra
    if errors:
        raise InvalidEventError(errors[:_ERRORS_MAX])
    values.setdefault("extra", {})
    event: Event = object.__new__(model)
    event.__dict__.update(values)  # half the time of __init__; an absent property has the None of the class
    return event


def _escape(name: str) -> str:
    """Return the name as a part of a JSON pointer (RFC 6901)."""
    return name[:100].replace("~", "~0").replace("/", "~1")


@cache
def _properties(model: type[Any]) -> tuple[_Property, ...]:
    hints = get_type_hints(model, include_extras=True)
    return tuple(
        _Property(each.name, each.default is MISSING, _fault_of(hints[each.name]))
        for each in fields(model)
        if each.name != "extra"
    )


def _fault_of(hint: Any) -> Callable[[Any], str | None]:
    """Return the check of a type: ``str``, ``Int32``, ``Int64``, ``Double``, or one of them or None."""
    members = getattr(hint, "__args__", ())
    metadata = getattr(hint, "__metadata__", None)
    if metadata is None:
        return _fault_of(members[0]) if members else _fault_of_text
    form = metadata[0]
    return _fault_of_number if form == "double" else _integer_check(_LIMITS[form])


def _fault_of_text(value: Any) -> str | None:
    return None if isinstance(value, str) else "must be a string"


def _fault_of_number(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "must be a number"
    return None if -_DOUBLE_MAX <= value <= _DOUBLE_MAX else "is too large"


def _integer_check(limit: int) -> Callable[[Any], str | None]:
    def fault(value: Any) -> str | None:
        if value.__class__ is not int:
            return "must be an integer"
        return None if -limit <= value < limit else f"must be from {-limit} to {limit - 1}"

    return fault
