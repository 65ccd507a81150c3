"""JSON as RFC 8259 has it and no more: what is loaded here reads the same in every careful parser.

Refused besides bad syntax: names that occur twice in an object, numbers beyond a double, half surrogate pairs,
nesting deeper than ``MAX_DEPTH``. The common case costs one native parse; reasons are looked for only after a refusal.
"""

import codecs
import json
import math
import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, Final

import msgspec

from commerce_event.accept.rejections import Fault, NotJsonError, child

MAX_DEPTH: Final = 64

_WHITESPACE: Final = b" \t\n\r"
# Possessive, so that no input makes them slow; a string without an end runs to the end of the body.
_STRING: Final = rb'"(?:[^"\\]++|\\.?)*+"?'
_STRINGS: Final = re.compile(_STRING, re.DOTALL)
_NUMBERS: Final = re.compile(_STRING + rb"|(-?[0-9][0-9.eE+-]*+|-?Infinity|NaN)", re.DOTALL)
_ESCAPES: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_INT_DIGITS_MAX: Final = 4300  # where Python itself stops

_DECODER: Final = msgspec.json.Decoder()


class _RepeatedNameError(ValueError):
    pass


class _Members(list[tuple[str, Any]]):
    """An object of which no member has been dropped."""


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise _RepeatedNameError
    return found


_UNIQUE: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_int=float)
_ALL_MEMBERS: Final = json.JSONDecoder(object_pairs_hook=_Members, parse_int=float)


def load(body: bytes, most: int = MAX_DEPTH) -> Any:
    """Return the value that the bytes stand for, nested at most ``most`` deep.

    Raises NotJsonError with the reason and, where known, the byte.
    """
    check_depth(body, most)
    try:
        value = _DECODER.decode(body)
    except ValueError:
        raise not_json(body) from None
    # An object with as many colons as names repeats none, and nothing inside it has a name.
    if type(value) is not dict or body.count(b":") != len(value):
        _check_unique(body)
    return value


def check_depth(body: bytes, most: int = MAX_DEPTH) -> None:
    """Raise NotJsonError when arrays and objects are nested deeper than ``most``."""
    if body.count(b"{") + body.count(b"[") <= most:
        return
    brackets = _STRINGS.sub(b"", body).translate(None, _NOT_BRACKETS)
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > most:
        raise NotJsonError(f"The JSON is nested more than {most} levels deep; flatten it.")


def not_json(body: bytes) -> NotJsonError:
    """Return why bytes that the parser refused are not JSON."""
    return _encoding_fault(body) or _syntax_fault(body) or _value_fault(body) or NotJsonError("The body is not JSON.")


def _check_unique(body: bytes) -> None:
    try:
        _UNIQUE.decode(body.decode())
    except _RepeatedNameError:
        pointer, name = next(_repeated(_ALL_MEMBERS.decode(body.decode()), ""))
        shown = json.dumps(name[:100], ensure_ascii=False)
        raise NotJsonError(
            f"The name {shown} occurs twice in one object; keep one of the two.",
            [Fault(pointer, "occurs twice in its object")],
        ) from None
    except ValueError:
        raise not_json(body) from None


def _repeated(value: Any, pointer: str) -> Iterator[tuple[str, str]]:
    """Yield pointer and name of each member whose name was used before in the same object."""
    if isinstance(value, _Members):
        seen: set[str] = set()
        for name, member in value:
            yield from _repeated(member, child(pointer, name))
            if name in seen:
                yield child(pointer, name), name
            seen.add(name)
    elif isinstance(value, list):
        for index, element in enumerate(value):
            yield from _repeated(element, child(pointer, index))


def _encoding_fault(body: bytes) -> NotJsonError | None:
    if not body.strip(_WHITESPACE):
        return NotJsonError("The body is empty; send a JSON value.")
    if body.startswith(codecs.BOM_UTF8):
        return NotJsonError("The body starts with a byte order mark (byte 0); send UTF-8 without one.")
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in body[:2]:
        return NotJsonError("The body seems to be UTF-16 or UTF-32 (byte 0); send UTF-8.")
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return NotJsonError(f"The body is not UTF-8 at byte {error.start}.")
    return None


def _syntax_fault(body: bytes) -> NotJsonError | None:
    text = body.decode()
    try:
        _ALL_MEMBERS.decode(text)
    except json.JSONDecodeError as error:
        what = "more follows after the end" if error.msg == "Extra data" else error.msg.removesuffix(" at").lower()
        return NotJsonError(f"The body is not JSON: {what}, at byte {len(text[: error.pos].encode())}.")
    return None


def _value_fault(body: bytes) -> NotJsonError | None:
    """Look for what Python's own parser lets pass."""
    for number in _NUMBERS.finditer(body):
        if number[1] and _is_beyond_double(number[1]):
            return NotJsonError(f"The number at byte {number.start()} is not finite, or too long for a JSON reader.")
    for escape in _ESCAPES.finditer(body):
        if escape[1]:
            return NotJsonError(f"The escape at byte {escape.start()} is half a surrogate pair, which is no character.")
    return None


def _is_beyond_double(number: bytes) -> bool:
    digits = number.removeprefix(b"-")
    return len(digits) > _INT_DIGITS_MAX if digits.isdigit() else not math.isfinite(float(number))
