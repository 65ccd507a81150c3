"""Problems (RFC 9457): why a request failed, as a status, a sentence and the faulty places.

Every package raises its own errors as subclasses of ``RejectedError``; the HTTP server answers with the problem that it
catches.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, Self

import msgspec
from msgspec import UNSET, UnsetType

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
    415: "Unsupported media type",
    422: "Unprocessable content",
    429: "Too many requests",
    431: "Head too large",
    500: "Internal error",
    501: "Not implemented",
    503: "Not available now",
}


class Fault(msgspec.Struct, frozen=True):
    """One thing wrong in a body. ``pointer`` is a JSON Pointer (RFC 6901); empty for the body as a whole."""

    pointer: str
    message: str


class ProblemFault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing wrong, in the body at ``pointer`` (RFC 6901), or in the query's ``parameter``."""

    pointer: str | UnsetType = UNSET
    parameter: str | UnsetType = UNSET
    message: str

    @classmethod
    def of(cls, fault: Fault) -> Self:
        """Convert a fault, whose pointer begins with a question mark when it is about a query parameter."""
        if fault.pointer.startswith("?"):
            return cls(parameter=fault.pointer[1:], message=fault.message)
        return cls(pointer=fault.pointer, message=fault.message)


class ProblemBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem as JSON."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[ProblemFault, ...] = ()


class Problem(Exception):  # noqa: N818 - the name that RFC 9457 uses
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
        faults = tuple(ProblemFault.of(fault) for fault in self.faults)
        return ProblemBody(f"/problems/{slug(self.title)}", self.title, self.status, self.detail, faults)


class RejectedError(Problem):
    """A request that the caller has to change. Subclasses set the status and the title."""

    STATUS: ClassVar[int] = 400
    TITLE: ClassVar[str] = "Not acceptable"

    def __init__(self, detail: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(self.STATUS, detail, title=self.TITLE, faults=faults)


def slug(title: str) -> str:
    """Return the name of a kind of problem in its ``type``."""
    return title.lower().replace(" ", "-")


def unavailable(detail: str) -> Problem:
    """Return the problem for a request that was not stored and may be sent again."""
    return Problem(503, f"{detail}.", headers={"Retry-After": str(RETRY_AFTER_S)})


def invalid(pointer: str, message: str) -> Problem:
    """Return the problem for one faulty place in the request."""
    return Problem(422, as_sentence(message), faults=[Fault(pointer, message)])


def as_sentence(message: str) -> str:
    """Return a message with a capital letter and an end. A name in mixed case, such as tClientCustomer, is kept."""
    word = message.partition(" ")[0]
    begin = message if word != word.lower() else message[:1].upper() + message[1:]
    return f"{begin}{'' if message.endswith('?') else '.'}"


def together(problems: Sequence[Problem]) -> Problem:
    """Return one problem with the faults of all."""
    first = problems[0]
    faults = [fault for problem in problems for fault in problem.faults]
    if len(faults) < 2:
        return first
    more = f"{len(faults) - 1} more fault{'s' if len(faults) > 2 else ''}"
    joint = " And" if first.detail.endswith("?") else ", and"
    return Problem(first.status, f"{first.detail.rstrip('.')}{joint} {more}.", faults=faults)


def not_found(what: str) -> Problem:
    """Return the problem for something that does not exist or belongs to another client."""
    return Problem(404, f"There is no such {what}.")


def child(pointer: str, name: str | int) -> str:
    """Return the JSON Pointer of a member or element; a name beyond 100 letters is cut."""
    return f"{pointer}/{str(name)[:100].replace('~', '~0').replace('/', '~1')}"
