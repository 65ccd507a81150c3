"""The resolver (SSRF guard): looks a host name up once and checks all addresses; only these are connected to.

An answer with a single refused address is refused as a whole, so a name cannot be public when it is checked and
private when it is connected to. Literal addresses are checked in the same way.

A look-up that hangs holds a thread until the system gives up, so each client may hold few of them and clients take
turns: names that one client's receivers lead to, under a silent name server, delay no other client. Hosts that were
found before have threads of their own, and a look-up that takes too long leaves its place to the next one.
"""

import asyncio
import errno
import ipaddress
import math
import socket
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, Final, Literal, get_args

from commerce_event.core.addresses import AddressPolicy
from commerce_event.core.model import Phase
from commerce_event.daemon_threads import DaemonThreads

_LOOKUPS_MAX: Final = 16  # threads
_KNOWN_LOOKUPS_MAX: Final = 8  # more threads for hosts whose last lookup was answered
_CLIENT_MAX: Final = 4  # of either, for one client
_SLOW_CLIENT_MAX: Final = 2  # the same while its lookups are too slow; all such clients have half of the threads
_SLOW_LOOKUPS_MAX: Final = 4  # threads for hosts whose last lookup was too slow, so they do not delay other hosts
_REFRESHES_MAX: Final = 4  # threads that look again for hosts with open connections; nothing waits for them
_CLIENT_OTHER_MAX: Final = 2  # of either, for one client
_LOOKUP_S: Final = 2.0  # after that, a lookup counts as stuck instead, and another one may run
_STUCK_MAX: Final = 32  # threads, which are free again when the system gives up
_CLIENT_STUCK_MAX: Final = 4  # of them, for one client
_ADDRESSES_MAX: Final = 32
_CACHE_S: Final = 5.0
_CACHE_MAX: Final = 10_000
_NOT_FOUND: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
_WILDCARDS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to

