"""Write a backlog of waiting deliveries through the store port, before a server runs.

Run as a process: `seed STORE KEY URL WAITING OTHERS BULK` prints shares of the work that is done, then one line of
JSON. BULK is 1 for bulk deliveries, else 0.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from commerce_event.core import ids
from commerce_event.core.clock import SystemClock
from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Endpoint, Secret
from commerce_event.core.signatures import new_secret
from commerce_event.core.vault import Vault, parse_key
from commerce_event.registry.registry import Registry
from commerce_event.server import make_store
from commerce_event.settings import Settings
from commerce_event.store.model import NewDelivery, NewEvent

OTHER_ENDPOINTS: Final = 8
MAX_IN_FLIGHT: Final = 128
_BATCH: Final = 1_000
_BODY: Final = b'{"ClientId":1,"ApplicationId":1,"OrderId":%d,"OrderNo":"SO-%d","ClientOrderRef":"B-%d","Source":"WEB"}'


async def seed(settings: Settings, key: str, url: str, waiting: int, others: int, *, bulk: bool) -> list[str]:
    """Write ``waiting`` deliveries for one endpoint and ``others``, in all, for eight more; return the endpoints.

    Every endpoint is disabled, so that a server starts without sending.
    """
    store = make_store(settings, SystemClock())
    await store.open()
    try:
        now_ms = time.time_ns() // 1_000_000
        maker = IdMaker()
        registry = Registry(store, Vault(parse_key(key)), maker)
        first, *rest = [
            (await registry.save(_endpoint(maker.next(now_ms), f"{url}/{n}"))).id
            for n in range(1 + OTHER_ENDPOINTS if others else 1)
        ]
        owners = [first] * waiting + [rest[n % len(rest)] for n in range(others)]
        for start in range(0, len(owners), _BATCH):
            await store.journal.accept([events(maker, now_ms, start, owners[start : start + _BATCH], bulk=bulk)])
            if start % (50 * _BATCH) == 0:
                print(json.dumps({"share": start / len(owners)}), flush=True)
        return [ids.encode("end", each) for each in (first, *rest)]
    finally:
        await store.close()


def _endpoint(endpoint_id: int, url: str) -> Endpoint:
    return Endpoint(
        id=endpoint_id,
        client_id=1,
        url=url,
        event_types=("OrderCancelledEvent",),  # what is published during the run is not for it
        enabled=False,
        max_in_flight=MAX_IN_FLIGHT,
        secrets=(Secret(new_secret("hmac")),),
    )


def events(maker: IdMaker, now_ms: int, start: int, owners: Sequence[int], *, bulk: bool = False) -> list[NewEvent]:
    return [
        NewEvent(
            id=maker.next(now_ms),
            client_id=1,
            type="OrderCancelledEvent",
            application_id=1,
            accepted_ms=now_ms,
            config_version=1,
            idempotency_key=None,
            traceparent=None,
            body=(_BODY % (number, number, number)).ljust(220),
            deliveries=(NewDelivery(maker.next(now_ms), owner, bulk=bulk),),
        )
        for number, owner in enumerate(owners, start)
    ]


async def main(store: str, key: str, url: str, waiting: int, others: int, bulk: int) -> dict[str, Any]:
    start = time.perf_counter()
    endpoints = await seed(Settings(store=store), key, url, waiting, others, bulk=bool(bulk))
    return {"endpoints": endpoints, "seconds": time.perf_counter() - start}


if __name__ == "__main__":
    store_url, secret, address = sys.argv[1:4]
    result = asyncio.run(main(store_url, secret, address, *map(int, sys.argv[4:7])))
    print(json.dumps(result), flush=True)
