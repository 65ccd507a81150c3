"""Publish prepared requests over kept-alive connections, as fast as the server answers or at a given rate.

Run as a process: `load PORT KEY SECONDS CONNECTIONS RATE FIRST`; it prints one line of JSON. Orders are numbered from
FIRST. With a rate (not 0) each event is due at its own time, and its latency counts from that time: a server that falls
behind cannot hide it by slowing down the load.

The time starts when all connections are open, and at least one event is published, however busy the machine is.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator
from typing import Any, Final, cast

import httptools
import uvloop

_BODY: Final = (
    b'{"ClientId":1,"ApplicationId":1,"OrderId":%d,"OrderNo":"SO-%d","ClientOrderRef":"B-%d","CellPhone":"+46701234567",'
    b'"FirstName":"Anna","LastName":"Lindqvist","Source":"WEB","SentNs":%d}'
)


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[int] | None = None

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the server closed the connection"))

    def on_message_complete(self) -> None:
        if self._answer is not None:
            self._answer.set_result(self._parser.get_status_code())

    def close(self) -> None:
        self._transport.close()

    async def post(self, request: bytes) -> int:
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer


class _Load:
    def __init__(self, port: int, key: str, seconds: float, rate: float, first: int) -> None:
        self._port = port
        self._rate = rate
        self._head = (
            f"POST /v1/events/OrderConfirmedEvent HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\n"
            f"content-type: application/json\r\nidempotency-key: {time.time_ns()}-%d\r\ncontent-length: %d\r\n\r\n"
        ).encode()
        self._first = first
        self._seconds = seconds
        self._numbers = itertools.count()
        self._start_ns = self._end_ns = 0
        self._answered = self._refused = 0
        self._refused_status: int | None = None

    async def run(self, connections: int) -> dict[str, Any]:
        """Publish until the time is over and everything is answered."""
        loop = asyncio.get_running_loop()
        opened = await asyncio.gather(
            *(loop.create_connection(_Connection, "127.0.0.1", self._port) for _ in range(connections))
        )
        before = time.process_time()
        self._start_ns = time.monotonic_ns()
        self._end_ns = self._start_ns + round(self._seconds * 1e9)
        await asyncio.gather(*(self._publish(connection) for _, connection in opened))
        seconds = (time.monotonic_ns() - self._start_ns) / 1e9
        return {
            "count": self._answered,
            "refused": self._refused,
            "refused_status": self._refused_status,
            "started_s": self._start_ns / 1e9,
            "seconds": seconds,
            "cpu_s": time.process_time() - before,
        }

    async def _publish(self, connection: _Connection) -> None:
        for number, due_ns in self._due_events():
            wait_s = (due_ns - time.monotonic_ns()) / 1e9
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            order = self._first + number
            body = _BODY % (order, order, order, due_ns)
            status = await connection.post(self._head % (number, len(body)) + body)
            self._answered += 1
            if status != 202:
                self._refused += 1
                self._refused_status = self._refused_status or status
        connection.close()

    def _due_events(self) -> Iterator[tuple[int, int]]:
        """Yield the number of the next event and when it is due (monotonic ns), until the time is over."""
        while True:
            number = next(self._numbers)
            due_ns = time.monotonic_ns()
            if self._rate:
                due_ns = self._start_ns + round(number / self._rate * 1e9)
            if number and due_ns >= self._end_ns:
                return
            yield number, due_ns


async def main(port: int, key: str, seconds: float, connections: int, rate: float, first: int) -> dict[str, Any]:
    return await _Load(port, key, seconds, rate, first).run(connections)


if __name__ == "__main__":
    port, key, seconds, connections, rate, first = sys.argv[1:7]
    work = main(int(port), key, float(seconds), int(connections), float(rate), int(first))
    print(json.dumps(uvloop.run(work)), flush=True)