INTERNAL_ERRNOS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""Error numbers that mean this machine has run out of a resource."""

_Kind = Literal["usual", "known", "slow", "refresh", "stuck"]
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[..., list[tuple[Any, ...]]]


class TransportError(Exception):
    """A request got no answer. ``code`` is stable; ``is_internal`` when the fault is on our side.

    ``phase`` is how far it came, and ``address`` the one that was dialled; None where that is not known.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        is_internal: bool = False,
        phase: Phase | None = None,
        address: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.is_internal = is_internal
        self.phase = phase
        self.address = address


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
        self._threads = DaemonThreads(
            _LOOKUPS_MAX + _KNOWN_LOOKUPS_MAX + _SLOW_LOOKUPS_MAX + _REFRESHES_MAX + _STUCK_MAX, name="resolver"
        )
        self._slow_hosts: set[str] = set()
        self._known_hosts: dict[str, None] = {}  # whose latest lookup was answered; the latest is the last
        self._slow_clients: set[int] = set()  # whose latest lookup was too slow
        self._lookups: dict[tuple[str, bool], _Lookup] = {}  # by host, and whether it is a refresh
        self._waiting: dict[int, dict[_Lookup, None]] = {}  # by client, the next in turn first
        self._held: Counter[tuple[int, _Kind]] = Counter()  # threads, by client
        self._is_closed = False
        self._cache: dict[str, tuple[float, list[str]]] = {}
        self._refresh_at: dict[str, float] = {}  # by host: not before then; infinite while one runs

    async def addresses(self, host: str, port: int, timeout_s: float, *, client: int = 0) -> list[str]:
        """Return every address of a host, all of them allowed. Raises TransportError.

        ``client`` is the client that a lookup is made for, also when a redirect led to the host.
        """
        found = [host] if _parse(host) is not None else await self._resolve(host, timeout_s, client)
        for address in found:
            if self.policy.refusal(address) is not None or self._is_own(address, port):
                raise TransportError("blocked_address", "the host has an address that is not allowed")
        return found

    def has_moved(self, host: str, address: str, *, client: int = 0) -> bool:
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
            lookup = self._look_up(host, client, is_refresh=True)
            lookup.callers += 1  # it is wanted although nobody waits
            lookup.answer.add_done_callback(lambda _: self._refreshed(host))
        return cached is not None and address not in cached[1]

    def close(self) -> None:
        self._is_closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for lookup in list(self._lookups.values()):
            if not lookup.started:
                self._drop(lookup)

    def _is_own(self, address: str, port: int) -> bool:
        parsed = _parse(address)
        return (parsed, port) in self._own or (
            parsed is not None and port in self._own_wildcard_ports and _is_local(parsed)
        )

    async def _resolve(self, host: str, timeout_s: float, client: int) -> list[str]:
        now = asyncio.get_running_loop().time()
        cached = self._cache.get(host)
        if cached is not None and now < cached[0]:
            return cached[1]
        lookup = self._look_up(host, client)
        lookup.callers += 1
        try:
            await asyncio.wait((lookup.answer,), timeout=max(0.0, timeout_s))
        finally:
            lookup.callers -= 1
            if not lookup.callers and not lookup.started:
                self._drop(lookup)
        if lookup.started and not lookup.answer.done():
            lookup.is_late = True
            self._slow_hosts.add(host)
            self._slow_clients.add(lookup.client)
            raise TransportError("dns_timeout", "the host name was not looked up in time")
        if not lookup.started and not self._is_closed:  # slow lookups of other hosts hold every thread
            raise TransportError("dns_timeout", "the host name was not looked up in time", is_internal=True)
        if lookup.answer.cancelled():
            raise TransportError("dns_failed", "the host name was not looked up: shutting down", is_internal=True)
        return lookup.answer.result()

    def _look_up(self, host: str, client: int, *, is_refresh: bool = False) -> "_Lookup":
        """Return the lookup of a host, one at a time for each: concurrent callers share its answer."""
        lookup = self._lookups.get((host, is_refresh))
        if lookup is None:
            lookup = _Lookup(host, client, asyncio.get_running_loop().create_future(), is_refresh=is_refresh)
            self._lookups[host, is_refresh] = lookup
        if not lookup.started:  # also when it waits for the turn of another client, which may be late
            self._waiting.setdefault(client, {}).setdefault(lookup)
            self._start_waiting()
        return lookup

    def _start_waiting(self) -> None:
        """Start the lookups that may start: clients take turns."""
        has_started = not self._is_closed
        while has_started:
            has_started = False
            for client in list(self._waiting):
                may_start = {kind: self._may_start(client, kind) for kind in get_args(_Kind)}
                waiting = self._waiting.get(client, {})
                found = next(((each, kind) for each in waiting for kind in self._kinds(each) if may_start[kind]), None)
                if found is not None:
                    self._waiting[client] = self._waiting.pop(client)  # the last in turn
                    self._start(*found, client)
                    has_started = True

    def _kinds(self, lookup: "_Lookup") -> tuple[_Kind, ...]:
        """Return which threads a lookup may use, the first choice first."""
        if lookup.is_refresh:
            return ("refresh",)
        if lookup.host in self._slow_hosts:
            return ("slow",)
        return ("known", "usual") if lookup.host in self._known_hosts else ("usual",)

    def _may_start(self, client: int, kind: _Kind) -> bool:
        """Whether there is a thread for a client's lookup."""
        held = self._held[client, kind]
        in_all = sum(count for (_, each), count in self._held.items() if each == kind)
        if kind == "stuck":
            return in_all < _STUCK_MAX and held < _CLIENT_STUCK_MAX
        if kind == "known":
            return in_all < _KNOWN_LOOKUPS_MAX and held < _CLIENT_MAX
        if kind != "usual":
            return in_all < (_SLOW_LOOKUPS_MAX if kind == "slow" else _REFRESHES_MAX) and held < _CLIENT_OTHER_MAX
        if client not in self._slow_clients:
            return in_all < _LOOKUPS_MAX and held < _CLIENT_MAX
        by_slow_clients = sum(
            count for (each, other), count in self._held.items() if other == kind and each in self._slow_clients
        )
        return in_all < _LOOKUPS_MAX and held < _SLOW_CLIENT_MAX and by_slow_clients < max(1, _LOOKUPS_MAX // 2)

    def _start(self, lookup: "_Lookup", kind: _Kind, client: int) -> None:
        self._stop_waiting(lookup)
        lookup.started, lookup.client = True, client
        if not lookup.is_refresh:
            self._slow_hosts.discard(lookup.host)
        self._hold(lookup, kind)
        loop = asyncio.get_running_loop()
        answer = loop.run_in_executor(self._threads, self._query, lookup.host)
        timer = loop.call_later(_LOOKUP_S, self._count_as_stuck, lookup)
        answer.add_done_callback(lambda done: self._finish(lookup, timer, done))

    def _hold(self, lookup: "_Lookup", kind: _Kind) -> None:
        lookup.place = (lookup.client, kind)
        self._held[lookup.place] += 1

    def _release(self, lookup: "_Lookup") -> None:
        self._held[lookup.place] -= 1
        if not self._held[lookup.place]:
            del self._held[lookup.place]

    def _count_as_stuck(self, lookup: "_Lookup") -> None:
        """Let another lookup run in place of one that takes too long, while not too many are stuck."""
        if self._is_closed or not self._may_start(lookup.client, "stuck"):
            return
        self._release(lookup)
        self._hold(lookup, "stuck")
        if not lookup.is_refresh:
            lookup.is_late = True
            self._slow_hosts.add(lookup.host)
            self._slow_clients.add(lookup.client)
        self._start_waiting()

    def _finish(self, lookup: "_Lookup", timer: asyncio.TimerHandle, answer: "asyncio.Future[list[str]]") -> None:
        timer.cancel()
        self._release(lookup)
        del self._lookups[lookup.host, lookup.is_refresh]
        if not lookup.is_late and not lookup.is_refresh:
            self._slow_clients.discard(lookup.client)
        self._known_hosts.pop(lookup.host, None)
        if answer.cancelled():
            lookup.answer.cancel()
        elif (failure := answer.exception()) is not None:
            lookup.answer.set_exception(failure)
            lookup.answer.exception()  # it may be that nobody waits any more
        else:
            lookup.answer.set_result(answer.result())
            self._known_hosts[lookup.host] = None
            if len(self._known_hosts) > _CACHE_MAX:
                del self._known_hosts[next(iter(self._known_hosts))]
            if len(self._cache) >= _CACHE_MAX:
                self._cache.clear()
                self._slow_hosts.clear()
            self._cache[lookup.host] = (answer.get_loop().time() + _CACHE_S, answer.result())
        self._start_waiting()

    def _drop(self, lookup: "_Lookup") -> None:
        """Forget a lookup that waits for a thread, and that no caller waits for any more."""
        self._stop_waiting(lookup)
        self._lookups.pop((lookup.host, lookup.is_refresh), None)
        lookup.answer.cancel()

    def _stop_waiting(self, lookup: "_Lookup") -> None:
        for client, waiting in list(self._waiting.items()):
            waiting.pop(lookup, None)
            if not waiting:
                del self._waiting[client]

    def _refreshed(self, host: str) -> None:
        # Also after a failure: no faster than that.
        self._refresh_at[host] = asyncio.get_running_loop().time() + _CACHE_S

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


class _Lookup:
    """A lookup of a host, running or waiting for a thread."""

    __slots__ = ("answer", "callers", "client", "host", "is_late", "is_refresh", "place", "started")

    def __init__(self, host: str, client: int, answer: "asyncio.Future[list[str]]", *, is_refresh: bool) -> None:
        self.host = host
        self.client = client  # that holds the thread
        self.answer = answer
        self.is_refresh = is_refresh  # for open connections: nothing waits for it
        self.callers = 0  # that wait for it
        self.started = False
        self.place: tuple[int, _Kind] = (client, "usual")  # that it holds, once it has started
        self.is_late = False  # a caller waited too long


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
