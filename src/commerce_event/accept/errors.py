"""Why something is not accepted: an HTTP status, a plain sentence, and where it applies the places at fault."""

from collections.abc import Sequence
from typing import ClassVar

import msgspec


class Fault(msgspec.Struct, frozen=True):
    """One thing wrong in a body. ``pointer`` is a JSON Pointer (RFC 6901); empty for the body as a whole."""

    pointer: str
    message: str


class RejectedError(Exception):
    """The producer has to change something before this can be accepted. Subclasses fix status and title."""

    status: ClassVar[int] = 400
    title: ClassVar[str] = "Not acceptable"

    def __init__(self, detail: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.faults = tuple(faults)


class NotJsonError(RejectedError):
    """The bytes are not JSON, or are JSON that two parsers may read differently."""

    title = "Not JSON"


class InvalidKeyError(RejectedError):
    """The idempotency key cannot be used."""

    title = "Invalid idempotency key"


class UnknownTypeError(RejectedError):
    """The contract has no event type of that name."""

    status = 404
    title = "Unknown event type"


class BodyTooLargeError(RejectedError):
    """The body is larger than the limit."""

    status = 413
    title = "Body too large"


class TooManyItemsError(RejectedError):
    """The request holds more events than one request may."""

    status = 413
    title = "Too many events"


class UnsupportedMediaError(RejectedError):
    """The content type is none that is read here."""

    status = 415
    title = "Unsupported media type"


class InvalidEventError(RejectedError):
    """The event breaks the contract; ``faults`` holds every place."""

    status = 422
    title = "The event breaks the contract"


class InvalidItemError(RejectedError):
    """The wrapping of an event (``{type, data, id}`` or a CloudEvent) is not as it should be."""

    status = 422
    title = "The event is wrapped wrongly"


def child(pointer: str, name: str | int) -> str:
    """Return the JSON Pointer of a member or element; a name beyond 100 letters is cut."""
    return f"{pointer}/{str(name)[:100].replace('~', '~0').replace('/', '~1')}"
