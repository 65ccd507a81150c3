"""Convert exceptions to problems (RFC 9457)."""

import secrets
from typing import Final

import structlog

from commerce_event.core.problems import Problem, unavailable
from commerce_event.store.port import StoreBrokenError, StoreUnavailableError

MEDIA_TYPE: Final = "application/problem+json"

log = structlog.get_logger(__name__)


def problem_of(error: Exception) -> Problem:
    """Return the problem for an exception; an unexpected one becomes a 500 with an incident number in the log."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, StoreUnavailableError):
        return unavailable(str(error))
    if isinstance(error, StoreBrokenError):
        return unavailable("The store is broken and the server is stopping")
    incident = secrets.token_hex(6)
    log.error("unexpected error", incident=incident, exc_info=error)
    return Problem(500, f"Something went wrong in the server; its log has the details under incident {incident}.")
