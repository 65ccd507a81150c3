"""Parse an event and check it against the contract. Its bytes are never changed."""

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from commerce_event.accept.contract_errors import FAULTS_MAX, find_faults, find_misspelt, find_own_faults, find_unusable
from commerce_event.accept.errors import (
    BodyTooLargeError,
    InvalidEventError,
    InvalidKeyError,
    UnknownTypeError,
)
from commerce_event.accept.strict_json import load
from commerce_event.contract.catalogue import CONTRACT, Catalogue, EventType
from commerce_event.contract.near_names import nearest_name
from commerce_event.contract.properties import INT32_MAX, INT32_MIN
from commerce_event.core.model import ValidationMode
from commerce_event.core.problems import Fault

_KEY_MAX: Final = 256
# W3C Trace Context level 1; a version of ff and ids of zeros only are invalid.
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


ModeOf = Callable[[int, EventType], ValidationMode]  # by client and event type


class ParsedEvent(msgspec.Struct, frozen=True):
    """An event that may be stored. ``data`` is the decoded ``body``, with properties beyond the contract.

    ``warnings`` are the places where it breaks the contract, when the validation mode is ``warn``.
    """

    type: EventType
    client_id: int
    application_id: int | None
    data: dict[str, Any]
    body: bytes
    warnings: tuple[Fault, ...] = ()


def always_reject(_client_id: int, _event_type: EventType) -> ValidationMode:
    """Return the default validation mode."""
    return "reject"


def parse_event(
    event_type: str,
    body: bytes,
    *,
    max_bytes: int,
    data: Any = msgspec.UNSET,
    catalogue: Catalogue = CONTRACT,
    mode_of: ModeOf = always_reject,
) -> ParsedEvent:
    """Check a body against its type in the catalogue. ``data`` is the decoded body, if it was decoded before.

    ``mode_of`` is asked only when the event breaks the contract. In every mode the body is an object with an integer
    ClientId, and no text of the contract contains U+0000.

    Raises BodyTooLargeError, UnknownTypeError, NotJsonError or InvalidEventError, all of them RejectedError.
    """
    if len(body) > max_bytes:
        raise BodyTooLargeError(f"The event has {len(body)} bytes; the limit is {max_bytes}.")
    known = catalogue.get(event_type)
    if known is None:
        raise UnknownTypeError(_no_such_type(event_type, catalogue))
    if data is msgspec.UNSET:
        data = load(body)
    if type(data) is not dict:
        detail = "The body is JSON but not an object; send the event's properties as a JSON object."
        raise InvalidEventError(detail, [Fault("", "must be an object")])
    faults = _contract_faults(known, data, body)
    if not faults:
        return ParsedEvent(known, data["ClientId"], data.get("ApplicationId"), data, body)
    mode: ValidationMode = "reject" if find_unusable(known, data) else mode_of(data["ClientId"], known)
    if mode == "reject":
        where = "1 place" if len(faults) == 1 else f"{len(faults)} places"
        raise InvalidEventError(f"This {known.name} breaks the contract in {where}.", faults)
    warnings = faults if mode == "warn" else ()
    return ParsedEvent(known, data["ClientId"], _application_id(data), data, body, warnings)


def _no_such_type(name: str, catalogue: Catalogue) -> str:
    near = nearest_name(name, catalogue.types)
    hint = f". Did you mean {near}?" if near else "; GET /v1/event-types lists them."
    return f"There is no event type {name[:100]!r}{hint}"


def check_idempotency_key(text: str) -> str:
    """Return the key if it has 1 to 256 printable characters. Raises InvalidKeyError."""
    if not 1 <= len(text) <= _KEY_MAX or not text.isprintable():
        raise InvalidKeyError(f"An idempotency key must have 1 to {_KEY_MAX} printable characters; choose another one.")
    return text


def read_traceparent(text: str | None) -> str | None:
    """Return a valid W3C traceparent; None for anything else, which the standard asks to ignore."""
    return text if text is not None and _TRACEPARENT.fullmatch(text) else None


def _contract_faults(event_type: EventType, data: dict[str, Any], body: bytes) -> tuple[Fault, ...]:
    if event_type.validator is not None:
        faults = find_own_faults(event_type.validator, data, body)
        if b"\\u0000" in body:
            faults = (*find_unusable(event_type, data), *faults)[:FAULTS_MAX]
        return _with_misspelt(event_type, data, faults)
    try:
        msgspec.convert(data, event_type.model)
        # The class accepts any text; the contract refuses U+0000, which databases cannot hold in text.
        faults = find_faults(event_type, data) if b"\\u0000" in body else ()
    except ValueError as error:
        faults = find_faults(event_type, data) or (Fault("", str(error)),)
    return _with_misspelt(event_type, data, faults)


def _with_misspelt(event_type: EventType, data: dict[str, Any], faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    if data.keys() <= event_type.properties:
        return faults
    return (*faults, *find_misspelt(event_type, data))[:FAULTS_MAX]


def _application_id(data: dict[str, Any]) -> int | None:
    """Return the application that an event is routed by when it breaks the contract; None unless it is an int32."""
    value = data.get("ApplicationId")
    return value if type(value) is int and INT32_MIN <= value <= INT32_MAX else None
