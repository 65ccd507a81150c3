"""The table of causes in words: why an attempt failed, and why a delivery ended. Pure.

The API, the screens and the CLI say the same. A text is a clause without a capital and without a full stop, so that it
can follow a colon.
"""

from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final

from commerce_event.core.model import Attempt, AttemptDetails, Certificate, Phase, Redirect, Signing

_NAMES_SHOWN: Final = 3  # hosts of a certificate

# What happened, and what to do; {address}, {name} and {host} stand for what the attempt dialled and asked for.
_ERRORS: Final = {
    "timeout": ("no complete answer came in time", ""),
    "connect_refused": ("connection refused", "nothing listens at {address}"),
    "connect_failed": ("{address} cannot be reached", ""),
    "connection_reset": ("the receiver reset the connection before it answered", ""),
    "connection_closed": ("the receiver closed the connection before it answered", ""),
    "connection_stale": (
        "the receiver closed an idle connection just as it was used again; not counted as a failure",
        "",
    ),
    "bad_http": ("the answer is not valid HTTP", ""),
    "tls_expired": ("the certificate of {host} has expired or is not yet valid", ""),
    "tls_self_signed": ("the certificate of {host} is self-signed", ""),
    "tls_unknown_ca": (
        "the authority that issued the certificate of {host} is unknown, or an intermediate certificate is missing",
        "",
    ),
    "tls_wrong_host": ("the certificate is not for {host}", ""),
    "tls_version": ("{host} does not support TLS 1.2 or newer", ""),
    "tls_client_certificate": ("{host} requires a client certificate, which is not supported", ""),
    "tls_failed": ("TLS with {host} failed", "check its certificate"),
    "dns_not_found": ("{name} has no address", "is it spelled right?"),
    "dns_failed": ("{name} could not be looked up", ""),
    "dns_timeout": ("{name} was not looked up in time", ""),
    "blocked_address": ("this server does not deliver to the address of the host", "it is not a public one"),
    "invalid_url": ("the URL breaks rules that became stricter since it was saved", ""),
    "redirect_refused": ("the receiver redirected to a URL that is not allowed", ""),
    "too_many_redirects": ("the receiver redirected more than five times", ""),
    "truncated": ("the body of the answer is incomplete", ""),
    "interrupted": ("this server stopped, or the delivery was cancelled, during the attempt", ""),
    "internal": ("an error of this server", "see its log"),
}
_TIMEOUTS: Final[dict[Phase, str]] = {
    "name": "{name} was not looked up in time",
    "connect": "no connection to {address} in time",
    "tls": "TLS with {host} was not ready in time",
    "request": "the receiver did not take the request in time",
    "waiting": "the receiver took the request, but did not answer in time",
    "reading": "the receiver began to answer, but did not finish in time",
}
# After "redirected (302) to URL"
_AFTER_REDIRECT: Final = {
    "connect_refused": "where nothing listens",
    "connect_failed": "which cannot be reached",
    "connection_reset": "which reset the connection before it answered",
    "connection_closed": "which closed the connection before it answered",
    "bad_http": "whose answer is not valid HTTP",
    "dns_not_found": "whose host name has no address",
    "dns_failed": "whose host name could not be looked up",
    "dns_timeout": "whose host name was not looked up in time",
    "redirect_refused": "which is not allowed: a redirect must lead to a valid URL, and never from https to http",
    "too_many_redirects": "and no more than five redirects are followed",
}
_STATUSES: Final = {
    400: ("the receiver rejected the request as invalid", ""),
    404: ("nothing is at this path", "check the URL"),
    405: ("this path does not accept POST", "check the URL"),
    408: ("the receiver timed out waiting for the request", ""),
    409: ("the receiver reported a conflict", ""),
    410: ("the receiver says that it is gone for good", ""),
    413: ("the event is too large for the receiver", ""),
    415: ("the receiver does not accept JSON here", ""),
    422: ("the receiver rejected the event as invalid", ""),
    429: ("the receiver asks for fewer requests", ""),
    503: ("the receiver is not available now", ""),
    504: ("a server behind the receiver did not answer in time", ""),
}
_MAY_BE_SIGNATURE: Final = frozenset({400, 401, 403})  # what receivers answer to a signature that they reject
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_REASONS: Final = {
    "attempts_exhausted": "every retry was used",
    "gone": "the receiver answered 410 Gone",
    "internal": "an error of this server",
    "damaged": "its event is lost: the store is damaged",
    "cancelled_by_user": "cancelled by a person",
    "endpoint_deleted": "its endpoint was deleted",
    "replay_cancelled": "its replay was cancelled",
}


def cause_of(attempt: Attempt, signing: Signing = "hmac") -> str | None:
    """Return why an attempt failed; None when it did not. ``signing`` is how its endpoint signs."""
    body = attempt.response_body.decode("utf-8", "replace")
    return cause(attempt.status, attempt.error, details=attempt.details, body=body, signing=signing)


