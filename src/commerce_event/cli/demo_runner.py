"""The demo: a shop, the server and real receivers on this machine, on one screen."""

import asyncio
import contextlib
import itertools
import secrets
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final, Literal

import httpx
from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from commerce_event.cli.signals import stop_event
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.http.uvicorn_server import http_server, listen
from commerce_event.server import Node
from commerce_event.settings import Settings
from commerce_event.simulate.receiver import Receiver
from commerce_event.simulate.shop import Shop, SimulatedEvent

CLIENT_ID: Final = 1
_LONGEST_WAIT_S: Final = 60.0  # for the last delivery of a bounded round; its retries follow the documented delays
_TELL_EVERY_S: Final = 3.0
_FAIL_EVERY: Final = 40
_RECEIVERS: Final = (
    ("/erp/orders", ["Order"], "ERP: everything about orders"),
    ("/pim/products", ["Product", "Supplier"], "PIM: products and suppliers"),
    ("/crm/customers", ["Customer", "OrderReceivedEvent"], "CRM: customers, and who orders"),
    ("/archive", ["*"], "Archive: everything"),
)

Show = Literal["screen", "lines", "nothing"]


class _Stage:
    """What the demo runs: a node behind its HTTP API, a receiver behind HTTP, and a client for the API."""

    def __init__(self, node: Node, receiver: Receiver, api: httpx.AsyncClient, url: str, key: str) -> None:
        self.node = node
        self.receiver = receiver
        self.api = api
        self.url = url
        self.way_in = f"{url}/admin, key {key}"
        self.published: Counter[str] = Counter()
        self.wanted: dict[str, list[str]] = {path: [] for path, _, _ in _RECEIVERS}
        self.latest: deque[tuple[str, str]] = deque(maxlen=8)

    async def publish(self, event: SimulatedEvent) -> None:
        answer = await self.api.post(
            f"/v1/events/{event.type}", json=event.data, headers={"Idempotency-Key": event.key}
        )
        answer.raise_for_status()
        self.published[event.type] += 1
        self.latest.append((event.type, _gist(event.data)))
        for path in self._who_wants(event.type):
            self.wanted[path].append(answer.json()["id"])

    def missing(self) -> int:
        """Count what was accepted and has not arrived, by the receivers' own account."""
        arrived = self.receiver.arrived
        return sum(event_id not in arrived[path] for path, wanted in self.wanted.items() for event_id in wanted)

    def _who_wants(self, event_type: str) -> Iterator[str]:
        names = {"*", event_type, EVENT_TYPES[event_type].category}
        return (path for path, types, _ in _RECEIVERS if names & set(types))


async def run(*, total: int | None, rate: float, seed: int, show: Show) -> dict[str, Any]:
    """Publish, wait for the last delivery, return the summary; a signal ends it early, unchecked."""
    started = time.monotonic()
    stop = stop_event()
    async with _stage() as stage:
        async with _shown(stage, total, show):
            checked = await _unless(stop, _live(stage, total, rate, seed))
        books = (await stage.api.get("/v1/books")).json()
        expected, missing = sum(map(len, stage.wanted.values())), stage.missing()
        return {
            "checked": checked,
            "events": stage.published.total(),
            "types": len(stage.published),
            "expected": expected,
            "arrived": expected - missing,
            "missing": missing,
            "forged": stage.receiver.forged,
            "retried": stage.receiver.refused,
            "balanced": books["balanced"],
            "seconds": round(time.monotonic() - started, 1),
        }


async def _live(stage: _Stage, total: int | None, rate: float, seed: int) -> None:
    await _publish_all(stage, itertools.islice(Shop(seed, CLIENT_ID).events(), total), rate)
    await _until_arrived(stage)


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do the work until it is done or there is a reason to stop; return whether it was done."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    done = working.done()
    working.cancel()
    stopping.cancel()
    await asyncio.gather(working, stopping, return_exceptions=True)
    if done:
        working.result()
    return done


@contextlib.asynccontextmanager
async def _shown(stage: _Stage, total: int | None, show: Show) -> AsyncIterator[None]:
    """Show how it goes: on a screen that is drawn anew, or as a line every few seconds."""
    if show == "screen":
        with Live(get_renderable=lambda: _view(stage, total), refresh_per_second=8):
            yield
    elif show == "lines":
        print(f"A shop, a server at {stage.url} and {len(_RECEIVERS)} receivers are at work.", file=sys.stderr)
        print(f"Its screens: {stage.way_in}", file=sys.stderr)
        telling = asyncio.create_task(_tell(stage))
        try:
            yield
        finally:
            telling.cancel()
    else:
        yield


