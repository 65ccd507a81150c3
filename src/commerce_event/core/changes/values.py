"""Compare values of rows, and read them as the properties of a notification."""

import math
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec
from msgspec import UNSET

from commerce_event.contract.properties import INT32_MAX, INT32_MIN
from commerce_event.contract.schema import Format

_DIGITS_MAX: Final = 60  # of a number in text form


def is_same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def is_same_number(one: Any, other: Any) -> bool:
    """Tell whether two values are the same number, also as text; values that are no numbers are compared as such."""
    first, second = as_number(one), as_number(other)
    return is_same(one, other) if first is None or second is None else first == second


def as_number(value: Any) -> Decimal | None:
    """Return a finite number, or a text that is one, exactly; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, float):
        return Decimal(repr(value)) if math.isfinite(value) else None
    if not isinstance(value, str) or not 0 < len(value) <= _DIGITS_MAX:
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number.adjusted()) <= _DIGITS_MAX else None


def as_property(value: Any, format_: Format) -> Any:
    """Return a value of a row in the format of a property; UNSET when it cannot have it.

    Columns may hold a number as text, or a part number as a number.
    """
    if format_ == "string":
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return UNSET
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        return UNSET if "\0" in text else text  # the contract has no U+0000
    number = as_number(value)
    if number is None:
        return UNSET
    if format_ == "double":
        double = float(number)
        return double if math.isfinite(double) else UNSET
    if number != number.to_integral_value() or not INT32_MIN <= number <= INT32_MAX:
        return UNSET
    return int(number)


def identity(value: Any) -> Any:
    """Return a value of a key as text, since some producers write numbers as text, or as 12.0."""
    if isinstance(value, list):
        return [identity(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def canonical(values: Any) -> str:
    """Return JSON with names in order, so that equal values give equal text."""
    return msgspec.json.encode(values, order="deterministic").decode()
