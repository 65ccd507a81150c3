"""How long a receiver takes for one event: signature and parsing, and the whole of handle().

Run: python sdk/python/benchmarks/receiver.py [--seconds 1]

The best of many short runs counts: what else the machine does makes a run slower, never faster. The aim is 30 us for
signature and parsing.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from commerce_event_sdk import Delivery, OrderConfirmedEvent, Receiver, parse, sign
from commerce_event_sdk.signatures import Verifier

SECRET: Final = "whsec_" + base64.b64encode(bytes(range(32))).decode()
EVENT: Final = OrderConfirmedEvent(
    ClientId=1,
    ApplicationId=2,
    OrderId=9007199254740993,
    OrderNo="884211",
    ClientOrderRef="B-884211",
    CellPhone="+46701234567",
    FirstName="Åsa",
    LastName="Öberg",
    Source="WEB",
)
BODY: Final = EVENT.to_json()
CALLS: Final = 100


def headers_of_now() -> dict[str, str]:
    timestamp_s = int(time.time())
    return {
        "host": "shop.example",
        "content-type": "application/json",
        "content-length": str(len(BODY)),
        "user-agent": "commerce-event",
        "webhook-id": "evt_01JB7Q4X2M8K5N3P6R9S0T1V2W",
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": sign(SECRET, "evt_01JB7Q4X2M8K5N3P6R9S0T1V2W", timestamp_s, BODY),
        "commerce-event-type": "OrderConfirmedEvent",
        "commerce-event-attempt": "1",
        "commerce-event-sequence": "4711",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }


def microseconds(function: Callable[[], Any], seconds: float, calls: int = CALLS) -> float:
    """Return the time of one call in the best of many short runs; a run is ``CALLS`` calls."""
    best = float("inf")
    end = time.perf_counter() + seconds
    while (started := time.perf_counter()) < end:
        for _ in range(calls):
            function()
        best = min(best, time.perf_counter() - started)
    return best / CALLS * 1e6


def main() -> None:
    """Measure, and print a line for each figure."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=1.0, help="time for each figure")
    seconds = options.parse_args().seconds
    logging.disable()
    headers, verifier, receiver = headers_of_now(), Verifier([SECRET]), Receiver(secret=SECRET)
    loop = asyncio.new_event_loop()

    @receiver.on(OrderConfirmedEvent)
    def confirmed(_: OrderConfirmedEvent) -> None:
        pass

    @receiver.on("Async", model=OrderConfirmedEvent)
    async def confirmed_async(_: OrderConfirmedEvent, delivery: Delivery) -> None:
        pass

    asynchronous = headers | {"commerce-event-type": "Async"}

    async def handle_many() -> None:
        for _ in range(CALLS):
            await receiver.handle_async(asynchronous, BODY)

    def verify_and_parse() -> None:
        verifier.check(headers, BODY)
        parse("OrderConfirmedEvent", BODY)

    figures = {
        "verify": microseconds(lambda: verifier.check(headers, BODY), seconds),
        "parse": microseconds(lambda: parse("OrderConfirmedEvent", BODY), seconds),
        "verify and parse": microseconds(verify_and_parse, seconds),
        "handle": microseconds(lambda: receiver.handle(headers, BODY), seconds),
        "handle_async": microseconds(lambda: loop.run_until_complete(handle_many()), seconds, 1),
    }
    loop.close()
    for name, figure in figures.items():
        print(f"{name:20}{figure:8.1f} us")


if __name__ == "__main__":
    main()
