"""Explain problems: `/problems/NAME`, the `type` of a problem, says what it means and what to do."""

from typing import Final

import msgspec

from commerce_event.accept import errors
from commerce_event.changes import errors as change_errors
from commerce_event.core.problems import TITLES, Problem, RejectedError, slug
from commerce_event.http.media_types import UnsupportedMediaError


class ProblemTypeView(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of problem."""

    type: str
    title: str
    status: int
    meaning: str
    remedy: str


_REJECTIONS: Final[tuple[type[RejectedError], ...]] = (
    errors.NotJsonError,
    errors.InvalidKeyError,
    errors.UnknownTypeError,
    errors.BodyTooLargeError,
    errors.TooManyItemsError,
    UnsupportedMediaError,
    errors.InvalidEventError,
    errors.InvalidItemError,
    change_errors.InvalidChangeError,
    change_errors.ChangeTooLargeError,
    change_errors.UnknownSourceError,
)
_SEE_ERRORS: Final = "Each entry of errors has a location and a reason."
_TEXTS: Final[dict[str, tuple[str, str]]] = {
    "bad-request": ("The request is not valid HTTP.", "Send it with an HTTP library."),
    "not-signed-in": ("The request has no valid key.", "Send Authorization: Bearer KEY."),
    "not-allowed": ("The key's role or clients do not allow this.", "Use a key that does; an admin creates keys."),
    "not-found": ("It does not exist, or it belongs to another client.", "List what exists and use its id."),
    "method-not-allowed": ("The URL does not support this method.", "Use a method from the Allow header."),
    "request-too-slow": ("The request took too long to arrive.", "Send it again, without pauses."),
    "conflict": ("The current state does not allow this.", "Read the detail, and change the state first."),
    "too-large": ("The body is larger than the limit.", "Send less; the detail states the limit."),
    "address-too-long": ("The URL of the request is longer than the limit.", "Use a shorter query."),
    "too-many-requests": ("The caller has too many such calls open.", "Send it again after Retry-After seconds."),
    "head-too-large": ("The head of the request is larger than the limit.", "Send fewer or shorter headers."),
    "not-implemented": ("The request uses an HTTP feature that is not supported.", "Send it without that feature."),
    "unsupported-media-type": ("The body has an unsupported media type or encoding.", "Send it as the detail says."),
    "unprocessable-content": ("Something in the body or the query is invalid.", _SEE_ERRORS),
    "internal-error": ("The server has a fault.", "Find the incident in its log and report it."),
    "not-available-now": (
        "Nothing was stored, unless `detail` says otherwise.",
        "Send the same request again after Retry-After seconds.",
    ),
    "not-json": ("The body is not JSON, or is ambiguous.", "Correct it at the byte that the detail names."),
    "invalid-idempotency-key": ("The idempotency key cannot be used.", "Use 1 to 256 printable ASCII characters."),
    "unknown-event-type": ("There is no event type of that name.", "GET /v1/event-types lists them."),
    "body-too-large": ("The event is larger than the limit.", "Send less, or set COMMERCE_EVENT_MAX_BODY."),
    "too-many-events": ("One request has more events than the limit.", "Send them in several requests."),
    "the-event-breaks-the-contract": ("The event does not follow its contract.", _SEE_ERRORS),
    "the-event-is-wrapped-wrongly": ("A batch item has the wrong form.", "Send {type, data, id}, or a CloudEvent."),
    "the-change-is-invalid": ("The data change, or its row, cannot be used.", _SEE_ERRORS),
    "change-too-large": ("The data change is larger than the limit.", "Send less, or set COMMERCE_EVENT_MAX_BODY."),
    "unknown-change-source": ("There is no change source of that name.", "GET /v1/change-sources lists them."),
}  # fmt: skip


def problem_types() -> dict[str, ProblemTypeView]:
    """Return all kinds of problems by the name at the end of their `type`."""
    statuses = {title: status for status, title in TITLES.items()} | {each.TITLE: each.STATUS for each in _REJECTIONS}
    return {
        name: ProblemTypeView(
            type=f"/problems/{name}",
            title=title,
            status=status,
            meaning=_TEXTS[name][0],
            remedy=_TEXTS[name][1],
        )
        for title, status in statuses.items()
        for name in [slug(title)]
    }


def problem_type(name: str) -> ProblemTypeView:
    """Return one kind of problem. Raises Problem 404."""
    found = problem_types().get(name)
    if found is None:
        raise Problem(404, "There is no such kind of problem.")
    return found
