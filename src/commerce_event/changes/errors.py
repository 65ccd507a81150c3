"""Errors of accepting changes."""

from commerce_event.core.problems import RejectedError


class InvalidChangeError(RejectedError):
    """The change cannot be used. ``faults`` names each place."""

    STATUS = 422
    TITLE = "The change is invalid"


class ChangeTooLargeError(RejectedError):
    """The change is larger than the limit."""

    STATUS = 413
    TITLE = "Change too large"


class UnknownSourceError(RejectedError):
    """There is no change source of that name."""

    STATUS = 404
    TITLE = "Unknown change source"
