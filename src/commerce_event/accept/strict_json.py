"""Decode strict JSON (RFC 8259), so that every parser reads the same value from it.

Refuses bad syntax, names that occur twice in an object, numbers beyond a double, half surrogate pairs, and nesting
deeper than ``MAX_DEPTH``. The common case costs one native parse. The reason is searched for only after a
refusal, and only in bodies up to ``SEARCH_MAX``. Why not the standard library: docs/decisions/0016.
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
# Possessive quantifiers, so that no input makes them slow. A string without an end runs to the end of the body.
_STRING: Final = rb'"(?:[^"\\]++|\\.?)*+"?'
_STRINGS: Final = re.compile(_STRING, re.DOTALL)
# Numbers that may be beyond a double: those with an exponent, and long ones.
_NUMBERS: Final = re.compile(
    _STRING + rb"|(?<![0-9.eE+-])(-?[0-9][0-9.]*+[eE][0-9+-]++|-?[0-9][0-9.]{300,}+|-?Infinity|NaN)", re.DOTALL
)
_ESCAPES: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_NOT_STRUCTURE: Final = bytes(set(range(256)) - set(b'[]{}:"'))
_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_INT_DIGITS_MAX: Final = 4300  # the limit of Python
SEARCH_MAX: Final = 512 * 1024  # bytes of a body in which a fault is searched for

_DECODER: Final = msgspec.json.Decoder()
_ENCODER: Final = msgspec.json.Encoder()


class _Members(list[tuple[str, Any]]):
    """An object with all its members, repeated ones included."""


_SYNTAX: Final = json.JSONDecoder(parse_int=float)
_ALL_MEMBERS: Final = json.JSONDecoder(object_pairs_hook=_Members, parse_int=float)


def load(body: bytes, max_depth: int = MAX_DEPTH) -> Any:
    """Decode JSON that is nested at most ``max_depth`` levels deep.

    Raises NotJsonError with the reason and, where known, the byte.
    """
    try:
        value = _DECODER.decode(body)
    except (ValueError, RecursionError) as error:
        check_depth(body, max_depth)
        raise not_json(body, error) from None
    # A flat object with as many colons as names repeats none: no colon is left for another name.
    is_flat = type(value) is dict and body.count(b":") == len(value)
    if not is_flat or body.count(b"{") + body.count(b"[") > max_depth:
        _check_shape(value, body, max_depth)
    return value


def check_depth(body: bytes, max_depth: int = MAX_DEPTH) -> None:
    """Raise NotJsonError when arrays and objects are nested deeper than ``max_depth``."""
    if body.count(b"{") + body.count(b"[") <= max_depth:
        return
    brackets = _STRINGS.sub(b"", body).translate(None, _NOT_BRACKETS)
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > max_depth:
        raise too_deep(max_depth)


def too_deep(max_depth: int = MAX_DEPTH) -> NotJsonError:
    """Return the error of JSON that is nested too deeply."""
    return NotJsonError(f"The JSON is nested more than {max_depth} levels deep; flatten it.")


def not_json(body: bytes, error: Exception) -> NotJsonError:
    """Return the reason why msgspec refused the bytes with this error."""
    fault = _encoding_fault(body)
    if fault is None and len(body) <= SEARCH_MAX:
        fault = _syntax_fault(body) or _value_fault(body)
    return fault or NotJsonError(f"The body is not JSON: {str(error).removeprefix('JSON is malformed: ')}.")


def _check_shape(value: Any, body: bytes, max_depth: int) -> None:
    """Raise NotJsonError for JSON that is nested too deeply, or repeats a name. Native, as bodies may be large."""
    if body.count(b"{") + body.count(b"[") > max_depth and _is_deeper(body, max_depth):
        raise too_deep(max_depth)
    # Each name has one colon. More colons belong to names that the parser has dropped.
    kept = _ENCODER.encode(value)
    if kept.count(b":") == body.count(b":") and b"\\u003" not in body:
        return
    if _outside_strings(kept).count(b":") != _outside_strings(body).count(b":"):
        raise _repeated_name(body)


def _is_deeper(body: bytes, max_depth: int) -> bool:
    """Tell whether valid JSON is nested deeper than ``max_depth``. Each round removes the innermost level."""
    brackets = _outside_strings(body).translate(_SQUARE, _NOT_BRACKETS)
    for _ in range(max_depth):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _outside_strings(body: bytes) -> bytes:
    """Return the brackets and colons of valid JSON that are not in strings."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(body.translate(None, _NOT_STRUCTURE).split(b'"')[::2])


def _repeated_name(body: bytes) -> NotJsonError:
    path = _first_repeated(_ALL_MEMBERS.decode(body.decode())) or [""]
    shown = json.dumps(str(path[0])[:100], ensure_ascii=False)
    return NotJsonError(
        f"The name {shown} occurs twice in one object; remove one of the two.",
        [Fault(reduce(child, reversed(path), ""), "occurs twice in its object")],
    )


def _first_repeated(value: Any) -> list[str | int] | None:
    """Return the path to the first member whose name repeats another of its object, innermost step first."""
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
        return NotJsonError("The body looks like UTF-16 or UTF-32 (byte 0); send UTF-8.")
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
        what = error.msg.removesuffix(" at")
        return NotJsonError(f"The body is not JSON: {what} at byte {len(text[: error.pos].encode())}.")
    return None


def _value_fault(body: bytes) -> NotJsonError | None:
    """Find a number or an escape that the standard library accepts and msgspec does not."""
    for number in _NUMBERS.finditer(body):
        if number[1] and _is_beyond_double(number[1]):
            return NotJsonError(f"The number at byte {number.start()} is not finite, or too long for a JSON reader.")
    for escape in _ESCAPES.finditer(body):
        if escape[1]:
            return NotJsonError(f"The escape at byte {escape.start()} is half a surrogate pair, not a character.")
    return None


def _is_beyond_double(number: bytes) -> bool:
    digits = number.removeprefix(b"-")
    return len(digits) > _INT_DIGITS_MAX if digits.isdigit() else not math.isfinite(float(number))
