"""The guard: a name becomes addresses once, every one of them is judged, and exactly those are dialled.

An answer with a single refused address is refused whole, so a name cannot be public when judged and private when
dialled. Literal addresses take the same way.
"""

import asyncio
import errno
import ipaddress
import socket
import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec

from commerce_event.core.addresses import AddressPolicy

_LOOKUPS_MAX: Final = 16  # threads; a lookup that hangs holds one until the system gives up
_LATE_LOOKUPS_MAX: Final = 4  # threads for hosts whose last lookup came too late: they keep nobody else waiting
_ADDRESSES_MAX: Final = 32
_REMEMBER_S: Final = 5.0
_REMEMBERED_MAX: Final = 10_000
_NOT_FOUND: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
_WILDCARDS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to

OUR_FAULTS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""Error numbers that say our machine has run out of something."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[..., list[tuple[Any, ...]]]


class TransportError(Exception):
    """A request got no answer. ``code`` is stable, ``detail`` one sentence; ``ours`` when the fault is on our side."""

    def __init__(self, code: str, detail: str, *, is_internal: bool = False) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.is_internal = is_internal


class Resolver:
    """Finds the addresses of a host that may be dialled."""

    def __init__(
        self, policy: AddressPolicy, own: Collection[tuple[str, int]] = (), *, lookup: Lookup = socket.getaddrinfo
    ) -> None:
        """``own`` are the (address, port) pairs we listen on ourselves: nothing is delivered to them.

        An unspecified address stands for every one of this machine.
        """
        self.policy = policy
        self._own = frozenset((_parsed(address), port) for address, port in own)
        self._own_everywhere = frozenset(port for address, port in own if address in _WILDCARDS)
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(_LOOKUPS_MAX, thread_name_prefix="resolver")
        self._late_threads = ThreadPoolExecutor(_LATE_LOOKUPS_MAX, thread_name_prefix="late-resolver")
        self._late: set[str] = set()
        self._under_way: dict[str, _Lookup] = {}
        self._remembered: dict[str, tuple[float, list[str]]] = {}

    async def addresses(self, host: str, port: int, timeout_s: float) -> list[str]:
        """Return every address of a host, all of them allowed. Raises TransportError."""
        found = [host] if _parsed(host) is not None else await self._resolve(host, timeout_s)
        for address in found:
            if self.policy.refusal(address) is not None or self._is_own(address, port):
                raise TransportError("blocked_address", "the host is at an address that is not delivered to")
        return found

    def close(self) -> None:
        for threads in (self._threads, self._late_threads):
            threads.shutdown(wait=False, cancel_futures=True)

    def _is_own(self, address: str, port: int) -> bool:
        parsed = _parsed(address)
        return (parsed, port) in self._own or (
            parsed is not None and port in self._own_everywhere and _is_of_this_machine(parsed)
        )

    async def _resolve(self, host: str, timeout_s: float) -> list[str]:
        now = asyncio.get_running_loop().time()
        remembered = self._remembered.get(host)
        if remembered is not None and now < remembered[0]:
            return remembered[1]
        lookup = self._under_way.get(host)
        if lookup is None:  # one at a time for each host: whoever comes meanwhile shares its answer
            lookup = self._start(host)
        await asyncio.wait((lookup.answer,), timeout=max(0.0, timeout_s))
        if not lookup.answer.done():
            # with every thread held by other hosts' name servers, this host is not to blame
            to_blame = lookup.begun()
            if to_blame:
                self._late.add(host)
            raise TransportError("dns_timeout", "the host name was not looked up in time", is_internal=not to_blame)
        if lookup.answer.cancelled():
            raise TransportError("dns_failed", "the host name was not looked up: shutting down", is_internal=True)
        return lookup.answer.result()

    def _start(self, host: str) -> "_Lookup":
        begun = threading.Event()

        def ask() -> list[str]:
            begun.set()
            return self._ask(host)

        threads = self._threads
        if host in self._late:
            self._late.discard(host)
            threads = self._late_threads
        answer = asyncio.get_running_loop().run_in_executor(threads, ask)
        lookup = self._under_way[host] = _Lookup(answer, begun.is_set)
        answer.add_done_callback(lambda done: self._finish(host, done))
        return lookup

    def _finish(self, host: str, answer: "asyncio.Future[list[str]]") -> None:
        del self._under_way[host]
        if answer.cancelled() or answer.exception() is not None:
            return
        if len(self._remembered) >= _REMEMBERED_MAX:
            self._remembered.clear()
            self._late.clear()
        self._remembered[host] = (answer.get_loop().time() + _REMEMBER_S, answer.result())

    def _ask(self, host: str) -> list[str]:
        try:
            answer = self._lookup(host, None, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            if error.errno in _NOT_FOUND:
                raise TransportError("dns_not_found", "the host name has no address") from None
            raise TransportError("dns_failed", "the host name could not be looked up") from None
        except (OSError, UnicodeError) as error:
            is_internal = isinstance(error, OSError) and error.errno in OUR_FAULTS
            raise TransportError(
                "dns_failed", "the host name could not be looked up", is_internal=is_internal
            ) from None
        found = list(dict.fromkeys(str(entry[4][0]) for entry in answer))
        if not found:
            raise TransportError("dns_not_found", "the host name has no address")
        return found[:_ADDRESSES_MAX]


class _Lookup(msgspec.Struct, frozen=True):
    answer: "asyncio.Future[list[str]]"
    begun: Callable[[], bool]  # a thread was free for it


def _is_of_this_machine(address: _Address) -> bool:
    """Whether the system would talk to that address from the very same one; nothing is sent to find out."""
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            return ipaddress.ip_address(probe.getsockname()[0]) == address
    except OSError:  # no way leads there
        return False


def _parsed(address: str) -> _Address | None:
    """Return an address, an IPv4 one inside IPv6 as IPv4; None for a name."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, ipaddress.IPv6Address) else parsed
