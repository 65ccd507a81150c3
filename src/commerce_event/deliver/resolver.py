"""The resolver (SSRF guard): looks a host name up once and checks all addresses; only these are connected to.

An answer with a single refused address is refused as a whole, so a name cannot be public when it is checked and
private when it is connected to. Literal addresses are checked in the same way.
"""

import asyncio
import errno
import ipaddress
import math
import socket
import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec

from commerce_event.core.addresses import AddressPolicy

_LOOKUPS_MAX: Final = 16  # threads; a lookup that hangs holds one until the system gives up
_REFRESHES_MAX: Final = 4  # threads that look again for hosts with open connections; nothing waits for them
_SLOW_LOOKUPS_MAX: Final = 4  # threads for hosts whose last lookup was too slow, so they do not delay other hosts
_ADDRESSES_MAX: Final = 32
_CACHE_S: Final = 5.0
_CACHE_MAX: Final = 10_000
_NOT_FOUND: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
_WILDCARDS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to

INTERNAL_ERRNOS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""Error numbers that mean this machine has run out of a resource."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[..., list[tuple[Any, ...]]]


class TransportError(Exception):
    """A request got no answer. ``code`` is stable; ``is_internal`` when the fault is on our side."""

    def __init__(self, code: str, detail: str, *, is_internal: bool = False) -> None:
        super().__init__(detail)
        self.code = code
        self.is_internal = is_internal


class Resolver:
    """Finds the addresses of a host, and refuses those that must not be connected to."""

    def __init__(
        self, policy: AddressPolicy, own: Collection[tuple[str, int]] = (), *, lookup: Lookup = socket.getaddrinfo
    ) -> None:
        """``own`` are the (address, port) pairs that this server listens on: nothing is delivered to them.

        An unspecified address (0.0.0.0 or ::) stands for every address of this machine.
        """
        self.policy = policy
        self._own = frozenset((_parse(address), port) for address, port in own)
        self._own_wildcard_ports = frozenset(port for address, port in own if address in _WILDCARDS)
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(_LOOKUPS_MAX, thread_name_prefix="resolver")
        self._slow_threads = ThreadPoolExecutor(_SLOW_LOOKUPS_MAX, thread_name_prefix="slow-resolver")
        self._slow_hosts: set[str] = set()
        self._running: dict[str, _Lookup] = {}
        self._cache: dict[str, tuple[float, list[str]]] = {}
        self._refresh_threads = ThreadPoolExecutor(_REFRESHES_MAX, thread_name_prefix="refresher")
        self._refresh_at: dict[str, float] = {}  # by host: not before then; infinite while one runs

    async def addresses(self, host: str, port: int, timeout_s: float) -> list[str]:
        """Return every address of a host, all of them allowed. Raises TransportError."""
        found = [host] if _parse(host) is not None else await self._resolve(host, timeout_s)
        for address in found:
            if self.policy.refusal(address) is not None or self._is_own(address, port):
                raise TransportError("blocked_address", "the host has an address that is not allowed")
        return found

    def has_moved(self, host: str, address: str) -> bool:
        """Whether the newest answer for a host lacks an address that is connected to.

        Never waits: when the newest answer is old, the host is looked up again for the next call.
        """
        loop = asyncio.get_running_loop()
        cached = self._cache.get(host)
        if cached is not None and loop.time() < cached[0]:
            return address not in cached[1]
        if loop.time() >= self._refresh_at.get(host, 0.0):
            if len(self._refresh_at) >= _CACHE_MAX:
                self._refresh_at.clear()
            self._refresh_at[host] = math.inf
            answer = loop.run_in_executor(self._refresh_threads, self._query, host)
            answer.add_done_callback(lambda done: self._refreshed(host, done))
        return cached is not None and address not in cached[1]

    def close(self) -> None:
        for threads in (self._threads, self._slow_threads, self._refresh_threads):
            threads.shutdown(wait=False, cancel_futures=True)

    def _is_own(self, address: str, port: int) -> bool:
        parsed = _parse(address)
        return (parsed, port) in self._own or (
            parsed is not None and port in self._own_wildcard_ports and _is_local(parsed)
        )

    async def _resolve(self, host: str, timeout_s: float) -> list[str]:
        now = asyncio.get_running_loop().time()
        cached = self._cache.get(host)
        if cached is not None and now < cached[0]:
            return cached[1]
        lookup = self._running.get(host)
        if lookup is None:  # one at a time for each host; concurrent callers share its answer
            lookup = self._start(host)
        await asyncio.wait((lookup.answer,), timeout=max(0.0, timeout_s))
        if not lookup.answer.done():
            is_slow = lookup.started()  # if not, slow lookups of other hosts hold every thread
            if is_slow:
                self._slow_hosts.add(host)
            raise TransportError("dns_timeout", "the host name was not looked up in time", is_internal=not is_slow)
        if lookup.answer.cancelled():
            raise TransportError("dns_failed", "the host name was not looked up: shutting down", is_internal=True)
        return lookup.answer.result()

    def _start(self, host: str) -> "_Lookup":
        started = threading.Event()

        def query() -> list[str]:
            started.set()
            return self._query(host)

        threads = self._threads
        if host in self._slow_hosts:
            self._slow_hosts.discard(host)
            threads = self._slow_threads
        answer = asyncio.get_running_loop().run_in_executor(threads, query)
        lookup = self._running[host] = _Lookup(answer, started.is_set)
        answer.add_done_callback(lambda done: self._finish(host, done))
        return lookup

    def _finish(self, host: str, answer: "asyncio.Future[list[str]]") -> None:
        del self._running[host]
        self._keep(host, answer)

    def _refreshed(self, host: str, answer: "asyncio.Future[list[str]]") -> None:
        self._refresh_at[host] = answer.get_loop().time() + _CACHE_S  # also after a failure: no faster than that
        self._keep(host, answer)

    def _keep(self, host: str, answer: "asyncio.Future[list[str]]") -> None:
        if answer.cancelled() or answer.exception() is not None:
            return
        if len(self._cache) >= _CACHE_MAX:
            self._cache.clear()
            self._slow_hosts.clear()
        self._cache[host] = (answer.get_loop().time() + _CACHE_S, answer.result())

    def _query(self, host: str) -> list[str]:
        try:
            answer = self._lookup(host, None, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            if error.errno in _NOT_FOUND:
                raise TransportError("dns_not_found", "the host name has no address") from None
            raise TransportError("dns_failed", "the host name could not be looked up") from None
        except (OSError, UnicodeError) as error:
            is_internal = isinstance(error, OSError) and error.errno in INTERNAL_ERRNOS
            raise TransportError(
                "dns_failed", "the host name could not be looked up", is_internal=is_internal
            ) from None
        found = list(dict.fromkeys(str(entry[4][0]) for entry in answer))
        if not found:
            raise TransportError("dns_not_found", "the host name has no address")
        return found[:_ADDRESSES_MAX]


class _Lookup(msgspec.Struct, frozen=True):
    answer: "asyncio.Future[list[str]]"
    started: Callable[[], bool]  # a thread was free for it


def _is_local(address: _Address) -> bool:
    """Whether an address belongs to this machine: the system would use it as its own source. Nothing is sent."""
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            return ipaddress.ip_address(probe.getsockname()[0]) == address
    except OSError:  # there is no route
        return False


def _parse(address: str) -> _Address | None:
    """Return an address, with IPv4 in IPv6 form as IPv4; None for a name."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, ipaddress.IPv6Address) else parsed
