"""JSON as RFC 8259 has it and no more: what is loaded here reads the same in every careful parser.

Refused besides bad syntax: names that occur twice in an object, numbers beyond a double, half surrogate pairs,
nesting deeper than ``MAX_DEPTH``. The common case costs one native parse; reasons are looked for only after a refusal,
and in large bodies only as far as the parser tells them.
"""

import codecs
import json
import math
import re
from functools import reduce
from itertools import accumulate
from typing import Any, Final

import msgspec

from commerce_event.accept.errors import NotJsonError
from commerce_event.core.problems import Fault, child

MAX_DEPTH: Final = 64

_WHITESPACE: Final = b" \t\n\r"
# Possessive, so that no input makes them slow; a string without an end runs to the end of the body.
_STRING: Final = rb'"(?:[^"\\]++|\\.?)*+"?'
_STRINGS: Final = re.compile(_STRING, re.DOTALL)
# Of numbers those that may be beyond a double: with an exponent, or long.
_NUMBERS: Final = re.compile(
    _STRING + rb"|(?<![0-9.eE+-])(-?[0-9][0-9.]*+[eE][0-9+-]++|-?[0-9][0-9.]{300,}+|-?Infinity|NaN)", re.DOTALL
)
_ESCAPES: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_INT_DIGITS_MAX: Final = 4300  # where Python itself stops
SEARCH_MAX: Final = 512 * 1024  # bytes in which the place of a fault is looked for
_BYTE: Final = re.compile(r"(?:JSON is malformed: )?(.+) \(byte (\d+)\)")

_DECODER: Final = msgspec.json.Decoder()


class _Members(list[tuple[str, Any]]):
    """An object of which no member has been dropped."""


_SYNTAX: Final = json.JSONDecoder(parse_int=float)
_ALL_MEMBERS: Final = json.JSONDecoder(object_pairs_hook=_Members, parse_int=float)


def load(body: bytes, most: int = MAX_DEPTH) -> Any:
    """Return the value that the bytes stand for, nested at most ``most`` deep.

    Raises NotJsonError with the reason and, where known, the byte.
    """
    try:
        value = _DECODER.decode(body)
    except (ValueError, RecursionError) as error:
        check_depth(body, most)
        raise not_json(body, error) from None
    # An object with as many colons as names repeats none, and nothing inside it has a name.
    names_are_outside = type(value) is dict and body.count(b":") == len(value)
    if not names_are_outside or body.count(b"{") + body.count(b"[") > most:
        _check_shape(value, body, most)
    return value


def check_depth(body: bytes, most: int = MAX_DEPTH) -> None:
    """Raise NotJsonError when arrays and objects are nested deeper than ``most``."""
    if body.count(b"{") + body.count(b"[") <= most:
        return
    brackets = _STRINGS.sub(b"", body).translate(None, _NOT_BRACKETS)
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > most:
        raise too_deep(most)


def too_deep(most: int = MAX_DEPTH) -> NotJsonError:
    """Arrays and objects are nested deeper than ``most``."""
    return NotJsonError(f"The JSON is nested more than {most} levels deep; flatten it.")


def not_json(body: bytes, error: Exception) -> NotJsonError:
    """Return why bytes that the parser refused with an error are not JSON."""
    fault = _encoding_fault(body)
    if fault is None and len(body) <= SEARCH_MAX:
        fault = _syntax_fault(body) or _value_fault(body)
    return fault or _told_fault(error)


def _check_shape(value: Any, body: bytes, most: int) -> None:
    depth, names, colons = _measure(value, most)
    if depth > most:
        raise too_deep(most)
    # Each name has a colon of its own; more colons than that are those of names that were dropped.
    if names + colons == body.count(b":") and b"\\u003" not in body:
        return
    if names != _STRINGS.sub(b"", body).count(b":"):
        check_depth(body, most)  # it may be what was dropped that is nested deeply
        raise _repeated_name(body)


def _measure(value: Any, most: int) -> tuple[int, int, int]:
    """Return how deep a value is nested, how many names it has and how many colons in its texts.

    Nothing deeper than one level beyond ``most`` is looked at.
    """
    depth = names = colons = 0
    level = [value]
    while level and depth <= most:
        inner: list[Any] = []
        nested = False
        for each in level:
            kind = type(each)
            if kind is str:
                colons += each.count(":")
            elif kind is dict:
                names += len(each)
                colons += "".join(each).count(":")
                inner += each.values()
                nested = True
            elif kind is list:
                inner += each
                nested = True
        depth += nested
        level = inner
    return depth, names, colons


def _repeated_name(body: bytes) -> NotJsonError:
    path = _first_repeated(_ALL_MEMBERS.decode(body.decode())) or [""]
    shown = json.dumps(str(path[0])[:100], ensure_ascii=False)
    return NotJsonError(
        f"The name {shown} occurs twice in one object; keep one of the two.",
        [Fault(reduce(child, reversed(path), ""), "occurs twice in its object")],
    )


def _first_repeated(value: Any) -> list[str | int] | None:
    """Return the way to the first member whose name was used before in the same object, from inside out."""
    seen: set[str | int] = set()
    is_object = type(value) is _Members
    for step, inner in value if is_object else enumerate(value):
        found = _first_repeated(inner) if isinstance(inner, list) else None
        if found is not None:
            return [*found, step]
        if is_object and step in seen:
            return [step]
        seen.add(step)
    return None


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
        _SYNTAX.decode(text)
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


def _told_fault(error: Exception) -> NotJsonError:
    told = _BYTE.fullmatch(str(error))
    where = "" if told is None else f": {told[1]}, at byte {told[2]}"
    return NotJsonError(f"The body is not JSON{where}.")


def _is_beyond_double(number: bytes) -> bool:
    digits = number.removeprefix(b"-")
    return len(digits) > _INT_DIGITS_MAX if digits.isdigit() else not math.isfinite(float(number))