async def _tell(stage: _Stage) -> None:
    while True:
        await asyncio.sleep(_TELL_EVERY_S)
        events, wanted = stage.published.total(), sum(map(len, stage.wanted.values()))
        print(f"{events} events published, {wanted - stage.missing()} of {wanted} deliveries arrived", file=sys.stderr)


async def _publish_all(stage: _Stage, events: Iterator[SimulatedEvent], rate: float) -> None:
    """Publish at a steady rate, several at a time, so that slow answers do not slow the shop."""
    start = time.monotonic()
    under_way: set[asyncio.Task[None]] = set()
    try:
        for number, event in enumerate(events):
            await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))
            under_way.add(asyncio.create_task(stage.publish(event)))
            done = {task for task in under_way if task.done()}
            for task in done:
                task.result()
            under_way -= done
        await asyncio.gather(*under_way)
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _until_arrived(stage: _Stage) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LONGEST_WAIT_S):
            while stage.missing():
                await stage.receiver.next_taken()


@contextlib.asynccontextmanager
async def _stage() -> AsyncIterator[_Stage]:
    """Start everything on free ports of this machine, and put it away again."""
    with tempfile.TemporaryDirectory(prefix="commerce-event-demo-") as folder:
        key = f"demo-{secrets.token_urlsafe(12)}"
        listener, receiver_listener = listen("127.0.0.1", 0), listen("127.0.0.1", 0)
        settings = Settings(
            store=f"sqlite:///{Path(folder) / 'demo.db'}", admin_key=key, allow_networks=("127.0.0.0/8",)
        )
        node = Node(settings)
        host, port = listener.getsockname()
        await node.start(own_addresses=frozenset({(host, port)}))
        receiver = Receiver(node.clock, fail_every=_FAIL_EVERY)
        servers = [http_server(node.app), http_server(receiver)]
        serving = [
            asyncio.create_task(server.serve(sockets=[socket]))
            for server, socket in zip(servers, (listener, receiver_listener), strict=True)
        ]
        url = f"http://{host}:{port}"
        async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as api:
            await _subscribe(api, receiver, receiver_listener.getsockname()[1])
            try:
                yield _Stage(node, receiver, api, url, key)
            finally:
                servers[0].should_exit = True
                await serving[0]
                await node.stop()
                servers[1].should_exit = True
                await serving[1]


async def _subscribe(api: httpx.AsyncClient, receiver: Receiver, port: int) -> None:
    for path, types, description in _RECEIVERS:
        answer = await api.post(
            "/v1/endpoints",
            json={
                "client_id": CLIENT_ID,
                "url": f"http://127.0.0.1:{port}{path}",
                "event_types": types,
                "description": description,
            },
        )
        answer.raise_for_status()
        receiver.add(path, answer.json()["secret"])


def _gist(data: dict[str, Any]) -> str:
    names = ("OrderNo", "ErpOrderNo", "ClientOrderRef", "PartNo", "CustomerId", "CompanyId", "JobId", "BasketId")
    return next((f"{name} {data[name]}" for name in names if name in data), "")


def _view(stage: _Stage, total: int | None) -> Group:
    progress = Progress(TextColumn("published"), BarColumn(), MofNCompleteColumn())
    progress.add_task("", total=total, completed=stage.published.total())
    deliveries = Table(expand=True, box=None)
    for title, justify in (("receiver", "left"), ("wanted", "right"), ("arrived", "right"), ("under way", "right")):
        deliveries.add_column(title, justify=justify)  # type: ignore[arg-type]
    for path, _, description in _RECEIVERS:
        wanted, arrived = len(stage.wanted[path]), len(stage.receiver.arrived[path])
        deliveries.add_row(description, str(wanted), str(arrived), str(wanted - arrived))
    latest = Table.grid(padding=(0, 2))
    for event_type, gist in reversed(stage.latest):
        latest.add_row(event_type, gist)
    bad = f"{stage.receiver.refused} answered 503 and retried after 5 s · Ctrl-C stops"
    screens = Text(f"screens: {stage.way_in}", overflow="fold")
    return Group(progress, Panel(deliveries, title="deliveries"), Panel(latest, title="latest events"), bad, screens)


def summary_table(summary: dict[str, Any]) -> Table:
    title = "events are missing" if summary["missing"] else "every event arrived"
    table = Table(title=title if summary["checked"] else "interrupted, not checked", show_header=False)
    rows = {
        "events published": f"{summary['events']} of {summary['types']} types",
        "deliveries expected": summary["expected"],
        "arrived": summary["arrived"],
        "missing" if summary["checked"] else "under way": summary["missing"],
        "answered 503 at first, then retried": summary["retried"],
        "bad signatures": summary["forged"],
        "books balance": "yes" if summary["balanced"] else "no",
        "seconds": summary["seconds"],
    }
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table
