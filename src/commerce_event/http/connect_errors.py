"""Say why a connection that this program opened has failed."""

import os
import ssl


def connect_reason(error: BaseException) -> str:
    """Return the reason in the words of the operating system or of TLS."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message
        if isinstance(cause, ssl.SSLError):
            return str(cause.reason).replace("_", " ").lower()
        if isinstance(cause, ConnectionError) and cause.errno:  # asyncio has other words
            return os.strerror(cause.errno)
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return "the connection failed"
