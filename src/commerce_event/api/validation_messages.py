"""What is wrong with a request body or query, in plain words instead of a decoder's."""

import re
from typing import Any, Final, get_args

import msgspec

_KINDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_OF: Final = {"str": "characters", "array": "items", "object": "members"}
_BOUNDS: Final = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_OTHER_KIND: Final = re.compile(r"Expected `([a-z |]+)`, got `([a-z]+)`")
_LENGTH: Final = re.compile(r"Expected `([a-z]+)` of length (>=|<=) (\d+)")
_RANGE: Final = re.compile(r"Expected `[a-z]+` (>=|<=|>|<) (-?[\d.]+?)(?:\.0)?")


def in_words(message: str, wanted: type, field: str | None) -> str:
    """Return what msgspec says of a field of ``wanted`` as the end of a sentence that begins with the field."""
    if message.startswith("Expected"):
        return _expected(message)
    if message.startswith("Object missing"):
        return "is required"
    if message.startswith("Object contains unknown"):
        return "is not known here"
    values = _choices(wanted, field) if message.startswith("Invalid enum") else []
    return f"must be one of {', '.join(values)}" if values else message


def _expected(message: str) -> str:
    if match := _OTHER_KIND.fullmatch(message):
        kinds = [_KINDS.get(kind, kind) for kind in match[1].split(" | ")]
        return f"must be {' or '.join(kinds)}, not {_KINDS.get(match[2], match[2])}"
    if match := _LENGTH.fullmatch(message):
        return "must not be empty" if match[2] == ">=" else f"must have at most {match[3]} {_OF[match[1]]}"
    if match := _RANGE.fullmatch(message):
        return f"must be {_BOUNDS[match[1]]} {match[2]}"
    return message


def _choices(wanted: type, field: str | None) -> list[str]:
    """Return the values that a field may have, when only some are allowed."""
    if not issubclass(wanted, msgspec.Struct):
        return []
    types = {each.encode_name: each.type for each in msgspec.structs.fields(wanted)}
    return [value for value in _leaves(types.get(field or "")) if isinstance(value, str)]


def _leaves(type_: Any) -> list[Any]:
    arguments = get_args(type_)
    return [leaf for each in arguments for leaf in _leaves(each)] if arguments else [type_]
