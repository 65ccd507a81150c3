"""Compare HTTP servers in front of accepting: ours with its short way and without, plain uvicorn, granian.

Run `pip install granian` and then `python -m benchmarks.http_servers`; --variants leaves some out. See
docs/decisions/0015.
"""

import argparse
import asyncio
import os
import socket
import sys
from typing import Any, Final, cast

import uvicorn
import uvloop

from benchmarks.side_by_side import Load, announce, compare, start_node
from commerce_event.accept.publish import PREFIX
from commerce_event.http.uvicorn_server import http_server, listen
from commerce_event.server import Node

VARIANTS: Final = ("short way", "ours without it", "plain uvicorn", "granian RSGI", "granian ASGI")
_ANSWER_HEADERS: Final = [
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("content-type", "application/json"),
]
_BODY: Final = (
    b'{"ClientId":1,"ApplicationId":1,"OrderId":1234567,"OrderNo":"SO-1234567","ClientOrderRef":"B-1234567",'
    b'"CellPhone":"+46701234567","FirstName":"Anna","LastName":"Lindqvist","Source":"WEB","SentNs":1234567890123456789}'
)
_LOADS: Final = {"events of 220 bytes": Load(f"{PREFIX}OrderConfirmedEvent", _BODY.ljust(220))}


async def serve(variant: str, store: str) -> None:
    """Serve with one of the variants that run on uvicorn."""
    node = await start_node(store)
    listener = listen("127.0.0.1", 0)
    if variant == "plain uvicorn":
        config = uvicorn.Config(
            cast("Any", node.app), http="httptools", ws="none", lifespan="off", log_config=None, access_log=False
        )
        server = uvicorn.Server(config)
    else:  # the protocol finds the short way through the application's attribute, which a bare method has not
        server = http_server(node.app if variant == "short way" else node.app.__call__)
        server.config.interface = "asgi3"
    announce(listener.getsockname()[1])
    await server.serve(sockets=[listener])


def serve_granian(interface: str, store: str) -> None:
    """Serve with granian in its usual way: a process that watches, and one worker."""
    import granian

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    os.environ["BENCHMARK_STORE"], os.environ["BENCHMARK_PORT"] = store, str(port)
    granian.Granian(
        f"benchmarks.http_servers:{interface}_app",
        port=port,
        interface=granian.constants.Interfaces(interface),
        loop=granian.constants.Loops.uvloop,
        http=granian.constants.HTTPModes.http1,
        websockets=False,
        log_enabled=False,
    ).serve()


class _GranianApp:
    """The application as granian's worker runs it."""

    node: Node

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self.node = loop.run_until_complete(start_node(os.environ["BENCHMARK_STORE"]))
        loop.call_later(0.5, announce, int(os.environ["BENCHMARK_PORT"]))


class _Rsgi(_GranianApp):
    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._start(loop)

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        headers = {name.encode(): value.encode("latin-1") for name, value in scope.headers.items()}
        body = await protocol()
        answered: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self.node.app.publisher.take(
            scope.path[len(PREFIX) :], headers, body, lambda status, _, content: answered.set_result((status, content))
        )
        status, content = await answered
        protocol.response_bytes(status, _ANSWER_HEADERS, content)


class _Asgi(_GranianApp):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            self.node = await start_node(os.environ["BENCHMARK_STORE"])
            asyncio.get_running_loop().call_later(0.5, announce, int(os.environ["BENCHMARK_PORT"]))
            await send({"type": "lifespan.startup.complete"})
            await receive()
        else:
            await self.node.app(scope, receive, send)


rsgi_app = _Rsgi()
asgi_app = _Asgi()


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        variant, store = sys.argv[2:4]
        if variant.startswith("granian"):
            serve_granian(variant.split()[1].lower(), store)
        else:
            uvloop.run(serve(variant, store))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=0.8)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    options = parser.parse_args()
    compare("benchmarks.http_servers", options.variants, _LOADS, options.rounds, options.seconds)


if __name__ == "__main__":
    main()
