"""The oracle: publishes, receives and keeps its own record while servers suffer, then judges what came of it.

    python tests/oracle/chaos.py --engine sqlite --faults kill,kill-all --cycles 200

It knows the product by its command line and its HTTP API alone. Exits 1 on any violation.
"""

import argparse
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from client import ask, settle
from database import Database
from disk import SmallDisk, can_mount
from faults import FAULTS, OF_A_DISK, World, possible
from faulty_receiver import Receivers
from invariants import judge
from ledger import Fault, Ledger
from ledger_index import Finding
from monitor import Watch
from operators import check_revoked, drop, make_and_revoke_key, replay, rotate, subscribe
from publishers import Publishers
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from servers import KEY, Server
from subscriptions import CANCELLED, DELETED
from worst_tenant import WorstTenant

PUBLISHERS = 6
DISK_MB = {"sqlite": 400, "postgres": 1500}
STALLED_S = 60.0
SETTLE_S = 90.0


@dataclass(frozen=True)
class Plan:
    """What is to be done in a run.

    ``between`` is the number of events that are acknowledged between two faults, ``idle_s`` the time until connections
    that are not in use are closed, before open files are counted. When nothing happened for ``quiet_s``, nothing is
    expected to happen any more. ``with_worst_tenant``: another client does its worst during the faults.
    """

    engine: str
    faults: tuple[str, ...]
    cycles: int
    between: int = 60
    seed: int = 1
    bug: str = "none"
    idle_s: float = 4.0
    with_worst_tenant: bool = False
    quiet_s: float = SETTLE_S


@contextmanager
def world(plan: Plan, ledger: Ledger, folder: Path) -> Iterator[World]:
    """Start one node on SQLite, or two on a PostgreSQL server of their own."""
    with ExitStack() as closing:
        disk = None
        if not set(OF_A_DISK).isdisjoint(plan.faults):
            disk = SmallDisk(folder / "disk", DISK_MB[plan.engine])
            closing.callback(disk.close)
        place = disk.folder if disk is not None else folder
        database = None
        if plan.engine == "sqlite":
            servers = [Server(folder / "only", f"sqlite:///{place / 'events.db'}", None, plan.bug)]
        else:
            database = Database(place / "postgres")
            closing.callback(database.close)
            if disk is not None:
                disk.flush()  # a power cut is to find what belongs to no transaction
            key = "cek_" + secrets.token_urlsafe(32)
            servers = [Server(folder / name, database.url, key, plan.bug) for name in ("first", "second")]
        for server in servers:
            closing.callback(server.kill)
            server.start()
        ledger.nodes = len(servers)
        yield World(servers, random.Random(plan.seed), ledger, database, disk)


def wait_for_events(ledger: Ledger, between: int) -> None:
    """Wait until so many more are acknowledged. Raises SystemExit when none is for a minute."""
    enough = ledger.acknowledged + between
    count, moved_at = 0, time.monotonic()
    while ledger.acknowledged < enough:
        time.sleep(0.01)
        if ledger.acknowledged > count:
            count, moved_at = ledger.acknowledged, time.monotonic()
        if time.monotonic() - moved_at > STALLED_S:
            raise SystemExit(f"no event was acknowledged for {STALLED_S:.0f} s after the fault {ledger.faults[-1:]}")


