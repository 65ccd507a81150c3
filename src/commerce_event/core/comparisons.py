"""The comparisons of filters: each takes the wanted value and returns a check for the found value.

A value that is absent, or of another type than the wanted one, does not pass; ``ne`` and ``not_in`` are the exact
opposites of ``eq`` and ``in``. True is not 1. Every check takes time proportional to the length of the texts.
"""

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import UNSET

TEXT_MAX: Final = 256
LIST_MAX: Final = 100
# CPython searches texts in linear time from 30,000 characters on. Below, its search is quadratic in the worst case,
# so longer texts than these are padded.
_SHORT_TEXT: Final = 1_024
_LINEAR_FROM: Final = 30_000

ValueCheck = Callable[[Any], bool]
_SCALARS: Final = (str, int, float, type(None))  # bool is an int


class InvalidWantedError(ValueError):
    """The comparison does not work with this value; the message continues a sentence that begins with its name."""


def _equal(wanted: Any) -> ValueCheck:
    _check_scalar(wanted)
    if isinstance(wanted, str):
        return lambda found: bool(found == wanted)
    if wanted is None or isinstance(wanted, bool):
        return lambda found: found is wanted
    return lambda found: _is_number(found) and bool(found == wanted)


def _one_of(wanted: Any) -> ValueCheck:
    if not isinstance(wanted, list) or not 1 <= len(wanted) <= LIST_MAX:
        raise InvalidWantedError(f"needs a list of 1 to {LIST_MAX} values")
    for value in wanted:
        _check_scalar(value)
    values = frozenset((value.__class__ is bool, value) for value in wanted)
    return lambda found: isinstance(found, _SCALARS) and (found.__class__ is bool, found) in values


def _opposite(make: Callable[[Any], ValueCheck]) -> Callable[[Any], ValueCheck]:
    def make_opposite(wanted: Any) -> ValueCheck:
        check = make(wanted)
        return lambda found: not check(found)

    return make_opposite


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any], ValueCheck]:
    def make(wanted: Any) -> ValueCheck:
        if isinstance(wanted, str):
            _check_scalar(wanted)
            return lambda found: isinstance(found, str) and compare(found, wanted)
        if not _is_number(wanted):
            raise InvalidWantedError("needs a number or a text")
        _check_scalar(wanted)
        return lambda found: _is_number(found) and compare(found, wanted)

    return make


def _textual(compare: Callable[[str, str], bool]) -> Callable[[Any], ValueCheck]:
    def make(wanted: Any) -> ValueCheck:
        if not isinstance(wanted, str) or not wanted:
            raise InvalidWantedError("needs a text that is not empty")
        _check_scalar(wanted)
        return lambda found: isinstance(found, str) and compare(found, wanted)

    return make


def _contains(text: str, wanted: str) -> bool:
    if not _SHORT_TEXT < len(text) < _LINEAR_FROM:
        return wanted in text
    found = text.ljust(_LINEAR_FROM).find(wanted)
    return 0 <= found <= len(text) - len(wanted)


def _exists(wanted: Any) -> ValueCheck:
    if not isinstance(wanted, bool):
        raise InvalidWantedError("needs true or false")
    return lambda found: (found is not UNSET) is wanted


COMPARISONS: Final[Mapping[str, Callable[[Any], ValueCheck]]] = {
    "eq": _equal,
    "ne": _opposite(_equal),
    "in": _one_of,
    "not_in": _opposite(_one_of),
    "gt": _ordered(operator.gt),
    "gte": _ordered(operator.ge),
    "lt": _ordered(operator.lt),
    "lte": _ordered(operator.le),
    "prefix": _textual(str.startswith),
    "suffix": _textual(str.endswith),
    "contains": _textual(_contains),
    "exists": _exists,
}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_scalar(value: object) -> None:
    if not isinstance(value, _SCALARS):
        raise InvalidWantedError("needs a text, a number, true, false or null")
    if isinstance(value, str) and len(value) > TEXT_MAX:
        raise InvalidWantedError(f"needs a text of at most {TEXT_MAX} characters")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidWantedError("needs a finite number")
