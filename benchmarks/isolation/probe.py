"""Tenant B as a process of its own: it publishes, reads, and receives what it published at healthy endpoints.

Run as a process: `probe PORT KEY`, with `--by-name` when its endpoints have names instead of addresses. It makes an
endpoint and prints a line. On stdin it takes a line to begin, a second one when the attack begins, and the end of stdin
to stop; then it prints what it saw as one line of JSON. A second after the attack has begun it makes another endpoint:
one that the server knows nothing good of yet.

A publish has its moment every tenth of a second, answered before or not: a server that stalls cannot hide it by slowing
the probe.
"""

import asyncio
import itertools
import re
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import msgspec
import uvloop

from benchmarks.isolation.client import Answer, Request, call
from benchmarks.isolation.names import FRESH_NAME, KNOWN_NAME
from benchmarks.isolation.receivers import OK, Receivers, read_delivery

CLIENT_ID: Final = 2
PUBLISH_EVERY_S: Final = 0.1
READ_EVERY_S: Final = 0.25
GIVE_UP_S: Final = 10.0  # an answer later than this is none
FRESH_AFTER_S: Final = 1.0
DRAIN_S: Final = 3.0  # for what is under way at the end
_ORDER: Final = re.compile(rb'"OrderId": ?(\d+)')


class Sample(msgspec.Struct):
    """One thing that B did: when (seconds, monotonic), how long it took, and what it got."""

    at_s: float
    took_s: float
    outcome: str  # a status, "delivered", or what went wrong


class Samples(msgspec.Struct):
    """All that B saw."""

    publishes: list[Sample]
    others: list[Sample]  # reads, and the making of an endpoint
    deliveries: list[Sample]


class Endpoint:
    """One of B's endpoints, and when which order arrived there."""

    def __init__(self, host: str) -> None:
        self._host = host
        self.arrived: dict[int, float] = {}

    async def open(self) -> dict[str, object]:
        """Open its receiver; return the endpoint to be made."""
        port = await Receivers().open(self._receive)
        return {"client_id": CLIENT_ID, "url": f"http://{self._host}:{port}/", "event_types": ["*"]}

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer each delivery at once."""
        while True:
            order = _ORDER.search(await read_delivery(reader))
            if order is not None:
                self.arrived.setdefault(int(order[1]), time.monotonic())
            writer.write(OK)


class Probe:
    """Tenant B."""

    def __init__(self, port: int, key: str, *, by_name: bool) -> None:
        self._port = port
        self._key = key
        known, fresh = (KNOWN_NAME, FRESH_NAME) if by_name else ("127.0.0.1", "127.0.0.1")
        self._endpoints = (Endpoint(known), Endpoint(fresh))
        self._sent: dict[int, float] = {}
        self._expected: dict[int, int] = {}  # at how many endpoints an accepted event is to arrive
        self._publishes: list[Sample] = []
        self._others: list[Sample] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def prepare(self) -> None:
        """Make the endpoint that is known when the attack begins."""
        body = await self._endpoints[0].open()
        await call(self._port, Request("POST", "/v1/endpoints", body, self._key))

    async def make_fresh_endpoint(self) -> None:
        await asyncio.sleep(FRESH_AFTER_S)
        body = await self._endpoints[1].open()
        at = time.monotonic()
        outcome, _ = await self._call(Request("POST", "/v1/endpoints", body, self._key))
        self._others.append(Sample(at, time.monotonic() - at, outcome))

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
        while time.monotonic() < end and (self._under_way or self._missing()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for request in list(self._under_way):
            request.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        return Samples(self._publishes, self._others, self._deliveries())

    def _missing(self) -> bool:
        return any(sample.outcome != "delivered" for sample in self._deliveries())

    def _deliveries(self) -> list[Sample]:
        """Return what became of each delivery; one that has not arrived took all the time so far."""
        now = time.monotonic()
        samples = []
        for n, count in self._expected.items():
            for endpoint in self._endpoints[:count]:
                took_s = endpoint.arrived.get(n, now) - self._sent[n]
                samples.append(Sample(self._sent[n], took_s, "delivered" if n in endpoint.arrived else "undelivered"))
        return samples

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
        request = Request("POST", "/v1/events/OrderConfirmedEvent", {**order, "Source": "WEB"}, self._key)
        outcome, answer = await self._call(request)
        if answer is not None and answer.status == 202:
            self._expected[n] = answer.json()["deliveries"]
        self._publishes.append(Sample(at, time.monotonic() - at, outcome))

    async def _read(self, _n: int, at: float) -> None:
        outcome, _ = await self._call(Request("GET", f"/v1/events?client_id={CLIENT_ID}&limit=1", key=self._key))
        self._others.append(Sample(at, time.monotonic() - at, outcome))

    async def _call(self, request: Request) -> tuple[str, Answer | None]:
        """Return a status or what went wrong, and the answer if there was one."""
        try:
            answer = await call(self._port, request, GIVE_UP_S)
        except (TimeoutError, asyncio.CancelledError):
            return "unanswered", None
        except (OSError, EOFError) as error:
            return type(error).__name__, None
        return str(answer.status), answer


async def main(port: int, key: str, *, by_name: bool) -> None:
    probe = Probe(port, key, by_name=by_name)
    await probe.prepare()
    print("ready", flush=True)
    wait_for = partial(asyncio.get_running_loop().run_in_executor, None)
    await wait_for(sys.stdin.readline)
    stop = asyncio.Event()
    running = asyncio.create_task(probe.run(stop))
    await wait_for(sys.stdin.readline)
    making = asyncio.create_task(probe.make_fresh_endpoint())
    await wait_for(sys.stdin.read)
    stop.set()
    samples = await running
    making.cancel()
    print(msgspec.json.encode(samples).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2], by_name="--by-name" in sys.argv))
