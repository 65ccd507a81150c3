"""Post batches of JSON Lines over kept-alive connections, as fast as the server answers, or so many and no more.

Run as a process: `batch_load PORT KEY KIND SECONDS CONNECTIONS BATCH`; KIND is ``changes`` or ``events``. It prints one
line of JSON. Changes are updates of customers with values before and after; events are confirmed orders.
"""

import asyncio
import itertools
import json
import sys
import time
from typing import Any, Final

import httptools
import uvloop

_CHANGE: Final = (
    b'{"id":"%d-%d","client_id":1,"entity":"tClientCustomer","operation":"update","key":{"CustomerId":%d},'
    b'"before":{"FirstName":"Anna","LastName":"Lindqvist","City":"Lund"},'
    b'"after":{"FirstName":"Anna","LastName":"Lindqvist","City":"Ystad"}}'
)
_EVENT: Final = (
    b'{"id":"%d-%d","type":"OrderConfirmedEvent","data":{"ClientId":1,"ApplicationId":1,"OrderId":%d,'
    b'"OrderNo":"SO-1","ClientOrderRef":"B-1","FirstName":"Anna","LastName":"Lindqvist","Source":"WEB"}}'
)
_KINDS: Final = {"changes": ("/v1/changes", _CHANGE), "events": ("/v1/events", _EVENT)}


class _Answers(asyncio.Protocol):
    """One connection: posts a request, and returns the answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""
        self._answer: asyncio.Future[dict[str, Any]] | None = None

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the server closed the connection"))

    def on_message_complete(self) -> None:
        body, self._body = self._body, b""
        if self._answer is not None:
            self._answer.set_result(json.loads(body))

    async def post(self, request: bytes) -> dict[str, Any]:
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer


async def main(port: int, key: str, kind: str, seconds: float, connections: int, batch: int) -> dict[str, Any]:
    """Post batches until the time is over; return how many items were accepted in which time."""
    path, line = _KINDS[kind]
    head = (
        f"POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\n"
        "content-type: application/x-ndjson\r\ncontent-length: %d\r\n\r\n"
    ).encode()
    run, numbers = time.time_ns(), itertools.count(1)
    counts = {"accepted": 0, "refused": 0}
    loop = asyncio.get_running_loop()
    started = time.monotonic()

    async def post_all() -> None:
        _, connection = await loop.create_connection(_Answers, "127.0.0.1", port)
        while time.monotonic() - started < seconds:
            lines = [line % (run, number, number) for number in itertools.islice(numbers, batch)]
            body = b"\n".join(lines)
            answer = await connection.post(head % len(body) + body)
            counts["accepted"] += answer.get("accepted", 0)
            counts["refused"] += answer.get("refused", 0) + (batch if "accepted" not in answer else 0)
        connection.transport.close()

    await asyncio.gather(*(post_all() for _ in range(connections)))
    return {**counts, "started_s": started, "seconds": time.monotonic() - started}


if __name__ == "__main__":
    port_, key_, kind_, seconds_, connections_, batch_ = sys.argv[1:7]
    result = uvloop.run(main(int(port_), key_, kind_, float(seconds_), int(connections_), int(batch_)))
    print(json.dumps(result), flush=True)
