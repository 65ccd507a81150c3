"""The veil over answers: people see them, so what a receiver echoes of an endpoint's secrets is masked."""

import base64
import re
from typing import Final
from urllib.parse import unquote

from commerce_event.core.model import Endpoint
from commerce_event.deliver.connection import BODY_KEPT, VALUE_KEPT

MASK: Final = "***"
_MASKED_MIN: Final = 4  # shorter values are no secrets, and would mask half of every answer
_MASKED_PART_MIN: Final = 8  # the same for one word of a value, such as the token after "Bearer"


class Veil:
    """Hides what a receiver echoes of our secrets, static headers and query: its answer is shown to people."""

    def __init__(self, endpoint: Endpoint) -> None:
        values = {secret.value for secret in endpoint.secrets}
        values |= {value.partition("_")[2] for value in values}
        for value in endpoint.headers.values():
            values |= {value, *_credentials(value), *(word for word in value.split() if len(word) >= _MASKED_PART_MIN)}
        values |= {value for value in _query_values(endpoint.url) if len(value) >= _MASKED_PART_MIN}
        values |= {_base64(value) for value in values if len(value) >= _MASKED_MIN}
        self._values = sorted((value for value in values if len(value) >= _MASKED_MIN), key=len, reverse=True)
        beginnings = {re.escape(value[:_MASKED_MIN]) for value in self._values}
        self._suspect = re.compile("|".join(beginnings) or r"(?!)")  # nearly never found, and then no more is looked at

    def headers(self, headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        if not self._suspect.search("\n".join([text for header in headers for text in header])):
            return headers
        return tuple([(self._text(name), self._text(value, cut=len(value) >= VALUE_KEPT)) for name, value in headers])

    def body(self, body: bytes) -> bytes:
        text = body.decode("latin-1")
        if not self._suspect.search(text):
            return body
        return self._text(text, cut=len(body) >= BODY_KEPT).encode("latin-1")[:BODY_KEPT]

    def _text(self, text: str, *, cut: bool = False) -> str:
        """Mask the values; in a text that was cut also one of which only the beginning is left."""
        for value in self._values:
            text = text.replace(value, MASK)
        if cut:
            for value in self._values:
                text = _without_beginning(text, value)
        return text


def _credentials(header: str) -> set[str]:
    """Return the user name with its password, and the password, of Basic credentials."""
    scheme, _, packed = header.partition(" ")
    if scheme.lower() != "basic":
        return set()
    try:
        both = base64.b64decode(packed, validate=True).decode("latin-1")
    except ValueError:
        return set()
    password = both.partition(":")[2]
    return {both, password} if len(password) >= _MASKED_PART_MIN else {both}


def _query_values(url: str) -> set[str]:
    """Return the values of a URL's query, as they stand there and as they are meant."""
    values = {pair.partition("=")[2] or pair for pair in url.partition("?")[2].split("&")}
    return values | {unquote(value, "latin-1") for value in values}


def _base64(value: str) -> str:
    return base64.b64encode(value.encode("latin-1", "replace")).decode().rstrip("=")


def _without_beginning(text: str, value: str) -> str:
    """Mask the end of a text where it is the beginning of a value."""
    beginning = value[:_MASKED_MIN]
    at = text.find(beginning, max(0, len(text) - len(value)))
    while at >= 0:
        if value.startswith(text[at:]):
            return text[:at] + MASK
        at = text.find(beginning, at + 1)
    return text
