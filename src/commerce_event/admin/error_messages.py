"""What an attempt's status, error and reason mean, and what to check."""

from typing import Final

_ERRORS: Final = {
    "timeout": "no complete answer in time",
    "connect_refused": "connection refused: nothing listens at this address",
    "connect_failed": "the address cannot be reached",
    "connection_reset": "the receiver reset the connection before it answered",
    "connection_closed": "the receiver closed the connection before it answered",
    "connection_stale": "the receiver closed an idle connection just as it was used again; not counted as a failure",
    "bad_http": "the answer is not valid HTTP",
    "tls_expired": "the receiver's certificate has expired or is not yet valid",
    "tls_self_signed": "the receiver's certificate is self-signed",
    "tls_unknown_ca": "the receiver's certificate authority is unknown, or an intermediate certificate is missing",
    "tls_wrong_host": "the receiver's certificate is for another host",
    "tls_version": "the receiver does not support TLS 1.2 or newer",
    "tls_client_certificate": "the receiver requires a client certificate, which is not supported",
    "tls_failed": "TLS failed: check the receiver's certificate",
    "dns_not_found": "the host name has no address: is it spelled right?",
    "dns_failed": "the host name could not be resolved",
    "dns_timeout": "the host name was not resolved in time",
    "blocked_address": "the host has a private address, which this server does not deliver to",
    "invalid_url": "the URL breaks rules that became stricter since it was saved",
    "redirect_refused": "the receiver redirected to an address that is not allowed",
    "too_many_redirects": "the receiver redirected more than five times",
    "truncated": "the body of the answer is incomplete",
    "interrupted": "this server stopped, or the delivery was cancelled, during the attempt",
    "internal": "an error of this server; see its log",
}
_STATUSES: Final = {
    400: "the receiver rejected the request as invalid",
    401: "the receiver requires other credentials: check the static headers",
    403: "the receiver does not allow it: check the static headers",
    404: "nothing is at this path: check the URL",
    405: "this path does not accept POST: check the URL",
    408: "the receiver timed out waiting for the request",
    409: "the receiver reported a conflict",
    410: "the receiver says that it is gone for good",
    413: "the event is too large for the receiver",
    415: "the receiver does not accept JSON here",
    422: "the receiver rejected the event as invalid",
    429: "the receiver asks for fewer requests",
    503: "the receiver is not available now",
    504: "a server behind the receiver did not answer in time",
}
_REASONS: Final = {
    "attempts_exhausted": "every retry was used",
    "gone": "the receiver answered 410 Gone",
    "internal": "an error of this server",
    "damaged": "its event is lost: the store is damaged",
    "cancelled_by_user": "cancelled by a person",
    "endpoint_deleted": "its endpoint was deleted",
}


def error_message(status: int | None, error: str | None) -> str:
    """Return what is wrong with an answer, or why there was none; empty when nothing is."""
    if error is not None and not error.startswith("http_"):
        return _ERRORS.get(error, error.replace("_", " "))
    if status is None:
        return "no answer" if error is None else error.replace("_", " ")
    if 200 <= status <= 299:
        return ""
    if status in _STATUSES:
        return _STATUSES[status]
    return "the receiver had an internal error" if status >= 500 else "the receiver rejected it"


def error_code_message(error: str | None) -> str:
    """Return what an error code means; ``http_404`` and the like carry the status."""
    if error is None:
        return "no answer"
    status = error.removeprefix("http_")
    if error.startswith("http_") and status.isdecimal():
        return error_message(int(status), error)
    return error_message(None, error)


def reason_message(reason: str | None) -> str:
    """Return why a delivery is dead or cancelled."""
    return _REASONS.get(reason or "", (reason or "").replace("_", " "))
