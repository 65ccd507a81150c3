"""Redaction: masks an endpoint's secrets in a receiver's answer, which is shown to people."""

import base64
import re
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
        self._values = sorted((value for value in values if len(value) >= _SECRET_MIN), key=len, reverse=True)
        prefixes = {re.escape(value[:_SECRET_MIN]) for value in self._values}
        self._prefix = re.compile("|".join(prefixes) or r"(?!)")  # most answers have none, and are returned as they are

    def headers(self, headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        """Return the headers of an answer with secrets masked."""
        if not self._prefix.search("\n".join([text for header in headers for text in header])):
            return headers
        return tuple(
            [
                (self._redact(name, is_cut=False), self._redact(value, is_cut=len(value) >= VALUE_KEPT))
                for name, value in headers
            ]
        )

    def body(self, body: bytes) -> bytes:
        """Return the kept part of an answer's body with secrets masked."""
        text = body.decode("utf-8", "surrogateescape")
        if not self._prefix.search(text):
            return body
        is_cut = len(body) > BODY_KEPT - 4  # bytes of a character
        return self._redact(text, is_cut=is_cut).encode("utf-8", "surrogateescape")[:BODY_KEPT]

    def _redact(self, text: str, *, is_cut: bool) -> str:
        """Mask the values; at the end of a text that was cut, also the beginning of a value."""
        for value in self._values:
            text = text.replace(value, MASK)
        if is_cut:
            for value in self._values:
                text = _mask_cut_value(text, value)
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


def _mask_cut_value(text: str, value: str) -> str:
    """Mask the end of a text where it is the beginning of a value."""
    prefix = value[:_SECRET_MIN]
    at = text.find(prefix, max(0, len(text) - len(value)))
    while at >= 0:
        if value.startswith(text[at:]):
            return text[:at] + MASK
        at = text.find(prefix, at + 1)
    return text
