"""Run the demo: a shop, a server and receivers on this machine, shown on one screen."""

import asyncio
import contextlib
import secrets
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, Final, Literal

import httpx
from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from commerce_event.cli.demo_changes import DemoChanges
from commerce_event.cli.signals import stop_event
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.http.uvicorn_server import http_server, listen
from commerce_event.server import Node
from commerce_event.settings import Settings
from commerce_event.simulate.receiver import Receiver
from commerce_event.simulate.rows import SimulatedChange
from commerce_event.simulate.shop import Shop, SimulatedEvent

CLIENT_ID: Final = 1
_ARRIVAL_MAX_S: Final = 60.0  # until the last delivery of a bounded run; retries have the documented delays
_PRINT_EVERY_S: Final = 3.0
_POLL_S: Final = 0.2  # between two reads of what changes have raised
_FAIL_EVERY: Final = 40  # every 40th first attempt is answered 503
_RECEIVERS: Final = (
    ("/erp/orders", ["Order"], "ERP: orders"),
    ("/pim/products", ["Product", "Supplier"], "PIM: products and suppliers"),
    ("/crm/customers", ["Customer", "OrderReceivedEvent"], "CRM: customers and received orders"),
    ("/archive", ["*"], "Archive: all events"),
)

Show = Literal["screen", "lines", "nothing"]


class _Demo:
    """The running demo: a node with its HTTP API, a receiver, a client of the API, and the changes of the shop."""

    def __init__(self, node: Node, receiver: Receiver, api: httpx.AsyncClient, url: str, key: str) -> None:
        self.node = node
        self.receiver = receiver
        self.api = api
        self.url = url
        self.screens = f"{url}/admin, key {key}"
        self.changes = DemoChanges(api, CLIENT_ID)
        self.published: Counter[str] = Counter()
        self.wanted: dict[str, list[str]] = {path: [] for path, _, _ in _RECEIVERS}
        self.latest: deque[tuple[str, str]] = deque(maxlen=8)

    async def publish(self, event: SimulatedEvent) -> None:
        answer = await self.api.post(
            f"/v1/events/{event.type}", json=event.data, headers={"Idempotency-Key": event.key}
        )
        answer.raise_for_status()
        self.published[event.type] += 1
        self.latest.append((event.type, _business_key(event.data)))
        self._expect(event.type, answer.json()["id"])

    async def read_raised(self) -> None:
        """Read what changes have raised since the last time, and expect its deliveries."""
        for event_type, event_id in await self.changes.read_raised():
            self._expect(event_type, event_id)

    def _expect(self, event_type: str, event_id: str) -> None:
        names = {"*", event_type, EVENT_TYPES[event_type].category}
        for path in (path for path, types, _ in _RECEIVERS if names & set(types)):
            self.wanted[path].append(event_id)

    def missing(self) -> int:
        """Count deliveries of accepted events that the receivers have not counted yet."""
        arrived = self.receiver.arrived
        return sum(event_id not in arrived[path] for path, wanted in self.wanted.items() for event_id in wanted)


async def run(*, total: int | None, rate: float, seed: int, show: Show) -> dict[str, Any]:
    """Publish events and send changes, wait for the last delivery, and return the summary.

    A signal ends the run early, without the check.
    """
    started = time.monotonic()
    stop = stop_event()
    async with _start() as demo:
        async with _display(demo, total, show):
            checked = await _run_until(stop, _live_and_wait(demo, total, rate, seed))
        changes = demo.changes
        books = (await demo.api.get("/v1/books")).json()
        expected, missing = sum(map(len, demo.wanted.values())), demo.missing()
        return {
            "checked": checked,
            "events": demo.published.total(),
            "types": len(demo.published),
            "changes": changes.sent,
            "notifications_expected": changes.expected,
            "raised": changes.raised,
            "merged": changes.merged,
            "mismatches": changes.mismatches(),
            "explained": await changes.explained(),
            "expected": expected,
            "arrived": expected - missing,
            "missing": missing,
            "forged": demo.receiver.forged,
            "retried": demo.receiver.refused,
            "balanced": books["balanced"],
            "seconds": round(time.monotonic() - started, 1),
        }


async def _live_and_wait(demo: _Demo, total: int | None, rate: float, seed: int) -> None:
    living = asyncio.create_task(_live(demo, total, rate, seed))
    sending = asyncio.create_task(demo.changes.run())
    following = asyncio.create_task(_follow(demo, living))
    tasks = (living, sending, following)
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ARRIVAL_MAX_S):
                await following
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _follow(demo: _Demo, living: asyncio.Task[None]) -> None:
    """Follow what changes raise, until the shop has ended and everything has arrived."""
    while not living.done() or demo.changes.mismatches() or demo.missing():
        await demo.read_raised()
        await asyncio.sleep(_POLL_S)


