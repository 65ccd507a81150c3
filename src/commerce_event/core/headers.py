"""Check static headers: headers that an endpoint adds to every request of its deliveries."""

import re
from collections.abc import Mapping
from typing import Final

HEADERS_MAX: Final = 50
NAME_MAX: Final = 128
VALUE_MAX: Final = 4096
TOTAL_MAX: Final = 16 * 1024  # bytes on the wire, all of them together

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2
_VALUE: Final = re.compile(r"[\x20-\x7e\xa0-\xff]*")
_LINE_EXTRA: Final = len(": \r\n")

# Headers that frame the message, name its sender, sign it or trace it are set by the sender. A static ce-id or digest
# would be right for one event only.
# fmt: off
_RESERVED: Final = frozenset({
    "accept-encoding", "connection", "date", "digest", "expect", "host", "http2-settings", "keep-alive", "te",
    "traceparent", "tracestate", "trailer", "transfer-encoding", "upgrade", "user-agent",
})
# fmt: on
_RESERVED_PREFIXES: Final = ("ce-", "commerce-event-", "content-", "proxy-", "webhook-")


class InvalidHeaderError(ValueError):
    """A static header cannot be sent. ``name`` is the header's name; the message says what to do, without its value."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"header {name[:40]!a} {message}")
        self.name = name


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise InvalidHeaderError for the first header that cannot be sent. Values are sent as Latin-1."""
    seen: set[str] = set()
    total = 0
    for name, value in headers.items():
        _check_name(name)
        _check_value(name, value)
        if name.lower() in seen:
            raise InvalidHeaderError(name, "is given twice (names ignore case); join the values in one header")
        seen.add(name.lower())
        total += len(name) + len(value) + _LINE_EXTRA
        if len(seen) > HEADERS_MAX:
            raise InvalidHeaderError(name, f"is one too many; set at most {HEADERS_MAX} headers")
        if total > TOTAL_MAX:
            raise InvalidHeaderError(name, f"exceeds the limit: all headers together may have {TOTAL_MAX} bytes")


def _check_name(name: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise InvalidHeaderError(name, "is not a header name; use letters, digits and hyphens")
    if len(name) > NAME_MAX:
        raise InvalidHeaderError(name, f"has too long a name; use at most {NAME_MAX} characters")
    if name.lower() in _RESERVED or name.lower().startswith(_RESERVED_PREFIXES):
        raise InvalidHeaderError(
            name, "is set by the sender itself; choose another name, such as one that starts with x-"
        )


def _check_value(name: str, value: str) -> None:
    if len(value) > VALUE_MAX:
        raise InvalidHeaderError(name, f"has too long a value; use at most {VALUE_MAX} characters")
    if not _VALUE.fullmatch(value):
        raise InvalidHeaderError(name, "has a line break, control character or character outside Latin-1; remove it")
    if value != value.strip():
        raise InvalidHeaderError(name, "has a space at the start or end of its value; remove it")