def suffer(suffering: World, plan: Plan, publishers: Publishers) -> None:
    """Do one fault after another, each kind as often as the others, while events are published."""
    ledger = suffering.ledger
    columns = (
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        for turn in progress.track(range(plan.cycles), description="faults"):
            wait_for_events(ledger, plan.between)
            kind, begun = plan.faults[turn % len(plan.faults)], time.monotonic()
            acknowledged, refused = ledger.acknowledged, publishers.told_to_wait
            FAULTS[kind](suffering)
            for server in suffering.servers:
                if not server.runs():
                    ledger.ended_by_itself.append(f"{server.name} after {kind}: {server.log_end()[-500:]}")
                    server.start()
            counts = ledger.acknowledged - acknowledged, publishers.told_to_wait - refused
            ledger.faults.append(Fault(kind, begun, time.monotonic(), *counts))


def live(suffering: World, plan: Plan, receivers: Receivers) -> None:
    """A stretch without faults, the faults, and what is asked for when all is over."""
    servers, ledger = suffering.servers, suffering.ledger
    paths = subscribe(servers[0], receivers, ledger)
    watch = Watch(servers, ledger)
    publishers = Publishers(servers, ledger, PUBLISHERS)
    try:
        wait_for_events(ledger, plan.between)
        rotate(servers[-1], receivers, ledger, paths)
        revoked = make_and_revoke_key(servers, ledger)
        wait_for_events(ledger, plan.between)
        watch.take(quiet=True)
        worst = WorstTenant(servers) if plan.with_worst_tenant else None
        suffer(suffering, plan, publishers)
        if worst is not None:
            worst.stop()
    finally:
        publishers.stop()
    settle(servers[0], ledger, plan.quiet_s, [each for each, path in paths.items() if path in {CANCELLED, DELETED}])
    ledger.settled_at = time.monotonic()
    if not ledger.pending:
        drop(servers[0], ledger, paths)
        replay(servers[-1], ledger, paths)
        settle(servers[0], ledger, plan.quiet_s)
    check_revoked(servers, ledger, revoked)
    watch.stop()
    time.sleep(plan.idle_s)
    watch.take(quiet=True)
    secret = [KEY, revoked, *(each for known in receivers.secrets.values() for each in known)]
    ask(servers, ledger, paths, secret)


def run(plan: Plan, folder: Path) -> tuple[Ledger, list[Finding]]:
    """Do so many faults under load, and judge."""
    ledger = Ledger(faults_wanted=plan.faults)
    receivers = Receivers(ledger, plan.seed)
    try:
        with world(plan, ledger, folder) as suffering:
            live(suffering, plan, receivers)
    finally:
        receivers.close()
    return ledger, judge(ledger)


def report(ledger: Ledger, findings: list[Finding], seconds: float) -> bool:
    """Print what was done, what was looked at, and what is broken; return whether anything is."""
    done = Table("fault", *(Column(name, justify="right") for name in ("times", "seconds", "accepted", "told to wait")))
    for kind in dict.fromkeys(fault.kind for fault in ledger.faults):
        same = [fault for fault in ledger.faults if fault.kind == kind]
        lasted_s = sum(fault.ended - fault.begun for fault in same)
        accepted, refused = sum(fault.acknowledged for fault in same), sum(fault.refused for fault in same)
        done.add_row(kind, str(len(same)), f"{lasted_s:.1f}", f"{accepted:,}", f"{refused:,}")
    looked = Table("invariant", Column("checked", justify="right"), Column("broken", justify="right"))
    for finding in findings:
        looked.add_row(finding.invariant, f"{finding.looked_at:,}", str(len(finding.broken)))
    console = Console(width=110)
    console.print(done, looked)
    console.print(f"{ledger.acknowledged:,} events, {len(ledger.arrivals):,} requests, {seconds:.0f} s")
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
    parser.add_argument("--bug", default="none", help="put a bug of tests/seeded_bugs into the servers")
    parser.add_argument("--without-worst-tenant", action="store_true", help="let no other client do its worst")
    chosen = parser.parse_args()
    can = possible(with_database=chosen.engine == "postgres", with_disk=can_mount())
    faults = can if chosen.faults is None else tuple(chosen.faults.split(","))
    if refused := set(faults) - set(can):
        parser.error(f"{', '.join(sorted(refused))} cannot be done here; what can: {', '.join(can)}")
    plan = Plan(
        chosen.engine, faults, chosen.cycles, chosen.between, chosen.seed, chosen.bug,
        with_worst_tenant=not chosen.without_worst_tenant,
    )  # fmt: skip
    started = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        ledger, findings = run(plan, Path(folder))
    return 1 if report(ledger, findings, time.monotonic() - started) else 0


if __name__ == "__main__":
    sys.exit(main())
