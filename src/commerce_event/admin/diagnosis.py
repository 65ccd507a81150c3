"""The diagnosis of an attempt: the redirects that it met, how far its last request came, and the certificate."""

from ipaddress import ip_address
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from commerce_event.api.response_models import AttemptView, CertificateView

Mark = Literal["done", "failed", "not reached"]

_PHASES: Final = (
    ("name", "name"),
    ("connect", "connect"),
    ("tls", "TLS"),
    ("request", "request"),
    ("waiting", "waiting"),
    ("reading", "reading"),
)


class Hop(msgspec.Struct, frozen=True):
    """A request of an attempt. ``label`` is what led to it: POST, or the status of a redirect."""

    label: str
    url: str


class Step(msgspec.Struct, frozen=True):
    """A phase of a request."""

    name: str
    mark: Mark


class Diagnosis(msgspec.Struct, frozen=True):
    """Facts of an attempt that failed or was redirected; ``hops`` is empty without redirects."""

    hops: list[Hop]
    end: str  # how the last of the hops ended
    tone: str
    steps: list[Step]  # of the last request; empty when it was answered in full
    address: str | None
    certificate: CertificateView | None


def diagnosis(attempt: AttemptView, url: str) -> Diagnosis | None:
    """Return the facts of an attempt to this URL; None when there is nothing to tell."""
    is_success = attempt.status is not None and 200 <= attempt.status <= 299
    if not attempt.redirects and attempt.phase is None and (is_success or attempt.address is None):
        return None
    hops = [Hop("POST", url), *(Hop(str(each.status), each.location) for each in attempt.redirects)]
    return Diagnosis(
        hops=hops if attempt.redirects else [],
        end=_end(attempt),
        tone="good" if is_success else "bad",
        steps=_steps(attempt, hops[-1].url),
        address=attempt.address,
        certificate=attempt.certificate,
    )


def _end(attempt: AttemptView) -> str:
    if attempt.status is None:
        return "failed" if attempt.phase is None else f"failed: {dict(_PHASES)[attempt.phase]}"
    return "not followed" if 300 <= attempt.status <= 399 else f"answered {attempt.status}"


def _steps(attempt: AttemptView, url: str) -> list[Step]:
    """Return the phases of a request to this URL, up to the one in which it failed and after it."""
    if attempt.phase is None:
        return []
    left_out = ({"tls"} if url.startswith("http://") else set()) | ({"name"} if _is_address(url) else set())
    names = [name for name, _ in _PHASES if name not in left_out or name == attempt.phase]
    failed = names.index(attempt.phase)
    return [
        Step(dict(_PHASES)[name], "done" if at < failed else "failed" if at == failed else "not reached")
        for at, name in enumerate(names)
    ]


def _is_address(url: str) -> bool:
    """Whether the host of a URL is an address."""
    try:
        ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return False
    return True