def cause(
    status: int | None,
    error: str | None,
    *,
    details: AttemptDetails | None = None,
    body: str = "",
    signing: Signing = "hmac",
) -> str | None:
    """Return what is wrong with an answer, or why there was none; None when nothing is.

    ``body`` is the kept beginning of the answer's body. A failure after a redirect names the redirect.
    """
    details = details or AttemptDetails()
    is_success = status is not None and 200 <= status <= 299
    if is_success and error is None:
        return None
    if error is None or error.startswith("http_"):
        what, remedy = _of_status(status, body, signing) if status is not None else _of_unknown(error)
    else:
        what, remedy = _of_error(error, details)
    if details.redirects and not is_success:
        return _after_redirects(details.redirects, status, error or "", what, remedy)
    return _joined(what, remedy)


def cause_of_code(error: str | None) -> str:
    """Return what an error code means; ``http_404`` and the like carry the status."""
    status = (error or "").removeprefix("http_")
    found = cause(int(status) if status != error and status.isdecimal() else None, error)
    return found or "no answer"


def reason_in_words(reason: str | None) -> str:
    """Return why a delivery is dead or cancelled; empty without a reason.

    A discarded dead letter has the reason ``discarded: `` and the note of the person who discarded it, which stays.
    """
    if reason is None or reason.startswith("discarded:"):
        return reason or ""
    return _REASONS.get(reason, reason.replace("_", " "))


def _of_unknown(error: str | None) -> tuple[str, str]:
    return ("no answer" if error is None else error.replace("_", " ")), ""


def _of_error(error: str, details: AttemptDetails) -> tuple[str, str]:
    what, remedy = _ERRORS.get(error) or _of_unknown(error)
    if error == "timeout" and details.phase is not None:
        what = _TIMEOUTS[details.phase]
    is_name = details.host is not None and not _is_address(details.host)
    places = {
        "{address}": details.address or "this address",
        "{host}": details.host or "the receiver",
        "{name}": f"the host name {details.host}" if is_name else "the host name",
    }
    for place, text in places.items():
        what, remedy = what.replace(place, text), remedy.replace(place, text)
    if details.certificate is not None and error.startswith("tls_"):
        return _of_certificate(error, what, details.certificate, places["{host}"])
    return what, remedy


def _of_certificate(error: str, what: str, certificate: Certificate, host: str) -> tuple[str, str]:
    if error == "tls_wrong_host":
        more = len(certificate.names) - _NAMES_SHOWN
        names = ", ".join(certificate.names[:_NAMES_SHOWN]) or certificate.subject
        what = f"the certificate is for {names}{f' and {more} more' if more > 0 else ''}, not for {host}"
    dates = f"valid from {_date(certificate.not_before_ms)} to {_date(certificate.not_after_ms)}"
    return what, f"issued by {certificate.issuer}, {dates}"


def _of_status(status: int, body: str, signing: Signing) -> tuple[str, str]:
    if 200 <= status <= 299:
        return "", ""
    if status in _MAY_BE_SIGNATURE:
        shared = "signing secret" if signing == "hmac" else "public key"
        if "signature" in body.lower():
            return (
                "the receiver says that the signature is wrong",
                f"check that it uses the endpoint's {shared}, and verifies the body's exact bytes",
            )
        if status != 400:
            return (
                "the receiver rejects the signature or the credentials",
                f"check that it uses the endpoint's {shared}, then the static headers",
            )
    if 300 <= status <= 399 and status not in _REDIRECTS:
        return f"the receiver answered {status}, which is no redirect that can be followed", "check the URL"
    if status in _REDIRECTS:
        return "the receiver redirects", "the endpoint does not follow redirects"
    default = "the receiver had an internal error" if status >= 500 else "the receiver rejected it"
    return _STATUSES.get(status, (default, ""))


def _after_redirects(redirects: tuple[Redirect, ...], status: int | None, error: str, what: str, remedy: str) -> str:
    """Return the cause of a failure after redirects, or of a redirect that was not followed."""
    *earlier, last = redirects
    statuses = ", ".join(str(each.status) for each in redirects)
    times = f"{len(redirects)} times " if earlier else ""
    to = f", at last to {last.location}" if earlier else f" to {last.location}"
    if error == "blocked_address":  # which one is not said
        to = ", at last to" if earlier else " to"
        return f"redirected {times}({statuses}){to} an address that this server does not deliver to"
    if not last.location:
        return f"redirected {times}({statuses}) without one valid location"
    start = f"redirected {times}({statuses}){to}"
    if last.status == 303 and status == 303:
        return f"{start}, but 303 asks for a GET, which delivers nothing: answer with 307 or 308"
    if status in _REDIRECTS and error.startswith("http_"):
        return f"{start}, and this endpoint does not follow redirects"
    if error in _AFTER_REDIRECT:
        return f"{start}, {_AFTER_REDIRECT[error]}"
    return f"{start}; there, {_joined(what, remedy)}"


def _joined(what: str, remedy: str) -> str:
    return f"{what}: {remedy}" if remedy else what


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _date(ms: int) -> str:
    """Return a date, such as ``3 Nov 2026``; times of a certificate may lie outside the years that a clock has."""
    try:
        moment = datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return "an unknown date"
    return f"{moment.day} {moment:%b %Y}"
