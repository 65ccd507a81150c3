"""Redaction: masks an endpoint's secrets in a receiver's answer, which is shown to people.

An endpoint may have thousands of words to mask, and its receiver chooses the answer. So only values that occur in the
answer are replaced, and an answer with very many of them is masked as a whole.
"""

import base64
from bisect import bisect_left
from contextlib import suppress
from typing import Final
from urllib.parse import unquote

from commerce_event.core.model import Endpoint
from commerce_event.core.receiver_text import receiver_text, without_controls
from commerce_event.deliver.connection import BODY_KEPT, VALUE_KEPT

MASK: Final = "***"
_ENCODINGS: Final = (
    "utf-8",
    "latin-1",
)  # a receiver may have read what was sent to it in either, and echo it in either
_SECRET_MIN: Final = 4  # characters; shorter values are no secrets, and would mask half of every answer
_WORD_MIN: Final = 8  # the same for a part of a value, such as the token after "Bearer"
_SEARCHED_MAX: Final = 64  # values that are searched for one by one; of more, those whose beginning occurs
_BEGINNING: Final = 8  # characters of it
_FOUND_MAX: Final = 128  # different values in one answer; with more, nothing of it is shown
_CUT_STARTS_MAX: Final = 256  # places near the end of a cut text where a value may begin


class Redactor:
    """Masks what a receiver echoes of an endpoint's secrets, static headers and query."""

    def __init__(self, endpoint: Endpoint) -> None:
        values = {secret.value for secret in endpoint.secrets}
        values |= {value.partition("_")[2] for value in values}
        for value in endpoint.headers.values():
            values |= {value, *_basic_credentials(value), *(word for word in value.split() if len(word) >= _WORD_MIN)}
        query = {pair.partition("=")[2] or pair for pair in endpoint.url.partition("?")[2].split("&")}
        query |= {unquote(value, encoding) for value in query for encoding in _ENCODINGS}
        values |= {value for value in query if len(value) >= _WORD_MIN}
        for value in [each for each in values if len(each) >= _SECRET_MIN]:
            values |= _as_echoed(value)
        self._values = sorted(value for value in values if len(value) >= _SECRET_MIN)
        self._longest = max(map(len, self._values), default=0)
        self._prefixes = {value[:_SECRET_MIN] for value in self._values}
        self._searched = self._values
        self._by_beginning: dict[str, list[str]] = {}
        if len(self._values) > _SEARCHED_MAX:
            self._searched = [value for value in self._values if len(value) < _BEGINNING]
            for value in self._values:
                if len(value) >= _BEGINNING:
                    self._by_beginning.setdefault(value[:_BEGINNING], []).append(value)

    def headers(self, headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        """Return the headers of an answer with secrets masked."""
        text = "\n".join([text for header in headers for text in header])
        found = [value for value in self._found(text) if "\n" not in value]
        if len(found) > _FOUND_MAX:
            return ((MASK, MASK),)
        is_cut = any(len(value) >= VALUE_KEPT for _, value in headers)
        if not found and not is_cut:
            return headers
        texts = iter(_mask(text, found).split("\n"))
        masked = zip(texts, texts, strict=True)
        return tuple(
            [
                (name, self._mask_cut_value(value) if len(before) >= VALUE_KEPT else value)
                for (name, value), (_, before) in zip(masked, headers, strict=True)
            ]
        )

    def body(self, body: bytes) -> bytes:
        """Return the kept part of an answer's body with secrets masked."""
        text = body.decode("utf-8", "surrogateescape")
        found = self._found(text)
        if len(found) > _FOUND_MAX:
            return MASK.encode()
        if found:
            text = _mask(text, found)
        if len(body) > BODY_KEPT - 4:  # bytes of a character
            text = self._mask_cut_value(text)
        return text.encode("utf-8", "surrogateescape")[:BODY_KEPT]

    def _found(self, text: str) -> list[str]:
        """Return the values that occur in a text, or may occur."""
        found = [value for value in self._searched if value in text]
        if self._by_beginning:
            by_beginning = self._by_beginning
            pieces = [text[at : at + _BEGINNING] for at in range(len(text) - _BEGINNING + 1)]
            for beginning in by_beginning.keys() & pieces:
                found += by_beginning[beginning]
        return found

    def _mask_cut_value(self, text: str) -> str:
        """Mask the end of a text that was cut, where it is the beginning of a value."""
        starts = 0
        for at in range(max(0, len(text) - self._longest), len(text) - _SECRET_MIN + 1):
            if text[at : at + _SECRET_MIN] not in self._prefixes:
                continue
            starts += 1
            end = text[at:]
            place = bisect_left(self._values, end)
            is_beginning = place < len(self._values) and self._values[place].startswith(end)
            if is_beginning or starts > _CUT_STARTS_MAX:
                return text[:at] + MASK
        return text


def _mask(text: str, values: list[str]) -> str:
    """Replace the values, the longest first."""
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, MASK)
    return text


def _as_echoed(value: str) -> set[str]:
    """Return the forms in which a value may come back: as base64, and read in another encoding than it was sent in."""
    forms = set()
    for encoding in _ENCODINGS:
        with suppress(UnicodeEncodeError):
            raw = value.encode(encoding)
            forms |= {base64.b64encode(raw).decode().rstrip("=")}
            forms |= {without_controls(raw.decode("latin-1")), raw.decode("utf-8", "surrogateescape")}
    return forms


def _basic_credentials(header: str) -> set[str]:
    """Return ``user:password`` and the password of a header with Basic credentials; nothing for another header."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return set()
    try:
        both = receiver_text(base64.b64decode(encoded, validate=True))
    except ValueError:
        return set()
    password = both.partition(":")[2]
    return {both, password} if len(password) >= _WORD_MIN else {both}
