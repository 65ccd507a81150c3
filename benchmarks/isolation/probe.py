"""Tenant B as a process of its own: it publishes, reads, and receives what it published at a healthy endpoint.

Run as a process: `probe PORT KEY`. It prints the port of its receiver, begins at the first line on stdin, and at the
end of stdin prints what it saw as one line of JSON. A publish has its moment every tenth of a second, answered before
or not: a server that stalls cannot hide it by slowing the probe.
"""

import asyncio
import itertools
import re
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import uvloop

from benchmarks.isolation.client import Request, call
from benchmarks.isolation.receivers import OK, Receivers, read_delivery

CLIENT_ID: Final = 2
PUBLISH_EVERY_S: Final = 0.1
READ_EVERY_S: Final = 0.25
GIVE_UP_S: Final = 10.0  # an answer later than this is none
DRAIN_S: Final = 4.0  # for what is under way at the end
_ORDER: Final = re.compile(rb'"OrderId": ?(\d+)')


class Sample(msgspec.Struct):
    """One thing that B did: when (seconds, monotonic), how long it took, and what it got."""

    at_s: float
    took_s: float
    outcome: str  # a status, "delivered", or what went wrong


class Samples(msgspec.Struct):
    """All that B saw."""

    publishes: list[Sample]
    reads: list[Sample]
    deliveries: list[Sample]


class Probe:
    """Tenant B."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._key = key
        self._sent: dict[int, float] = {}
        self._accepted: set[int] = set()
        self._arrived: dict[int, float] = {}
        self._publishes: list[Sample] = []
        self._reads: list[Sample] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer each delivery at once."""
        while True:
            order = _ORDER.search(await read_delivery(reader))
            if order is not None:
                self._arrived.setdefault(int(order[1]), time.monotonic())
            writer.write(OK)

    async def run(self, stop: asyncio.Event) -> Samples:
        """Publish and read until ``stop``, then wait for what is under way."""
        ticking = [
            asyncio.create_task(self._every(PUBLISH_EVERY_S, self._publish)),
            asyncio.create_task(self._every(READ_EVERY_S, self._read)),
        ]
        await stop.wait()
        for task in ticking:
            task.cancel()
        end = time.monotonic() + DRAIN_S
        while time.monotonic() < end and (self._under_way or self._accepted - self._arrived.keys()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for request in list(self._under_way):
            request.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        return Samples(self._publishes, self._reads, self._deliveries())

    def _deliveries(self) -> list[Sample]:
        """Return what became of each accepted event; one that has not arrived took all the time so far."""
        now = time.monotonic()
        return [
            Sample(at, self._arrived.get(n, now) - at, "delivered" if n in self._arrived else "undelivered")
            for n, at in self._sent.items()
            if n in self._accepted
        ]

    async def _every(self, seconds: float, work: Callable[[int, float], Awaitable[None]]) -> None:
        start = time.monotonic()
        for n in itertools.count(1):
            at = start + n * seconds
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            task = asyncio.ensure_future(work(n, at))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _publish(self, n: int, at: float) -> None:
        order = {"ClientId": CLIENT_ID, "ApplicationId": 1, "OrderId": n, "OrderNo": f"B-{n}", "ClientOrderRef": "B"}
        self._sent[n] = at
        outcome = await self._outcome(
            Request("POST", "/v1/events/OrderConfirmedEvent", {**order, "Source": "WEB"}, self._key)
        )
        if outcome == "202":
            self._accepted.add(n)
        self._publishes.append(Sample(at, time.monotonic() - at, outcome))

    async def _read(self, _n: int, at: float) -> None:
        outcome = await self._outcome(Request("GET", f"/v1/events?client_id={CLIENT_ID}&limit=1", key=self._key))
        self._reads.append(Sample(at, time.monotonic() - at, outcome))

    async def _outcome(self, request: Request) -> str:
        try:
            return str((await call(self._port, request, GIVE_UP_S)).status)
        except (TimeoutError, asyncio.CancelledError):
            return "unanswered"
        except (OSError, EOFError) as error:
            return type(error).__name__


async def main(port: int, key: str) -> None:
    probe = Probe(port, key)
    print(await Receivers().open(probe.receive), flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.readline)
    stop = asyncio.Event()
    running = asyncio.create_task(probe.run(stop))
    await loop.run_in_executor(None, sys.stdin.read)
    stop.set()
    print(msgspec.json.encode(await running).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2]))
