"""CloudEvents 1.0: read the attributes in headers, the event type, and an idempotency key of source and id."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from commerce_event.accept.errors import InvalidItemError, InvalidKeyError
from commerce_event.accept.parse import check_idempotency_key
from commerce_event.core.problems import Fault, child

_VERSION: Final = "1.0"
# A version of the sender's own counting at the end of a type, such as .v1, /2 or .2026-01-31.
_TYPE_VERSION: Final = re.compile(r"(?:[./:@]v?[0-9]+(?:-[0-9]+)*)+\Z", re.IGNORECASE)
_TYPE_MAX: Final = 256  # characters at the end that are looked at: the patterns take quadratic time
_LAST_PART: Final = re.compile(r"[^./:]*\Z")
_MARKS: Final = (b"ce-type", b"ce-specversion", b"ce-id")


def event_key(source: str | None, id_: str) -> str:
    """Return the idempotency key of a CloudEvent. Keys differ when sources or ids differ. Raises InvalidKeyError."""
    if not source:
        return check_idempotency_key(id_)
    if "#" in source:  # the key must show where the source ends
        source = f"#{len(source)}#{source}"
    return check_idempotency_key(f"{source}#{id_}")


def event_type_name(type_: str) -> str:
    """Return the event type that a CloudEvent's type names: its last part, without a version at the end.

    It is X for ``com.example.X``, ``X.v1``, ``X/2`` and ``X.2026-01-31``.
    """
    found = _LAST_PART.search(_TYPE_VERSION.sub("", type_[-_TYPE_MAX:]))
    return found[0] if found else ""


def is_binary_mode(headers: Mapping[bytes, bytes]) -> bool:
    """Tell whether a request has attributes of a CloudEvent in its headers."""
    return any(name in headers for name in _MARKS)


def header_attributes(headers: Mapping[bytes, bytes]) -> dict[str, Any]:
    """Return the attributes in ``ce-`` headers, percent-decoded. Raises InvalidKeyError unless they are UTF-8."""
    try:
        return {
            name[3:].decode("latin-1").lower(): unquote_to_bytes(value).decode()
            for name, value in headers.items()
            if name[:3].lower() == b"ce-"
        }
    except UnicodeDecodeError:
        raise InvalidKeyError("A ce- header does not decode to UTF-8; percent-encode its UTF-8 bytes.") from None


def header_key(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the idempotency key in ``ce-`` headers; None without one.

    Raises InvalidItemError for another version of CloudEvents, InvalidKeyError.
    """
    if b"ce-id" not in headers and b"ce-specversion" not in headers:
        return None
    attributes = header_attributes(headers)
    if "specversion" in attributes:
        check_version(attributes["specversion"])
    return event_key(attributes.get("source"), attributes["id"]) if "id" in attributes else None


def check_version(version: str) -> None:
    """Raise InvalidItemError for an unsupported version of CloudEvents."""
    if version != _VERSION:
        raise invalid_member("specversion", f"must be {_VERSION}")


def invalid_member(name: str, message: str) -> InvalidItemError:
    """Return the error of an invalid member of an event's envelope."""
    return InvalidItemError(
        f"The envelope of the event is invalid: {name[:100]} {message}.", [Fault(child("", name), message)]
    )
