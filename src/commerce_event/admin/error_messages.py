"""What went wrong with an attempt, in words that say where to look."""

from typing import Final

_ERRORS: Final = {
    "timeout": "no complete answer in time",
    "connect_refused": "connection refused: nothing listens at this address",
    "connect_failed": "the address cannot be reached",
    "connection_reset": "the receiver broke the connection off before it answered",
    "connection_closed": "the receiver closed the connection before it answered",
    "connection_stale": "the receiver closed an idle connection just as it was used again; not counted as a failure",
    "bad_http": "what came back is not HTTP",
    "tls_expired": "the receiver's certificate is no longer valid, or not yet",
    "tls_self_signed": "the receiver's certificate signed itself",
    "tls_unknown_ca": "the authority of the receiver's certificate is unknown, or one in between is missing",
    "tls_wrong_host": "the receiver's certificate is made out for another host",
    "tls_version": "the receiver speaks no TLS 1.2 or newer",
    "tls_client_certificate": "the receiver wants a certificate of ours, which it does not get",
    "tls_failed": "TLS failed: look at the receiver's certificate",
    "dns_not_found": "the host name has no address: is it spelled right?",
    "dns_failed": "the host name could not be looked up",
    "dns_timeout": "the host name was not looked up in time",
    "blocked_address": "the host is at a private address, which this server does not deliver to",
    "invalid_url": "the URL breaks rules that became stricter since it was saved",
    "redirect_refused": "it redirected to where an event may not follow",
    "too_many_redirects": "it redirected more than five times",
    "truncated": "its body broke off",
    "interrupted": "this server went down, or the delivery was cancelled, during the attempt",
    "internal": "a fault of this server; its log has it",
}
_STATUSES: Final = {
    400: "the receiver found the request wrong",
    401: "the receiver wants other credentials: look at the static headers",
    403: "the receiver does not allow it: look at the static headers",
    404: "nothing is at this path: look at the URL",
    405: "this path takes no POST: look at the URL",
    408: "the receiver gave up waiting for the request",
    409: "the receiver found a conflict",
    410: "the receiver says that it is gone for good",
    413: "the receiver finds the event too large",
    415: "the receiver does not take JSON here",
    422: "the receiver found the event wrong",
    429: "the receiver asks for fewer requests",
    503: "the receiver is not available now",
    504: "what is behind the receiver did not answer in time",
}
_REASONS: Final = {
    "attempts_exhausted": "every retry was used up",
    "gone": "the receiver said that it is gone",
    "internal": "a fault of this server",
    "damaged": "its event is lost: the store is damaged",
    "cancelled_by_user": "cancelled by a person",
    "endpoint_deleted": "its endpoint was deleted",
}


def in_words(status: int | None, error: str | None) -> str:
    """Return what is wrong with an answer, or why there was none; empty when nothing is."""
    if error is not None and not error.startswith("http_"):
        return _ERRORS.get(error, error.replace("_", " "))
    if status is None:
        return "no answer" if error is None else error.replace("_", " ")
    if 200 <= status <= 299:
        return ""
    if status in _STATUSES:
        return _STATUSES[status]
    return "the receiver failed inside" if status >= 500 else "the receiver did not take it"


def error_in_words(error: str | None) -> str:
    """Return what an attempt's error means, when its status is known from the error alone."""
    if error is None:
        return "no answer"
    status = error.removeprefix("http_")
    return in_words(int(status), error) if error.startswith("http_") and status.isdecimal() else in_words(None, error)


def reason_in_words(reason: str | None) -> str:
    """Return why a delivery is dead or cancelled."""
    return _REASONS.get(reason or "", (reason or "").replace("_", " "))
