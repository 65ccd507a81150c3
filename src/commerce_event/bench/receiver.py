"""A receiver that costs next to nothing: counts deliveries and how long after sending they arrived.

Run as a process: prints its port, then answers POST with 200, `GET /figures` with what it counted (and forgets it).
"""

import asyncio
import json
import re
import time
from array import array
from typing import Any, Final, cast

import httptools
import uvloop

_SENT: Final = re.compile(rb'"SentNs":(\d+)')
_ANSWER: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class _Tally:
    """What arrived since it was last asked."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.count = 0
        self.first_s = self.last_s = 0.0
        self.latencies_ms = array("d")

    def take(self, body: bytes) -> None:
        now_ns = time.monotonic_ns()
        self.last_s = now_ns / 1e9
        self.first_s = self.first_s or self.last_s
        self.count += 1
        sent = _SENT.search(body)
        if sent is not None:
            self.latencies_ms.append((now_ns - int(sent[1])) / 1e6)

    def figures(self) -> dict[str, Any]:
        ordered = sorted(self.latencies_ms)
        return {
            "count": self.count,
            "seconds": self.last_s - self.first_s,
            "p50_ms": _share(ordered, 0.50),
            "p99_ms": _share(ordered, 0.99),
        }


def _share(ordered: list[float], share: float) -> float | None:
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2) if ordered else None


class _Connection(asyncio.Protocol):
    def __init__(self, tally: _Tally) -> None:
        self._tally = tally
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url = url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._parser.get_method() == b"POST":
            self._tally.take(self._body)
            self._transport.write(_ANSWER)
        else:
            content = json.dumps(self._tally.figures() if self._url == b"/figures" else {"count": self._tally.count})
            if self._url == b"/figures":
                self._tally.reset()
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(content), content.encode()))
        self._body = b""


async def main() -> None:
    tally = _Tally()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(tally), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
