"""Connect: many, slow, unfinished, large; mostly without a key."""

import asyncio
from functools import partial
from typing import Final

from benchmarks.isolation.caller import (
    BATCH_BYTES_MAX,
    EVENT_BYTES_MAX,
    EVENTS,
    HEAD_BYTES_MAX,
    JSON_LINES,
    ORDER_CONFIRMED,
    Caller,
)
from benchmarks.isolation.client import Connection, Request
from benchmarks.isolation.registry import Attack, scenario

_CONNECTIONS_MAX: Final = 4_096
_FOREVER_S: Final = 3_600.0


async def _hold(a: Caller, connection: Connection, outcome: str) -> None:
    """Keep a connection until the server ends it."""
    a.count(outcome)
    while await connection.reader.read(65_536):
        pass
    raise EOFError


@scenario()
async def idle_connections(a: Caller) -> Attack:
    """Open 5,000 connections without a key and send nothing.

    Limits: 4,096 connections, 75 s of an idle one; idle ones are closed when there are too many.
    """
    return partial(a.crowd, _CONNECTIONS_MAX + 904, lambda connection: _hold(a, connection, "opened"))


@scenario()
async def slow_heads(a: Caller) -> Attack:
    """Open 4,000 connections without a key and send a header line every second, never the last.

    Limits: 4,096 connections, 10 s of a head.
    """

    async def drip(connection: Connection) -> None:
        await connection.send(b"POST /v1/events HTTP/1.1\r\nHost: x\r\n")
        a.count("opened")
        while connection.is_open:
            await asyncio.sleep(1)
            await connection.send(b"x: y\r\n")

    return partial(a.crowd, 4_000, drip)


@scenario()
async def slow_bodies(a: Caller) -> Attack:
    """Send bodies of 250 KB on 2,000 connections, 100 bytes at a time.

    Limits: 30 s of a body, 10 s between two pieces of it, 4,096 connections.
    """
    head = Request("POST", ORDER_CONFIRMED, key=a.key).encode(content_length=EVENT_BYTES_MAX)

    async def drip(connection: Connection) -> None:
        await connection.send(head)
        a.count("opened")
        while connection.is_open:
            await connection.send(b" " * 100)
            await asyncio.sleep(1)

    return partial(a.crowd, 2_000, drip)


@scenario()
async def unfinished_batches(a: Caller) -> Attack:
    """Send batches of 16 MB on 100 connections, all but the last bytes, and wait.

    Limits: 16 MiB of a batch, 30 s of a body, 10 s between two pieces of it.
    """
    head = Request("POST", EVENTS, key=a.key, content_type=JSON_LINES).encode(content_length=BATCH_BYTES_MAX)
    most = b" " * (BATCH_BYTES_MAX - 10)

    async def send(connection: Connection) -> None:
        await connection.send(head)
        await connection.send(most)
        await _hold(a, connection, "held")

    return partial(a.crowd, 100, send)


@scenario()
async def bodies_without_a_key(a: Caller) -> Attack:
    """Send bodies of 16 MB with a wrong key on 50 connections.

    Limits: 16 MiB of a batch, 64 MiB that are read and dropped after a refusal.
    """
    body = b" " * (BATCH_BYTES_MAX - 10)
    return partial(a.flood, 50, lambda _: Request("POST", EVENTS, body, "no-such-key", JSON_LINES))


@scenario()
async def large_heads(a: Caller) -> Attack:
    """Send heads of 64 KB with 90 lines, without a key, on 100 connections.

    Limits: 64 KiB and 100 lines of a head.
    """
    headers = {f"x-{n}": "y" * (HEAD_BYTES_MAX // 90 - 40) for n in range(90)}
    request = Request("GET", "/v1/events", headers=headers).encode()
    return partial(a.flood, 100, lambda _: request)


@scenario()
async def pipelined_requests(a: Caller) -> Attack:
    """Send 200 requests without a key in one piece on 50 connections, and read the answers later.

    Limits: none on how many requests may follow each other on a connection.
    """
    requests = Request("GET", "/v1/event-types").encode() * 200

    async def send(connection: Connection) -> None:
        await connection.send(requests)
        for _ in range(200):
            a.count((await connection.read_answer()).status)

    return partial(a.crowd, 50, send)


@scenario()
async def connections_opened_and_closed(a: Caller) -> Attack:
    """Open a connection, ask for `/healthz` and go before the answer, on 100 connections.

    Limits: 2,048 connections that wait to be accepted.
    """
    request = Request("GET", "/healthz").encode()

    async def ask(connection: Connection) -> None:
        await connection.send(request)
        a.count("gone")
        await asyncio.sleep(0.005)

    return partial(a.crowd, 100, ask)
