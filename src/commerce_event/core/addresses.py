"""SSRF guard: decide which addresses deliveries may be sent to: public ones, and those that the operator allows.

The table is our own (``address_table``): the standard library's ``is_global`` differs between versions and accepts
cloud metadata and translated addresses.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from commerce_event.core import address_table as table

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network
_Range = tuple[int, int]

_MAPPED: Final = IPv6Network("::ffff:0:0/96")


class AddressPolicy:
    """Decides for each address. A decision takes a few microseconds and no I/O."""

    def __init__(self, allow: Sequence[str | _Network] = ()) -> None:
        """``allow`` are networks that deliveries may reach although they are not public.

        Multicast, broadcast and unspecified addresses are always refused. Addresses of cloud metadata services are
        refused unless an entry is exactly that address. Raises ValueError when an entry is not a network.
        """
        networks = [_network(entry) for entry in allow]
        self._allowed = {version: _ranges(n for n in networks if n.version == version) for version in (4, 6)}
        self._named = frozenset(n.network_address for n in networks if n.prefixlen == n.max_prefixlen)
        self.allows_any = bool(networks)

    def refusal(self, address: str) -> str | None:
        """Return why the address is refused, such as ``loopback``; None when it is allowed."""
        try:
            parsed = ip_address(address)
        except ValueError:
            return "not an address"
        if isinstance(parsed, IPv6Address):
            if parsed.scope_id is not None:
                return "zone id"
            parsed = parsed.ipv4_mapped or parsed
        return self._refusal(parsed)

    def _refusal(self, address: _Address) -> str | None:
        number = int(address)
        reason = _reason(address.version, number)
        if reason is None or reason in table.NEVER_ALLOWED:
            return reason
        if reason == table.METADATA:
            return None if address in self._named else reason
        if not _holds(self._allowed[address.version], number):
            return reason
        shift = table.IPV4_INSIDE.get(reason)
        return None if shift is None else self._refusal(IPv4Address(number >> shift & 0xFFFF_FFFF))


def _network(entry: str | _Network) -> _Network:
    text = str(entry).strip()
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise _no_network(text) from None
    if "%" in text:
        raise _no_network(text)
    if network.network_address != ip_address(text.partition("/")[0]):
        raise ValueError(f"{text!r} is an address inside a network; write {network} or the address alone")
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        raise ValueError(f"{text!r} stands for an IPv4 network; write it as IPv4, such as 10.0.0.0/8")
    return network


def _no_network(text: str) -> ValueError:
    return ValueError(f"{text[:60]!r} is not a network; write one such as 10.0.0.0/8 or fd12:3456::/32")


def _ranges(networks: Iterable[_Network]) -> tuple[_Range, ...]:
    return tuple((int(n.network_address), int(n.broadcast_address)) for n in networks)


def _listed(entries: Iterable[tuple[str, str]]) -> tuple[tuple[int, int, str], ...]:
    return tuple((*_ranges([ip_network(text)])[0], reason) for text, reason in entries)


_REFUSED: Final = {4: _listed(table.IPV4_REFUSED), 6: _listed(table.IPV6_REFUSED)}
_PUBLIC_FIRST, _PUBLIC_LAST = _ranges([ip_network(table.IPV6_PUBLIC)])[0]


def _reason(version: int, number: int) -> str | None:
    for first, last, reason in _REFUSED[version]:
        if first <= number <= last:
            return reason
    if version == 6 and not _PUBLIC_FIRST <= number <= _PUBLIC_LAST:
        return table.IPV6_OUTSIDE
    return None


def _holds(ranges: tuple[_Range, ...], number: int) -> bool:
    return any(first <= number <= last for first, last in ranges)
