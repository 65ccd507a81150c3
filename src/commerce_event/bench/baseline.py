"""The baselines of this machine: our HTTP server that does nothing, and our HTTP client alone.

Run as a process: `baseline server` prints its port and answers 202; `baseline client PORT SECONDS CONNECTIONS` posts
and prints one line of JSON.
"""

import asyncio
import json
import sys
import time
from typing import Any, Final

import uvloop

from commerce_event.core.addresses import AddressPolicy
from commerce_event.core.urls import Target
from commerce_event.deliver.connection_pool import ConnectionPool
from commerce_event.deliver.resolver import Resolver
from commerce_event.http.asgi import Receive, Scope, Send
from commerce_event.http.uvicorn_server import http_server, listen
from commerce_event.server import tune_collector

_HEADERS: Final = [(b"content-type", b"application/json"), (b"content-length", b"2")]
_POST_HEADERS: Final = (
    b"content-type: application/json\r\nuser-agent: bench\r\nwebhook-id: evt_0000000000000\r\n"
    b"webhook-timestamp: 1700000000\r\nwebhook-signature: v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n"
    b"commerce-event-type: OrderConfirmedEvent\r\ncommerce-event-attempt: 1\r\ncommerce-event-sequence: 1\r\n"
    b"traceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01\r\n"
)
_BODY: Final = (
    b'{"ClientId":1,"ApplicationId":1,"OrderId":1,"OrderNo":"SO-1","ClientOrderRef":"B-1","Source":"WEB"}'.ljust(220)
)


async def do_nothing(_scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body, answer 202."""
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.start", "status": 202, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": b"{}"})


async def serve() -> None:
    listener = listen("127.0.0.1", 0)
    print(listener.getsockname()[1], flush=True)
    await http_server(do_nothing).serve(sockets=[listener])


async def post(port: int, seconds: float, connections: int) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    pool = ConnectionPool(Resolver(AddressPolicy(["127.0.0.0/8"])))
    target = Target("http", "127.0.0.1", port, "/", True)
    count = 0

    async def work(until: float) -> None:
        nonlocal count
        while loop.time() < until:
            await pool.post(target, key=1, headers=_POST_HEADERS, body=_BODY, deadline=loop.time() + 5)
            count += 1

    before, start = time.process_time(), time.perf_counter()
    await asyncio.gather(*(work(loop.time() + seconds) for _ in range(connections)))
    took_s = time.perf_counter() - start
    pool.close()
    return {"count": count, "seconds": took_s, "cpu_s": time.process_time() - before}


if __name__ == "__main__":
    tune_collector()
    if sys.argv[1] == "server":
        uvloop.run(serve())
    else:
        print(json.dumps(uvloop.run(post(int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))), flush=True)
