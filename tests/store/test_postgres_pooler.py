"""A connection pooler in front of PostgreSQL is refused, with the remedy."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import pytest
from postgres import server_url

from commerce_event.store.port import StoreRefusedError
from commerce_event.store.postgres import PostgresStore
from commerce_event.store.postgres.connections import Address

PROTOCOL = struct.pack("!I", 196608)
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_parameters(reader: asyncio.StreamReader) -> dict[bytes, bytes]:
    """Read the first message of a client; return its parameters."""
    [length] = struct.unpack("!I", await reader.readexactly(4))
    message = await reader.readexactly(length - 4)
    assert message[:4] == PROTOCOL
    words = message[4:].split(b"\0")
    return dict(zip(words[::2], words[1::2], strict=False))


async def refuse_parameters(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Do what PgBouncer does with a parameter that it does not know."""
    parameters = await read_parameters(reader)
    assert b"search_path" in parameters
    text = b"SFATAL\0C08P01\0Munsupported startup parameter: search_path\0\0"
    writer.write(b"E" + struct.pack("!I", len(text) + 4) + text)
    writer.close()


async def drop_parameters(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass everything on, but of the first message only the user and the database."""
    parameters = await read_parameters(reader)
    kept = b"".join(name + b"\0" + parameters[name] + b"\0" for name in (b"user", b"database") if parameters.get(name))
    first = PROTOCOL + kept + b"\0"
    database, upstream = await asyncio.open_unix_connection(f"{socket_folder()}/.s.PGSQL.5432")
    upstream.write(struct.pack("!I", len(first) + 4) + first)

    async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while piece := await source.read(65536):
            target.write(piece)
        target.close()

    await asyncio.gather(pass_on(reader, upstream), pass_on(database, writer), return_exceptions=True)


def socket_folder() -> str:
    return parse_qs(urlsplit(server_url()).query)["host"][0]


@asynccontextmanager
async def pooler(handle: Handler) -> AsyncIterator[str]:
    """Run a pooler; yield the address of the database behind it."""
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=disable"


@pytest.mark.parametrize("handle", [refuse_parameters, drop_parameters])
async def test_open_through_a_pooler_is_refused_with_the_remedy(handle: Handler) -> None:
    if not server_url().partition("host=")[2].startswith("/"):
        pytest.skip("the server has no socket in a folder")
    async with pooler(handle) as url:
        with pytest.raises(StoreRefusedError, match=r"PgBouncer .*PostgreSQL itself in --store"):
            await PostgresStore(url).open()


async def test_check_sessions_shared_session_is_refused() -> None:
    address = Address(server_url())
    one, other = await address.connect(), await address.connect()
    try:
        await address.check_sessions(one, other)
        with pytest.raises(StoreRefusedError, match="PgBouncer"):
            await address.check_sessions(one, one)
    finally:
        await one.close()
        await other.close()
