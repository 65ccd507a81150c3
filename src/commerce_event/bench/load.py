"""A publisher that costs little: prepared requests over kept-alive connections, as fast as answered or at a given rate.

Run as a process: `load PORT KEY COUNT CONNECTIONS RATE`; prints one line of JSON.
"""

import asyncio
import json
import resource
import sys
import time
from collections import Counter
from typing import Any, Final, cast

import httptools
import uvloop

_TARGET: Final = "/v1/events/OrderConfirmedEvent"
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

    async def post(self, head: bytes, body: bytes) -> int:
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(head % len(body) + body)
        return await self._answer


async def main(port: int, key: str, count: int, connections: int, rate: float) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    numbers = iter(range(count))
    statuses: Counter[int] = Counter()
    run = time.time_ns()
    start = time.perf_counter()

    async def work() -> None:
        _, connection = await loop.create_connection(_Connection, "127.0.0.1", port)
        for number in numbers:
            if rate:
                await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
            head = (
                f"POST {_TARGET} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\n"
                f"content-type: application/json\r\nidempotency-key: {run}-{number}\r\ncontent-length: %d\r\n\r\n"
            ).encode()
            body = _BODY % (number, number, number, time.monotonic_ns())
            statuses[await connection.post(head, body)] += 1
        connection.close()

    await asyncio.gather(*(work() for _ in range(connections)))
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "count": count,
        "seconds": seconds,
        "rate": count / seconds,
        "cpu_share": (used.ru_utime + used.ru_stime) / seconds,
        "refused": sum(n for status, n in statuses.items() if status != 202),
    }


if __name__ == "__main__":
    port_text, key_text, count_text, connections_text, rate_text = sys.argv[1:6]
    figures = uvloop.run(main(int(port_text), key_text, int(count_text), int(connections_text), float(rate_text)))
    print(json.dumps(figures), flush=True)
