"""The oracle: publishes, receives and keeps its own record while servers suffer, then judges what came of it.

    python tests/oracle/chaos.py --engine sqlite --faults kill,kill-all --cycles 200

It knows the product by its command line and its HTTP API alone. Exits 1 on any breach.
"""

import argparse
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from database import Database
from disk import SmallDisk, can_mount
from faults import FAULTS, OF_A_DISK, World, possible
from ledger import Fault, Finding, Ledger, judge
from misbehaving import EVERY_EVENT, MAY_HANG, ONE_APPLICATION_EACH, TIMEOUT_S, Receivers
from publishers import Publishers
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from servers import FIRST_DELAY_S, Server

PUBLISHERS = 6
DISK_MB = {"sqlite": 400, "postgres": 1500}
SETTLE_S = 180.0
IN_FLIGHT_S = 2.0  # a request that was sent before a fault is noted after it, by so much at most
STALLED_S = 60.0


@contextmanager
def world(engine: str, faults: tuple[str, ...], seed: int, folder: Path) -> Iterator[World]:
    """Start one node on SQLite, or two on a PostgreSQL server of their own."""
    chance = random.Random(seed)
    with ExitStack() as closing:
        disk = None
        if not set(OF_A_DISK).isdisjoint(faults):
            disk = SmallDisk(folder / "disk", DISK_MB[engine])
            closing.callback(disk.close)
        place = disk.folder if disk is not None else folder
        database = None
        if engine == "sqlite":
            servers = [Server(folder / "only", f"sqlite:///{place / 'events.db'}", None)]
        else:
            database = Database(place / "postgres")
            closing.callback(database.close)
            key = "cek_" + secrets.token_urlsafe(32)
            servers = [Server(folder / name, database.url, key) for name in ("first", "second")]
        for server in servers:
            closing.callback(server.kill)
            server.start()
        yield World(servers, chance, database, disk)


def subscribe(server: Server, receivers: Receivers, ledger: Ledger) -> dict[str, str]:
    """Make endpoints for every path; return paths by endpoint id."""
    special: dict[str, dict[str, Any]] = {
        "/other-type": {"event_types": ["Product"]},
        "/other-client": {"client_id": 2},
        "/switched-off": {"enabled": False},
        **{path: {"application_id": turn} for turn, path in enumerate(ONE_APPLICATION_EACH, 1)},
    }
    ledger.wanted_paths, ledger.application_paths = EVERY_EVENT, ONE_APPLICATION_EACH
    ledger.forbidden_paths = ("/other-type", "/other-client", "/switched-off")
    paths = {}
    with server.api() as api:
        for path in (*ledger.wanted_paths, *ledger.application_paths, *ledger.forbidden_paths):
            wanted = {"client_id": 1, "url": receivers.url + path, "event_types": ["*"], **special.get(path, {})}
            if path in MAY_HANG:
                wanted["timeout_s"] = TIMEOUT_S
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


def wait_for_events(ledger: Ledger, between: int) -> None:
    """Wait until so many more are acknowledged. Raises SystemExit when none is for a minute."""
    enough = len(ledger.acknowledged) + between
    count, moved_at = 0, time.monotonic()
    while len(ledger.acknowledged) < enough:
        time.sleep(0.01)
        if len(ledger.acknowledged) > count:
            count, moved_at = len(ledger.acknowledged), time.monotonic()
        if time.monotonic() - moved_at > STALLED_S:
            raise SystemExit(f"no event was acknowledged for {STALLED_S:.0f} s after the fault {ledger.faults[-1:]}")


def suffer(
    suffering: World, faults: tuple[str, ...], ledger: Ledger, publishers: Publishers, cycles: int, between: int
) -> None:
    """Do one fault after another, each kind as often as the others, while events are published."""
    columns = (
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        for turn in progress.track(range(cycles), description="faults"):
            wait_for_events(ledger, between)
            kind, begun = faults[turn % len(faults)], time.monotonic()
            acknowledged, refused = len(ledger.acknowledged), publishers.refused
            FAULTS[kind](suffering)
            for server in suffering.servers:
                if not server.runs():
                    ledger.ended_by_itself.append(f"{server.name} after {kind}: {server.log_end()[-500:]}")
                    server.start()
            counts = len(ledger.acknowledged) - acknowledged, publishers.refused - refused
            ledger.faults.append(Fault(kind, begun, time.monotonic(), *counts))


def run(
    engine: str, faults: tuple[str, ...], cycles: int, between: int, seed: int, folder: Path
) -> tuple[Ledger, list[Finding]]:
    """Do so many faults under load, and judge."""
    ledger = Ledger(first_delay_s=FIRST_DELAY_S, faults_wanted=faults)
    receivers = Receivers(ledger, seed)
    try:
        with world(engine, faults, seed, folder) as suffering:
            paths = subscribe(suffering.servers[0], receivers, ledger)
            publishers = Publishers(suffering.servers, ledger, PUBLISHERS)
            suffer(suffering, faults, ledger, publishers, cycles, between)
            publishers.stop()
            ask(suffering.servers[0], ledger, paths)
    finally:
        receivers.close()
    findings = judge(ledger, repeat_window_s=IN_FLIGHT_S)
    findings.append(Finding("every answer was one that is documented", len(ledger.acknowledged), publishers.wrong))
    return ledger, findings


def report(ledger: Ledger, findings: list[Finding], seconds: float) -> bool:
    """Print what was done, what was looked at, and what is broken; return whether anything is."""
    done = Table("fault", *(Column(name, justify="right") for name in ("times", "seconds", "accepted", "told to wait")))
    for kind in dict.fromkeys(fault.kind for fault in ledger.faults):
        same = [fault for fault in ledger.faults if fault.kind == kind]
        lasted_s = sum(fault.ended - fault.begun for fault in same)
        accepted, refused = sum(fault.acknowledged for fault in same), sum(fault.refused for fault in same)
        done.add_row(kind, str(len(same)), f"{lasted_s:.1f}", f"{accepted:,}", f"{refused:,}")
    looked = Table("invariant", Column("looked at", justify="right"), Column("broken", justify="right"))
    for finding in findings:
        looked.add_row(finding.invariant, f"{finding.looked_at:,}", str(len(finding.broken)))
    console = Console(width=110)
    console.print(done, looked)
    console.print(f"{len(ledger.acknowledged):,} events, {len(ledger.arrivals):,} requests, {seconds:.0f} s")
    broken = [f"{finding.invariant}: {each}" for finding in findings for each in finding.broken[:5]]
    for each in broken:
        print(each, file=sys.stderr)
    return bool(broken)


def main() -> int:
    """Read the command line, run, report."""
    parser = argparse.ArgumentParser(description="Hurt servers under load and judge what comes of it.")
    parser.add_argument("--engine", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--faults", help=f"some of {','.join(FAULTS)}; without it, all that are possible here")
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--between", type=int, default=60, help="events that are acknowledged between two faults")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    can = possible(with_database=chosen.engine == "postgres", with_disk=can_mount())
    faults = can if chosen.faults is None else tuple(chosen.faults.split(","))
    if refused := set(faults) - set(can):
        parser.error(f"{', '.join(sorted(refused))} cannot be done here; what can: {', '.join(can)}")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        ledger, findings = run(chosen.engine, faults, chosen.cycles, chosen.between, chosen.seed, Path(folder))
    return 1 if report(ledger, findings, time.monotonic() - started) else 0


if __name__ == "__main__":
    sys.exit(main())
