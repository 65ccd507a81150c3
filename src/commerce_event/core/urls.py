"""Parse and normalise URLs: the same text is checked, stored, shown and connected to."""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from string import ascii_lowercase, ascii_uppercase
from typing import Final
from urllib.parse import quote, urljoin

import idna
import msgspec

from commerce_event.core.addresses import AddressPolicy

MAX_LENGTH: Final = 2048
_HOST_MAX: Final = 253
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

# The Fetch standard's bad ports: services that could mistake an HTTP request for their own protocol.
# fmt: off
_BAD_PORTS: Final = frozenset({
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110,
    111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532,
    540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061,
    6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
})
# fmt: on

_FORBIDDEN: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f\\\ud800-\udfff]")
_SHAPE: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^#]*)(#.*)?")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_AUTHORITY: Final = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([^:]*))?")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LOCAL_NAMES: Final = re.compile(r"[^.]+|(?:.*\.)?(?:localhost|localdomain|local|internal|home\.arpa)")
_LOWER: Final = str.maketrans(ascii_uppercase, ascii_lowercase)
_PATH_SAFE: Final = "/?:@!$&'()*+,;=%[]"


class InvalidUrlError(ValueError):
    """The URL cannot be used; the message says why, without secrets and with little of the URL."""


class RefusedAddressError(InvalidUrlError):
    """The URL is valid, but its host is an address that deliveries may not be sent to."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the URL has an address that deliveries may not be sent to ({reason}); "
            "use a public one, or have the operator allow its network (COMMERCE_EVENT_ALLOW_NETWORKS)"
        )
        self.reason = reason


class Target(msgspec.Struct, frozen=True):
    """Where a request goes, normalised: parsing ``text`` returns the same target."""

    scheme: str  # "http" or "https"
    host: str  # lower-case ASCII; an IPv6 address is without brackets
    port: int
    path: str  # with the query, percent-encoded; starts with "/"
    literal: bool  # the host is an address, not a name

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """The value of the Host header: the port only if it is not the default, IPv6 in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def text(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def parse_url(text: str, policy: AddressPolicy) -> Target:
    """Return the target of an absolute http or https URL.

    Raises InvalidUrlError when it is not exactly that, and its subclass RefusedAddressError for an address that the
    policy refuses. Local names, such as ``localhost`` or ``erp``, need a policy that allows some network.
    """
    _check_text(text)
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise InvalidUrlError("this is not a complete URL; write one such as https://shop.example/events")
    scheme, authority, path, fragment = shape.groups()
    scheme = scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        raise InvalidUrlError("the URL must start with https:// or http://")
    if fragment is not None:
        raise InvalidUrlError("the URL has a fragment, which is never sent; leave out the # and what follows it")
    host_text, port_text = _split(authority)
    host, literal = _host(host_text, policy)
    port = _DEFAULT_PORTS[scheme] if port_text is None else _port(port_text)
    target = Target(scheme=scheme, host=host, port=port, path=_path(path), literal=literal)
    _check_length(target.text)
    return target


def resolve_location(target: Target, raw_location: bytes, policy: AddressPolicy) -> Target:
    """Return where a redirect from ``target`` leads: its Location may be absolute or relative.

    It should be ASCII. Otherwise it is read as UTF-8; if it is not UTF-8, its other bytes are percent-encoded, as in
    curl and Chromium. Raises InvalidUrlError as ``parse_url`` does.
    """
    try:
        location = raw_location.decode()
    except UnicodeDecodeError:
        location = "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in raw_location)
    _check_text(location)
    reference = location.partition("#")[0]  # a fragment is for browsers
    if not reference:
        raise InvalidUrlError("the redirect does not say where to go")
    if _SCHEME.match(reference):
        return parse_url(reference, policy)
    if reference.startswith("//"):
        return parse_url(f"{target.scheme}:{reference}", policy)
    return parse_url(urljoin(target.text, reference), policy)


def _check_text(text: str) -> None:
    _check_length(text)
    if _FORBIDDEN.search(text):
        raise InvalidUrlError("the URL has a space, a backslash or a control character; percent-encode it in the path")


def _check_length(text: str) -> None:
    if len(text) > MAX_LENGTH:
        raise InvalidUrlError(f"the URL is longer than {MAX_LENGTH} characters; use a shorter one")


def _split(authority: str) -> tuple[str, str | None]:
    if "@" in authority:
        raise InvalidUrlError("the URL has a user name or password; send credentials in a static header instead")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise InvalidUrlError("the host and port are ambiguous; write an IPv6 address in brackets")
    return parts[1], parts[2]


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise InvalidUrlError("the port must be a number from 1 to 65535, or be left out")
    if int(text) in _BAD_PORTS:
        raise InvalidUrlError(f"port {text} belongs to a protocol other than HTTP; use another port")
    return int(text)


def _host(text: str, policy: AddressPolicy) -> tuple[str, bool]:
    """Return the host in normal form, and whether it is an address."""
    if text.startswith("["):
        return _admitted(_ipv6(text[1:-1]), policy), True
    if not text or len(text) > _HOST_MAX:
        raise InvalidUrlError(f"the URL must have a host, of at most {_HOST_MAX} characters")
    lower = text.translate(_LOWER)  # ASCII only: other letters could turn into ASCII ones
    last = lower.rpartition(".")[2]
    if _NUMBER.fullmatch(last) or last.isdigit():
        return _admitted(_ipv4(lower), policy), True
    return _name(lower, policy), False


def _admitted(address: str, policy: AddressPolicy) -> str:
    reason = policy.refusal(address)
    if reason is not None:
        raise RefusedAddressError(reason)
    return address


def _ipv4(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except AddressValueError:
        raise InvalidUrlError("an IPv4 address must be four decimal numbers, such as 93.184.215.14") from None


def _ipv6(text: str) -> str:
    try:
        address = IPv6Address(text)
    except AddressValueError:
        raise InvalidUrlError("the text in brackets is not an IPv6 address, such as [2606:4700::1111]") from None
    if address.scope_id is not None:
        raise InvalidUrlError("an IPv6 address may not have a zone id; leave out the % and what follows it")
    return str(address.ipv4_mapped or address)


def _name(lower: str, policy: AddressPolicy) -> str:
    host = lower if lower.isascii() else _a_labels(lower)
    if host.endswith("."):
        raise InvalidUrlError("the host ends in a dot; leave it out")
    labels = host.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise _no_domain_name(lower)
    if any(label.startswith("xn--") for label in labels):
        _a_labels(host)
    if not policy.allows_any and _LOCAL_NAMES.fullmatch(host):
        raise InvalidUrlError(
            f"{host[:40]!r} is a local name; use a public one, or have the operator allow the network it is in "
            "(COMMERCE_EVENT_ALLOW_NETWORKS)"
        )
    return host


def _a_labels(host: str) -> str:
    """Return an international name in its ASCII form (IDNA 2008, without mapping)."""
    try:
        return idna.encode(host, strict=True, uts46=False).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise _no_domain_name(host) from None


def _no_domain_name(host: str) -> InvalidUrlError:
    return InvalidUrlError(f"{host[:40]!a} is not a domain name; write it in lower case, or in its xn-- form")


def _path(text: str) -> str:
    return quote(text if text.startswith("/") else f"/{text}", safe=_PATH_SAFE)
