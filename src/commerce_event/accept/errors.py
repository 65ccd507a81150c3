"""Errors of accepting: why an event or a request is refused."""

from commerce_event.core.problems import RejectedError


class NotJsonError(RejectedError):
    """The bytes are not JSON, or two JSON parsers could read them differently."""

    TITLE = "Not JSON"


class InvalidKeyError(RejectedError):
    """The idempotency key cannot be used."""

    TITLE = "Invalid idempotency key"


class UnknownTypeError(RejectedError):
    """There is no event type of that name."""

    STATUS = 404
    TITLE = "Unknown event type"


class BodyTooLargeError(RejectedError):
    """The body is larger than the limit."""

    STATUS = 413
    TITLE = "Body too large"


class TooManyItemsError(RejectedError):
    """The request has more events than one request may have."""

    STATUS = 413
    TITLE = "Too many events"


class InvalidEventError(RejectedError):
    """The event breaks the contract. ``faults`` names each place."""

    STATUS = 422
    TITLE = "The event breaks the contract"


class InvalidItemError(RejectedError):
    """The envelope of an event (``{type, data, id}`` or a CloudEvent) is invalid."""

    STATUS = 422
    TITLE = "The event is wrapped wrongly"
