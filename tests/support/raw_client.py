"""An HTTP client that sends exactly the bytes that a test gives it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from api_server import ADMIN_KEY, DEADLINE_S, Api, example

BODY = msgspec.json.encode(example())


def request(
    body: bytes = BODY, *lines: str, path: str = "/v1/events/OrderConfirmedEvent", version: str = "1.1"
) -> bytes:
    head = [
        f"POST {path} HTTP/{version}",
        "Host: shop",
        f"Authorization: Bearer {ADMIN_KEY}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *lines,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class Caller:
    """A connection to the API."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self.address: tuple[str, int] = writer.get_extra_info("sockname")

    async def send(self, *pieces: bytes) -> None:
        """Send pieces that arrive one by one."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            for _ in range(5):  # turns of the loop that both sides share, so that the server has read it
                await asyncio.sleep(0)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(DEADLINE_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return int(first.split()[1]), headers, body

    async def ended(self) -> bytes:
        """Return what arrives until the server closes the connection."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._reader.read()


async def stored(api: Api) -> int:
    """Return how many events the server has stored."""
    return len((await api.admin.get("/v1/events")).json()["items"])


@asynccontextmanager
async def connected(api: Api) -> AsyncIterator[Caller]:
    """Connect to a running API."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    yield Caller(reader, writer)
    writer.close()
