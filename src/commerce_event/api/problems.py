"""Problems (RFC 9457): every answer that is not what was asked for, in one form, made in one place."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import structlog

from commerce_event.accept.rejections import Fault, RejectedError
from commerce_event.store.port import StoreBrokenError, StoreUnavailableError

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1

TITLES: Final = {
    400: "Bad request",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "Request too slow",
    409: "Conflict",
    413: "Too large",
    414: "Address too long",
    415: "Media type not supported",
    422: "Not acceptable",
    431: "Head too large",
    500: "Internal error",
    501: "Not implemented",
    503: "Not available now",
}

log = structlog.get_logger(__name__)


class ProblemFault(msgspec.Struct, frozen=True):
    """One thing wrong; ``pointer`` (RFC 6901) says where in the body, or names the query parameter."""

    pointer: str
    message: str


class ProblemBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem as it goes over the wire."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[ProblemFault, ...] = ()


class Problem(Exception):  # noqa: N818 - it is what RFC 9457 calls it
    """An answer other than success. ``detail`` says what happened and what to do."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        title: str | None = None,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.title = title or TITLES[status]
        self.faults = tuple(faults)
        self.headers = dict(headers or {})

    def body(self) -> ProblemBody:
        slug = self.title.lower().replace(" ", "-")
        faults = tuple(ProblemFault(fault.pointer, fault.message) for fault in self.faults)
        return ProblemBody(f"/problems/{slug}", self.title, self.status, self.detail, faults)


def problem_of(error: Exception) -> Problem:
    """Return the problem for whatever went wrong; what nobody foresaw becomes a 500 with an incident number."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RejectedError):
        return Problem(error.status, error.detail, title=error.title, faults=error.faults)
    if isinstance(error, StoreUnavailableError):
        return unavailable(str(error))
    if isinstance(error, StoreBrokenError):
        return unavailable("The store is broken and the server is stopping")
    incident = secrets.token_hex(6)
    log.error("unforeseen error", incident=incident, exc_info=error)
    return Problem(500, f"Something went wrong inside; the server's log has it as incident {incident}.")


def unavailable(detail: str) -> Problem:
    """Nothing was stored; the same request may be sent again."""
    return Problem(503, f"{detail}.", headers={"Retry-After": str(RETRY_AFTER_S)})


def invalid(pointer: str, message: str) -> Problem:
    """One place of the request is wrong."""
    return Problem(422, f"{message}.", faults=[Fault(pointer, message)])


def not_found(what: str) -> Problem:
    """There is none, or it belongs to somebody else: the answer is the same."""
    return Problem(404, f"There is no such {what}.")
