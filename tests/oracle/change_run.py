"""The oracle of changes: sends changes while servers are killed and settings are switched, then judges what was raised.

    python tests/oracle/change_run.py --engine sqlite --cycles 100

It knows the product by its command line and its HTTP API alone. Exits 1 on any violation.
"""

import argparse
import json
import random
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from change_model import FORMS, Values, Wish, canonical
from change_stream import ChangeStream
from database import Database
from judge_changes import ChangeRecord, RaisedEvent, judge
from ledger_index import Finding
from rich.console import Console
from rich.table import Column, Table
from servers import Server

THREADS = 3
CLIENTS = (1, 2)
_STALLED_S = 60.0
_WRONG_MAX = 20
_SETTLE_S = 60.0
_CALLERS = 3
_SWITCHED_OFF = 4  # settings at a time


@dataclass(frozen=True)
class ChangePlan:
    """``between`` is the number of changes that are acknowledged between two faults; ``cycles`` the number of these."""

    engine: str
    cycles: int
    between: int = 120
    seed: int = 1
    bug: str = "none"


def wishes() -> list[Wish]:
    """Return the settings: two clients have different ones."""
    update = frozenset({"update"})
    customer, prices, stock = "tClientCustomer", "tClientProductSkuPriceList", "tClientProductSkuOnHand"
    not_deleted = frozenset({"insert", "update"})
    return [
        Wish(1, "CustomerChangedNotification", customer, fields=frozenset({"FirstName", "Email"})),
        Wish(1, "CustomerChangedNotification", customer, not_deleted, frozenset({"FirstName"}), application_id=2),
        Wish(1, "CustomerChangedNotification", "tClientCustomerAddress", update, window_s=0.8),
        Wish(1, "SkuPriceChangedNotification", prices),
        Wish(1, "SkuChangedNotification", prices, not_deleted, frozenset({"PriceSaleValue"}), window_s=1.2),
        Wish(1, "SkuOnHandBreakPointNotification", stock, not_deleted),
        Wish(1, "SkuChangedNotification", "tCategory", not_deleted, frozenset({"Name"})),
        Wish(1, "SupplierSkuPriceChangedNotification", "tSupplierProductSku"),
        Wish(1, "SupplierSkuChangedNotification", "tSupplierProductSku", update, level_rises_to=5),
        Wish(1, "SupplierSkuOnHandChangedNotification", "tSupplierProductSkuOnHand"),
        Wish(2, "SkuPriceChangedNotification", prices, window_s=2.0),
        Wish(2, "SkuOnHandBreakPointNotification", stock, not_deleted, window_s=0.5),
        Wish(2, "CustomerChangedNotification", customer, frozenset({"delete"})),
    ]


class Receiver:
    """Takes everything, and remembers the body of each event."""

    def __init__(self) -> None:
        self.arrivals: dict[str, set[str]] = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.arrivals.setdefault(self.headers["webhook-id"], set()).add(canonical(json.loads(body)))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        class QuietServer(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_: Any) -> None:
                """Say nothing of connections that a killed server leaves behind."""

        self._server = QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def nodes(plan: ChangePlan, folder: Path) -> Iterator[list[Server]]:
    """Start one node on SQLite, or two on a PostgreSQL server of their own."""
    with ExitStack() as closing:
        if plan.engine == "sqlite":
            servers = [Server(folder / "only", f"sqlite:///{folder / 'events.db'}", None, plan.bug)]
        else:
            database = Database(folder / "postgres")
            closing.callback(database.close)
            key = "cek_" + secrets.token_urlsafe(32)
            servers = [Server(folder / name, database.url, key, plan.bug) for name in ("first", "second")]
        for server in servers:
            closing.callback(server.kill)
            server.start()
        yield servers


def wait_for_changes(stream: ChangeStream, count: int) -> None:
    """Wait until so many more are acknowledged. Raises SystemExit when none is for a minute."""
    enough, seen, moved_at = len(stream.sent) + count, 0, time.monotonic()
    stream.allow(count)
    while len(stream.sent) < enough:
        time.sleep(0.01)
        if len(stream.sent) > seen:
            seen, moved_at = len(stream.sent), time.monotonic()
        if len(stream.wrong_answers) > _WRONG_MAX:
            raise SystemExit(f"too many wrong answers: {stream.wrong_answers[:3]}")
        if time.monotonic() - moved_at > _STALLED_S:
            raise SystemExit(f"no change was acknowledged for {_STALLED_S:.0f} s: {stream.wrong_answers[-3:]}")


