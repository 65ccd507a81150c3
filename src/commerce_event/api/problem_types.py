"""What the `type` of a problem leads to: `/problems/NAME` says what it means and what to do."""

from typing import Final

import msgspec

from commerce_event.accept import errors
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
)
_TEXTS: Final[dict[str, tuple[str, str]]] = {
    "bad-request": ("The request is not HTTP as it should be.", "Send it with an HTTP library."),
    "not-signed-in": ("No key that is known came with the request.", "Send Authorization: Bearer KEY."),
    "not-allowed": ("The key's role or clients do not reach that far.", "Use one that may; an admin makes keys."),
    "not-found": ("There is no such thing, or it belongs to another client.", "List what there is and use its id."),
    "method-not-allowed": ("The address knows other methods.", "Use one that the header Allow names."),
    "request-too-slow": ("The request did not come in time.", "Send it in one go, and again."),
    "conflict": ("The state of things forbids it at the moment.", "The detail says which; change that first."),
    "too-large": ("The body is larger than is accepted.", "Send less; the detail says how much may be sent."),
    "address-too-long": ("The address of the request is longer than is read.", "Ask for less in one query."),
    "head-too-large": ("The head of the request is larger than is read.", "Send fewer or shorter headers."),
    "not-implemented": ("The request asks for something of HTTP that is not known here.", "Send it plainly."),
    "unsupported-media-type": ("The body is of a type or packing that is not read.", "Send it as the detail says."),
    "unprocessable-content": ("Something in the body or the query cannot be used.", "See errors: each place and why."),
    "internal-error": ("A fault of the server.", "Look for the incident in its log and report it."),
    "not-available-now": ("Nothing was stored.", "Send the same again after Retry-After seconds."),
    "not-json": ("The body is not JSON, or can be read in two ways.", "Mend it at the byte that the detail names."),
    "invalid-idempotency-key": ("The idempotency key cannot be used.", "Choose 1 to 256 printable ASCII characters."),
    "unknown-event-type": ("The contract has no event type of that name.", "GET /v1/event-types lists them."),
    "body-too-large": ("The event is larger than the limit.", "Send less, or set COMMERCE_EVENT_MAX_BODY."),
    "too-many-events": ("One request holds more events than it may.", "Send them in several requests."),
    "the-event-breaks-the-contract": ("The event is not as its type demands.", "See errors: each place and why."),
    "the-event-is-wrapped-wrongly": ("An event of many is wrapped wrongly.", "Send {type, data, id}, or a CloudEvent."),
}  # fmt: skip


def problem_types() -> dict[str, ProblemTypeView]:
    """Return every kind of problem by the name at the end of its `type`."""
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
