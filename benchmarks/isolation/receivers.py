"""Receivers of deliveries, and how they may behave."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
_BACKLOG: Final = 4_096
_LIMIT: Final = 1024 * 1024

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""What a receiver does with a connection; the connection is closed afterwards."""


async def read_delivery(reader: asyncio.StreamReader) -> bytes:
    """Read one request and return its body. Raises EOFError when the connection ends."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    return await reader.readexactly(length)


def answers(answer: Callable[[], bytes], after_s: float = 0.0) -> Behaviour:
    """Answer every delivery with these bytes, and keep the connection."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_delivery(reader)
            if after_s:
                await asyncio.sleep(after_s)
            writer.write(answer())
            await writer.drain()

    return behave


async def hangs(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Take a delivery and never answer."""
    await reader.read(-1)


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with one byte at a time, always before anybody could lose patience."""
    await read_delivery(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n")
    while True:
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.02)


async def never_ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with a body that does not end, as fast as it is read."""
    await read_delivery(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    while True:
        writer.write(chunk)
        await writer.drain()


class Receivers:
    """The receivers of one trial; each has a port of its own."""

    def __init__(self) -> None:
        self._servers: list[asyncio.Server] = []
        self.connections = 0

    async def open(self, behave: Behaviour) -> int:
        """Open a receiver and return its port."""

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                await behave(reader, writer)
            with contextlib.suppress(OSError):
                writer.transport.abort()

        server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=_BACKLOG, limit=_LIMIT)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def close(self) -> None:
        for server in self._servers:
            server.close()