def subscribe(server: Server, receiver: Receiver, wanted: list[Wish]) -> list[str]:
    """Create the endpoints, and the settings, which are on from the first epoch; return keys to send changes with."""
    with server.api() as api:
        for client_id in CLIENTS:
            endpoint = {"client_id": client_id, "url": receiver.url, "event_types": ["*"], "max_in_flight": 32}
            api.post("/v1/endpoints", json=endpoint).raise_for_status()
        for wish in wanted:
            answer = api.post("/v1/event-settings", json=wish.body())
            if answer.status_code != 201:
                raise SystemExit(f"{wish.body()}: {answer.status_code} {answer.text}")
            wish.id = answer.json()["id"]
            wish.on_in.add(0)
        body = {"role": "publish", "client_ids": list(CLIENTS)}
        made = [api.post("/v1/keys", json=body | {"name": f"sender {n}"}) for n in range(THREADS)]
        return [answer.raise_for_status().json()["key"] for answer in made]


def wait_for_keys(servers: list[Server], keys: list[str]) -> None:
    """Wait until every node knows the keys; the others need a moment to learn of them."""
    end = time.monotonic() + _SETTLE_S
    for server in servers:
        for key in keys:
            headers = {"authorization": f"Bearer {key}"}
            while httpx.post(f"{server.url}/v1/changes", json=[], headers=headers).status_code == 401:
                if time.monotonic() > end:
                    raise SystemExit(f"{server.name} does not know a key of another node")
                time.sleep(0.05)


def switch(servers: list[Server], stream: ChangeStream, record: ChangeRecord, rng: random.Random) -> None:
    """Switch on what is off, and some others off, between two changes."""
    on = [wish for wish in record.wishes if stream.epoch in wish.on_in]
    off = rng.sample(on, _SWITCHED_OFF)
    with stream.paused():
        for wish in record.wishes:
            if wish in off or wish not in on:
                with rng.choice(servers).api() as api:
                    answer = api.patch(f"/v1/event-settings/{wish.id}", json={"enabled": wish not in off})
                answer.raise_for_status()
            if wish not in off:
                wish.on_in.add(stream.epoch + 1)


