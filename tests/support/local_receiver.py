"""A receiver on this machine, a name lookup that leads to it, and what tests of connections share."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, Self

from hostile_receiver import HostileServer

from commerce_event.core.addresses import AddressPolicy

LOCAL: Final = AddressPolicy(["127.0.0.0/8", "::1/128"])
PATIENCE_S: Final = 10.0  # for what is not expected to run out of time
NO_TRUST: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # reading the system's authorities takes longer than a test


class Receiver(HostileServer):
    """The hostile receivers, with TLS if given a context."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self._tls = tls

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        return self

    def at(self, path: str, host: str = "127.0.0.1") -> str:
        """Return the address of a path, by another name of this host if one is given."""
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def gone(self) -> bool:
        """Whether every connection has ended."""
        return not self._open


def named(*addresses: str) -> Callable[..., list[tuple[Any, ...]]]:
    """Return a name lookup with this answer for every host."""

    def lookup(_host: str, _port: None, *, type: socket.SocketKind) -> list[tuple[Any, ...]]:  # noqa: A002
        return [(socket.AF_INET6 if ":" in each else socket.AF_INET, type, 6, "", (each, 0)) for each in addresses]

    return lookup


async def until(holds: Callable[[], object]) -> None:
    """Return once the condition holds; fails when it never does."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.001)
