"""Why an event is not accepted: subclasses of RejectedError with a status, a title and the places at fault."""

from commerce_event.core.problems import RejectedError


class NotJsonError(RejectedError):
    """The bytes are not JSON, or are JSON that two parsers may read differently."""

    TITLE = "Not JSON"


class InvalidKeyError(RejectedError):
    """The idempotency key cannot be used."""

    TITLE = "Invalid idempotency key"


class UnknownTypeError(RejectedError):
    """The contract has no event type of that name."""

    STATUS = 404
    TITLE = "Unknown event type"


class BodyTooLargeError(RejectedError):
    """The body is larger than the limit."""

    STATUS = 413
    TITLE = "Body too large"


class TooManyItemsError(RejectedError):
    """The request holds more events than one request may."""

    STATUS = 413
    TITLE = "Too many events"


class InvalidEventError(RejectedError):
    """The event breaks the contract; ``faults`` holds every place."""

    STATUS = 422
    TITLE = "The event breaks the contract"


class InvalidItemError(RejectedError):
    """The wrapping of an event (``{type, data, id}`` or a CloudEvent) is not as it should be."""

    STATUS = 422
    TITLE = "The event is wrapped wrongly"