def live(plan: ChangePlan, servers: list[Server], receiver: Receiver, record: ChangeRecord) -> None:
    """Send changes, kill one node or all, and switch settings, turn by turn."""
    rng = random.Random(plan.seed)
    keys = subscribe(servers[0], receiver, record.wishes)
    wait_for_keys(servers, keys)
    stream = ChangeStream(servers, plan.seed, keys)
    try:
        wait_for_changes(stream, plan.between)
        for turn in range(plan.cycles):
            hit = servers if turn % 2 == 0 else [rng.choice(servers)]
            stream.allow(plan.between)
            for server in hit:
                server.kill()
            for server in hit:
                server.start()
            record.kills += len(hit)
            wait_for_changes(stream, plan.between // 2)
            switch(servers, stream, record, rng)
            wait_for_changes(stream, plan.between // 2)
            record.ended_by_itself += [f"{each.name}: {each.log_end()[-500:]}" for each in servers if not each.runs()]
    finally:
        stream.stop()
    record.sent, record.epochs = stream.sent, stream.epoch
    record.repeated, record.conflicts = stream.repeated, stream.conflicts
    record.wrong_answers, record.wrong_repeats = stream.wrong_answers, stream.wrong_repeats
    ask(servers, receiver, record)


def ask(servers: list[Server], receiver: Receiver, record: ChangeRecord) -> None:
    """Wait until all is raised and delivered, and write down what the servers say."""
    server, end = servers[-1], time.monotonic() + _SETTLE_S
    _explain(server, record, [change.id for change in record.sent])
    while (begun := [*filter(_is_begun, record.explanations.values())]) and time.monotonic() < end:
        time.sleep(0.3)
        _explain(server, record, [explanation["change"]["id"] for explanation in begun])
    with server.api() as api:
        while (pending := _pending(api)) and time.monotonic() < end:
            time.sleep(0.3)
        record.pending = pending
        record.events = [event for client_id in CLIENTS for event in _events(api, client_id)]
        record.stored_ids = [each["id"] for client_id in CLIENTS for each in _changes(api, client_id)]
    record.arrivals = receiver.arrivals


def _is_begun(explanation: Values) -> bool:
    """Tell whether a notification still waits, or is not delivered yet."""
    notifications = [each for setting in explanation["settings"] for each in setting["notifications"]]
    return any(each["waits_until"] or each["deliveries"].get("pending") for each in notifications)


def _pending(api: httpx.Client) -> int:
    return sum(book["pending"] for book in api.get("/v1/books").raise_for_status().json()["items"])


def _events(api: httpx.Client, client_id: int) -> Iterator[RaisedEvent]:
    after = 0
    while True:
        query: dict[str, Any] = {"client_id": client_id, "after": after, "limit": 200}
        items = api.get("/v1/events", params=query).raise_for_status().json()["items"]
        if not items:
            return
        for item in items:
            if item["type"] in FORMS:
                accepted_ms = _time_ms(item["accepted_at"])
                yield RaisedEvent(item["id"], item["sequence"], item["type"], item["data"], accepted_ms)
        after = items[-1]["sequence"]


def _time_ms(text: str) -> float:
    return datetime.fromisoformat(text).timestamp() * 1000


def _changes(api: httpx.Client, client_id: int) -> Iterator[Values]:
    cursor: str | None = ""
    while cursor is not None:
        params: dict[str, Any] = {"client_id": client_id, "limit": 200, **({"cursor": cursor} if cursor else {})}
        page = api.get("/v1/changes", params=params).raise_for_status().json()
        yield from page["items"]
        cursor = page["next_cursor"]


def _explain(server: Server, record: ChangeRecord, ids: list[str]) -> None:
    """Ask what became of changes."""

    def read(part: list[str]) -> None:
        with server.api() as api:
            for change_id in part:
                explanation = api.get(f"/v1/changes/{change_id}/explain").raise_for_status().json()
                explanation["change"]["accepted_ms"] = _time_ms(explanation["change"]["accepted_at"])
                record.explanations[change_id] = explanation

    with ThreadPoolExecutor(_CALLERS) as callers:
        list(callers.map(read, [ids[turn::_CALLERS] for turn in range(_CALLERS)]))


def run(plan: ChangePlan, folder: Path) -> tuple[ChangeRecord, list[Finding]]:
    """Send changes under so many kills, and judge."""
    record, receiver = ChangeRecord(wishes()), Receiver()
    try:
        with nodes(plan, folder) as servers:
            live(plan, servers, receiver, record)
    finally:
        receiver.close()
    return record, judge(record)


def report(record: ChangeRecord, findings: list[Finding], seconds: float) -> bool:
    """Print how much was checked, and what is broken; return whether anything is."""
    looked = Table("invariant", Column("checked", justify="right"), Column("broken", justify="right"))
    for finding in findings:
        looked.add_row(finding.invariant, f"{finding.looked_at:,}", str(len(finding.broken)))
    console = Console(width=110)
    console.print(looked)
    changes, events = len(record.sent), len(record.events)
    console.print(f"{changes:,} changes, {events:,} notifications, {record.kills} kills, {record.epochs} epochs")
    console.print(f"{seconds:.0f} s")
    broken = [f"{finding.invariant}: {each}" for finding in findings for each in finding.broken[:5]]
    for each in broken:
        print(each, file=sys.stderr)
    return bool(broken)


def main() -> int:
    """Read the command line, run, report."""
    parser = argparse.ArgumentParser(description="Kill servers while changes are sent, and judge what is raised.")
    parser.add_argument("--engine", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--between", type=int, default=120, help="changes that are acknowledged between two faults")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bug", default="none", help="put a bug of tests/seeded_bugs into the servers")
    chosen = parser.parse_args()
    plan = ChangePlan(chosen.engine, chosen.cycles, chosen.between, chosen.seed, chosen.bug)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        record, findings = run(plan, Path(folder))
    return 1 if report(record, findings, time.monotonic() - started) else 0


if __name__ == "__main__":
    sys.exit(main())
