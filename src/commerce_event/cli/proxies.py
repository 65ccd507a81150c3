"""Proxies of the environment: servers of this machine are asked directly, others as HTTP_PROXY and the like say."""

import ipaddress
import os
import socket
from contextlib import suppress
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

import httpx

from commerce_event.cli.errors import UsageError

_PORTS: Final = {"http": 80, "https": 443}


class Proxy(NamedTuple):
    """A proxy, and the environment variable that names it."""

    variable: str
    url: str


def open_client(url: str, **options: Any) -> tuple[httpx.Client, Proxy | None]:
    """Return a client for a server, and the proxy that it uses. Raises UsageError for a proxy that cannot be used."""
    connection, proxy = connection_options(url)
    return httpx.Client(base_url=url, **connection, **options), proxy


def connection_options(url: str) -> tuple[dict[str, Any], Proxy | None]:
    """Return the options of an httpx client for a server, and the proxy that it uses.

    httpx would read the variables itself, and then hand the key of a local server to a proxy.
    Raises UsageError for a proxy that cannot be used.
    """
    proxy = proxy_for(url)
    options: dict[str, Any] = {"trust_env": False}
    if url.startswith("https:"):
        try:
            options["verify"] = httpx.create_ssl_context()  # with the certificates of SSL_CERT_FILE or SSL_CERT_DIR
        except OSError as error:
            raise UsageError(f"SSL_CERT_FILE or SSL_CERT_DIR cannot be used ({error.strerror or error})") from None
    if proxy is None:
        return options, None
    scheme, separator, _ = proxy.url.partition("://")
    if separator and scheme not in {"http", "https"}:
        raise _unusable(proxy, f"names a proxy of the kind {scheme[:20]}, which commands cannot use")
    try:
        options["proxy"] = httpx.Proxy(proxy.url if separator else f"http://{proxy.url}")
    except (httpx.InvalidURL, ValueError):
        raise _unusable(proxy, "is not the URL of a proxy") from None
    return options, proxy


def proxy_for(url: str) -> Proxy | None:
    """Return the proxy that the environment names for a URL; None for a server of this machine."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:  # the client reports it
        return None
    if not host or is_local(host) or proxy_bypass(f"{host}:{port}") or _is_in_networks(host):
        return None
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            if value := os.environ.get(variable, "").strip():
                return Proxy(variable, value)
    return None


def is_local(host: str) -> bool:
    """Tell whether a host is this machine: a loopback name, an address of an interface, or the machine's name."""
    host = host.lower()
    if host == "localhost" or host.endswith(".localhost") or host == socket.gethostname().lower():
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:  # only an address of this machine can be bound
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def _is_in_networks(host: str) -> bool:
    """Tell whether a host is an address of a network in NO_PROXY, such as 10.0.0.0/8, which urllib does not know."""
    entries = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for entry in entries.split(","):
        with suppress(ValueError):
            if address in ipaddress.ip_network(entry.strip(), strict=False):
                return True
    return False


def _unusable(proxy: Proxy, what: str) -> UsageError:
    return UsageError(
        f"{proxy.variable} {what}; set an http:// proxy there, or add the server's host to NO_PROXY to ask it directly"
    )
