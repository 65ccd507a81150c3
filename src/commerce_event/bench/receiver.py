"""Receive deliveries at very low cost: count which events arrived at which address, and measure their latency.

Run as a process: it prints its port, then answers POST with 200 (at HANGING never), `GET /count` with the number of
different deliveries so far, and `GET /figures` with everything that it counted; that resets the counts.
"""

import asyncio
import json
import re
import time
from array import array
from collections import defaultdict
from itertools import chain
from typing import Any, Final, cast

import httptools
import uvloop

_NUMBERS: Final = re.compile(rb'"OrderId":(\d+)(?:.*"SentNs":(\d+))?')
_ANSWER: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
HANGING: Final = "/hangs"
_HANGING_URL: Final = HANGING.encode()
_BACKLOG: Final = 4_096  # connections that all endpoints open at once; one turned away tries again after a second


class _Arrivals:
    """What arrived since the last reset."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.count = 0
        self.first_ns = self.last_ns = 0
        self.seen: defaultdict[bytes, set[bytes]] = defaultdict(set)  # order numbers by address
        self.latencies_ms: defaultdict[bytes, array[float]] = defaultdict(lambda: array("d"))  # by address

    def take(self, url: bytes, body: bytes) -> None:
        self.last_ns = time.monotonic_ns()
        self.first_ns = self.first_ns or self.last_ns
        self.count += 1
        numbers = _NUMBERS.search(body)
        if numbers is None:
            return
        self.seen[url].add(numbers[1])
        if numbers[2] is not None:
            self.latencies_ms[url].append((self.last_ns - int(numbers[2])) / 1e6)

    @property
    def different(self) -> int:
        return sum(map(len, self.seen.values()))

    def figures(self) -> dict[str, Any]:
        ordered = sorted(chain.from_iterable(self.latencies_ms.values()))
        return {
            "count": self.count,
            "different": self.different,
            "first_s": self.first_ns / 1e9,
            "last_s": self.last_ns / 1e9,
            "p50_ms": _share(ordered, 0.50),
            "p99_ms": _share(ordered, 0.99),
            "by_address": {
                url.decode(): {"p50_ms": _share(each, 0.50), "p99_ms": _share(each, 0.99)}
                for url, each in ((url, sorted(found)) for url, found in self.latencies_ms.items())
            },
        }


def _share(ordered: list[float], share: float) -> float | None:
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2) if ordered else None


class _Connection(asyncio.Protocol):
    def __init__(self, arrivals: _Arrivals) -> None:
        self._arrivals = arrivals
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
        if self._url == _HANGING_URL:
            pass  # no answer, ever
        elif self._parser.get_method() == b"POST":
            self._arrivals.take(self._url, self._body)
            self._transport.write(_ANSWER)
        elif self._url == b"/figures":
            self._send_json(self._arrivals.figures())
            self._arrivals.reset()
        else:
            self._send_json({"different": self._arrivals.different})
        self._body = b""

    def _send_json(self, figures: dict[str, Any]) -> None:
        content = json.dumps(figures).encode()
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(content), content))


async def main() -> None:
    arrivals = _Arrivals()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(arrivals), "127.0.0.1", 0, backlog=_BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
