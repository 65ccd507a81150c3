"""Requests of a caller over plain sockets: cheap for the caller, and free to break off, stall or never read."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, Final, Self

import msgspec

_PIECE_BYTES: Final = 256 * 1024
_KEPT_BYTES: Final = 1024 * 1024  # of an answer; the rest is read and dropped


class Request(msgspec.Struct, frozen=True):
    """A request. A body that is not bytes is sent as JSON."""

    method: str
    path: str
    body: Any = b""
    key: str | None = None
    content_type: str = "application/json"
    headers: dict[str, str] = {}

    def encode(self, *, content_length: int | None = None) -> bytes:
        """Return the bytes on the wire; ``content_length`` may promise more than the body has."""
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        headers = {"Host": "127.0.0.1", **self.headers}
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key}"
        if body or content_length or self.method == "POST":
            headers |= {
                "Content-Type": self.content_type,
                "Content-Length": str(len(body) if content_length is None else content_length),
            }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{self.method} {self.path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body


class Answer(msgspec.Struct, frozen=True):
    """An answer: its status, its headers in lower case, the beginning of its body."""

    status: int
    headers: dict[str, str]
    body: bytes
    size: int  # bytes of the whole body

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """A connection that is kept open between requests."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=_PIECE_BYTES))

    async def send(self, data: bytes) -> None:
        """Send bytes in pieces, so that a large body is not copied whole into the buffer of this process."""
        view = memoryview(data)
        for start in range(0, len(data), _PIECE_BYTES):
            self.writer.write(view[start : start + _PIECE_BYTES])
            await self.writer.drain()

    async def read_answer(self) -> Answer:
        """Read one answer. Raises OSError or EOFError when the connection ends before."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status_line, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        size = int(headers.get("content-length", 0))
        body, left = b"", size
        while left:
            piece = await self.reader.read(min(left, _PIECE_BYTES))
            if not piece:
                raise EOFError
            left -= len(piece)
            if len(body) < _KEPT_BYTES:
                body += piece
        return Answer(int(status_line.split()[1]), headers, body, size)

    async def call(self, request: Request | bytes) -> Answer:
        await self.send(request if isinstance(request, bytes) else request.encode())
        return await self.read_answer()

    @property
    def is_open(self) -> bool:
        return not (self.reader.at_eof() or self.writer.is_closing())

    def abort(self) -> None:
        with contextlib.suppress(OSError):
            self.writer.transport.abort()


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    """Open a connection that is aborted at the end: a caller who goes does not say goodbye."""
    connection = await Connection.open(port)
    try:
        yield connection
    finally:
        connection.abort()


async def call(port: int, request: Request, timeout_s: float = 30.0) -> Answer:
    """Make one request on a connection of its own."""
    async with asyncio.timeout(timeout_s), connected(port) as connection:
        return await connection.call(request)
