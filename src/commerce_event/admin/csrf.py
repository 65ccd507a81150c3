"""Protection against other sites: the host names that the screens answer to, and the origin of a form."""

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


class HostCheck:
    """The host names that the screens answer to.

    Another site can let its own name point to this machine and then read the answers (DNS rebinding). It cannot do so
    with an address, with a loopback name, or with a name from the server's settings.
    """

    def __init__(self, settings: Settings) -> None:
        own = {settings.host.lower(), socket.gethostname().lower()}
        self._names = frozenset({*own, *settings.allowed_hosts})

    def check(self, request: Request) -> None:
        """Raise Problem 421 for any other host name."""
        name = _host(request)
        if not (_is_address(name) or name == "localhost" or name.endswith(".localhost") or name in self._names):
            shown = name if _NAME.fullmatch(name) else "this name"
            raise Problem(
                421,
                f"The screens do not answer to {shown}, to protect them from other sites. "
                "Open them at the server's address, or add the host to the server's settings: "
                f"{PREFIX}ALLOWED_HOSTS={shown if shown == name else 'events.example.com'}",
                title="Unknown host name",
            )


def check_origin(request: Request) -> None:
    """Reject a request from another site's page. Raises Problem 403."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site == "same-origin" and origin == "null":  # from a page that sends no referrer; no other page can say this
        return
    if site not in {None, "same-origin", "none"} or not (origin is None or _is_same_origin(origin, request, site)):
        raise Problem(
            403,
            "The request came from another site and was rejected. A proxy in front of the server must pass on the Host "
            "header unchanged.",
        )


def _is_same_origin(origin: str, request: Request, site: str | None) -> bool:
    """Compare scheme, host and port. The scheme may differ behind a proxy when the browser says same-origin."""
    ours, theirs = _split(f"//{request.headers.get('host', '')}"), _split(origin)
    if ours is None or theirs is None or theirs.scheme not in _PORTS or ours.hostname != theirs.hostname:
        return False
    scheme = "https" if over_tls(request) else "http"
    if scheme != theirs.scheme and (scheme == "https" or site != "same-origin"):
        return False
    default = _PORTS[theirs.scheme]
    return (ours.port or default) == (theirs.port or default)


def _host(request: Request) -> str:
    """Return the requested host name in lower case, without its port; empty when it cannot be read."""
    parts = _split(f"//{request.headers.get('host', '')}")
    return "" if parts is None else (parts.hostname or "").removesuffix(".")


def _split(url: str) -> SplitResult | None:
    """Return the parts of a URL; None when host or port cannot be read."""
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
