"""Who asks: the names that the screens answer to, and whether a form came from one of our own pages."""

import ipaddress
import re
import socket
from typing import Final
from urllib.parse import SplitResult, urlsplit

from starlette.requests import Request

from commerce_event.core.problems import Problem
from commerce_event.settings import PREFIX, Settings
from commerce_event.web.origin import over_tls

_PORTS: Final = {"http": 80, "https": 443}
_NAME: Final = re.compile(r"[a-z0-9_.-]{1,253}", re.ASCII)


class Hosts:
    """The names that the screens may be asked for by.

    A stranger's page can let its own name point at this machine and then read what answers (DNS rebinding). It cannot
    do so with an address, with a loopback name, or with a name that somebody here has chosen.
    """

    def __init__(self, settings: Settings) -> None:
        own = {settings.host.lower(), socket.gethostname().lower()}
        self._names = frozenset({*own, *settings.allowed_hosts})

    def check(self, request: Request) -> None:
        """Raises Problem 421 for a name that is none of ours."""
        name = _host(request)
        if not (_is_address(name) or name == "localhost" or name.endswith(".localhost") or name in self._names):
            shown = name if _NAME.fullmatch(name) else "this name"
            raise Problem(
                421,
                f"The screens do not answer to {shown}, so that no other site can reach them under a name of its own. "
                "Open them by the server's address, or name the host in the server's settings: "
                f"{PREFIX}ALLOWED_HOSTS={shown if shown == name else 'events.example.com'}",
                title="Not at this name",
            )


def check_origin(request: Request) -> None:
    """Refuse what another site's page sent. Raises Problem 403."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site not in {None, "same-origin", "none"} or not (origin is None or _is_ours(origin, request, site)):
        raise Problem(
            403, "This came from another site and was refused. A proxy must pass on the Host header as it came."
        )


def _is_ours(origin: str, request: Request, site: str | None) -> bool:
    """Compare scheme, host and port. A proxy need not say that it ends TLS when the browser vouches for the origin."""
    ours, theirs = _split(f"//{request.headers.get('host', '')}"), _split(origin)
    if ours is None or theirs is None or theirs.scheme not in _PORTS or ours.hostname != theirs.hostname:
        return False
    scheme = "https" if over_tls(request) else "http"
    if scheme != theirs.scheme and (scheme == "https" or site != "same-origin"):
        return False
    default = _PORTS[theirs.scheme]
    return (ours.port or default) == (theirs.port or default)


def _host(request: Request) -> str:
    """Return the name asked for, in lower case and without its port; empty when there is none that can be read."""
    parts = _split(f"//{request.headers.get('host', '')}")
    return "" if parts is None else (parts.hostname or "").removesuffix(".")


def _split(url: str) -> SplitResult | None:
    """Return the parts of a URL, None when it has no host or port that can be read."""
    try:
        parts = urlsplit(url)
        return parts if parts.hostname and (parts.port is None or parts.port >= 0) else None
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
