"""The guard: a name becomes addresses once, every one of them is judged, and exactly those are dialled.

An answer with a single refused address is refused whole, so a name cannot be public when judged and private when
dialled. Literal addresses take the same way.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from commerce_event.core.addresses import AddressPolicy

_LOOKUPS_MAX: Final = 16  # threads; a lookup that hangs holds one until the system gives up
_ADDRESSES_MAX: Final = 32
_REMEMBER_S: Final = 5.0
_REMEMBERED_MAX: Final = 10_000
_NOT_FOUND: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})

Lookup = Callable[..., list[tuple[Any, ...]]]


class TransportError(Exception):
    """A request got no answer. ``code`` is stable, ``detail`` one sentence; ``ours`` when the fault is on our side."""

    def __init__(self, code: str, detail: str, *, ours: bool = False) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.ours = ours


class Resolver:
    """Finds the addresses of a host that may be dialled."""

    def __init__(
        self, policy: AddressPolicy, own: Collection[tuple[str, int]] = (), *, lookup: Lookup = socket.getaddrinfo
    ) -> None:
        """``own`` are the (address, port) pairs we listen on ourselves: nothing is delivered to them."""
        self.policy = policy
        self._own = frozenset(own)
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(_LOOKUPS_MAX, thread_name_prefix="resolver")
        self._under_way: dict[str, asyncio.Future[list[str]]] = {}
        self._remembered: dict[str, tuple[float, list[str]]] = {}

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return every address of a host, all of them allowed. Raises TransportError."""
        found = [host] if _is_literal(host) else await self._resolve(host)
        for address in found:
            if self.policy.refusal(address) is not None or (address, port) in self._own:
                raise TransportError("blocked_address", "the host is at an address that is not delivered to")
        return found

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _resolve(self, host: str) -> list[str]:
        loop = asyncio.get_running_loop()
        remembered = self._remembered.get(host)
        if remembered is not None and loop.time() < remembered[0]:
            return remembered[1]
        lookup = self._under_way.get(host)
        if lookup is None:  # one at a time for each host: whoever comes meanwhile shares its answer
            lookup = loop.run_in_executor(self._threads, self._ask, host)
            self._under_way[host] = lookup
            lookup.add_done_callback(lambda done: self._finish(host, done))
        return await asyncio.shield(lookup)

    def _finish(self, host: str, lookup: "asyncio.Future[list[str]]") -> None:
        del self._under_way[host]
        if lookup.cancelled() or lookup.exception() is not None:
            return
        if len(self._remembered) >= _REMEMBERED_MAX:
            self._remembered.clear()
        self._remembered[host] = (lookup.get_loop().time() + _REMEMBER_S, lookup.result())

    def _ask(self, host: str) -> list[str]:
        try:
            answer = self._lookup(host, None, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            if error.errno in _NOT_FOUND:
                raise TransportError("dns_not_found", "the host name has no address") from None
            raise TransportError("dns_failed", "the host name could not be looked up") from None
        except (OSError, UnicodeError):
            raise TransportError("dns_failed", "the host name could not be looked up") from None
        found = list(dict.fromkeys(str(entry[4][0]) for entry in answer))
        if not found:
            raise TransportError("dns_not_found", "the host name has no address")
        return found[:_ADDRESSES_MAX]


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