async def _run_until(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Run the work until it is done or ``stop`` is set; return whether it is done."""
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
async def _display(demo: _Demo, total: int | None, show: Show) -> AsyncIterator[None]:
    """Show the progress: on a live screen, or as a line every few seconds."""
    if show == "screen":
        with Live(get_renderable=lambda: _view(demo, total), refresh_per_second=8):
            yield
    elif show == "lines":
        print(f"Running a shop, a server at {demo.url} and {len(_RECEIVERS)} receivers.", file=sys.stderr)
        print(f"Screens: {demo.screens}", file=sys.stderr)
        printing = asyncio.create_task(_print_progress(demo))
        try:
            yield
        finally:
            printing.cancel()
    else:
        yield


async def _print_progress(demo: _Demo) -> None:
    while True:
        await asyncio.sleep(_PRINT_EVERY_S)
        events, wanted = demo.published.total(), sum(map(len, demo.wanted.values()))
        sent, raised = demo.changes.sent, demo.changes.raised
        changes = f"{sent} changes sent, {raised} notifications raised"
        arrived = f"{wanted - demo.missing()} of {wanted} deliveries arrived"
        print(f"{events} events published, {changes}, {arrived}", file=sys.stderr)


async def _live(demo: _Demo, total: int | None, rate: float, seed: int) -> None:
    """Run the shop at a steady rate until so many events and changes are sent.

    Several events are published at a time, so that slow answers do not slow down the shop. Notifications of the
    shop are not published: its changes raise them.
    """
    start, sent = time.monotonic(), 0
    in_progress: set[asyncio.Task[None]] = set()
    try:
        for step in Shop(seed, CLIENT_ID).steps():
            if total is not None and sent >= total:
                break
            await asyncio.sleep(max(0.0, start + sent / rate - time.monotonic()))
            for each in step:
                if isinstance(each, SimulatedChange):
                    demo.changes.put(each)
                elif EVENT_TYPES[each.type].kind == "notification":
                    demo.changes.expect(each)
                    continue
                else:
                    in_progress.add(asyncio.create_task(demo.publish(each)))
                sent += 1
            done = {task for task in in_progress if task.done()}
            for task in done:
                task.result()
            in_progress -= done
        await asyncio.gather(*in_progress)
        await demo.changes.until_sent()
    finally:
        for task in in_progress:
            task.cancel()
        await asyncio.gather(*in_progress, return_exceptions=True)


@contextlib.asynccontextmanager
async def _start() -> AsyncIterator[_Demo]:
    """Start everything on free ports of this machine, and stop it at the end."""
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
        async with httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False
        ) as api:
            await _subscribe(api, receiver, receiver_listener.getsockname()[1])
            demo = _Demo(node, receiver, api, url, key)
            await demo.changes.set_up()
            try:
                yield demo
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


def _business_key(data: dict[str, Any]) -> str:
    names = ("OrderNo", "ErpOrderNo", "ClientOrderRef", "PartNo", "CustomerId", "CompanyId", "JobId", "BasketId")
    return next((f"{name} {data[name]}" for name in names if name in data), "")


def _view(demo: _Demo, total: int | None) -> Group:
    progress = Progress(TextColumn("sent"), BarColumn(), MofNCompleteColumn())
    progress.add_task("", total=total, completed=demo.published.total() + demo.changes.sent)
    changes = (
        f"{demo.published.total()} events published · {demo.changes.sent} data changes sent, "
        f"which raised {demo.changes.raised} notifications"
    )
    deliveries = Table(expand=True, box=None)
    for title, justify in (("receiver", "left"), ("expected", "right"), ("arrived", "right"), ("in progress", "right")):
        deliveries.add_column(title, justify=justify)  # type: ignore[arg-type]
    for path, _, description in _RECEIVERS:
        wanted, arrived = len(demo.wanted[path]), len(demo.receiver.arrived[path])
        deliveries.add_row(description, str(wanted), str(arrived), str(wanted - arrived))
    latest = Table.grid(padding=(0, 2))
    for event_type, key in reversed(demo.latest):
        latest.add_row(event_type, key)
    bad = f"{demo.receiver.refused} answered 503 and retried after 5 s · stop with Ctrl-C"
    screens = Text(f"screens: {demo.screens}", overflow="fold")
    return Group(
        progress, changes, Panel(deliveries, title="deliveries"), Panel(latest, title="latest events"), bad, screens
    )


def summary_table(summary: dict[str, Any]) -> Table:
    title = "every event arrived"
    if summary["mismatches"]:
        title = "changes did not raise the notifications that the shop expects"
    elif summary["missing"]:
        title = "events are missing"
    table = Table(title=title if summary["checked"] else "stopped early; arrivals were not checked", show_header=False)
    rows = {
        "events published": f"{summary['events']} of {summary['types']} types",
        "data changes sent": summary["changes"],
        "notifications expected": summary["notifications_expected"],
        "raised from the changes": summary["raised"],
        "merged into a newer one": summary["merged"],
        "not as expected" if summary["checked"] else "not raised yet": summary["mismatches"],
        "one change explained": summary["explained"],
        "deliveries expected": summary["expected"],
        "arrived": summary["arrived"],
        "missing" if summary["checked"] else "in progress": summary["missing"],
        "answered 503 at first, then retried": summary["retried"],
        "bad signatures": summary["forged"],
        "delivery counts balance": "yes" if summary["balanced"] else "no",
        "seconds": summary["seconds"],
    }
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table
