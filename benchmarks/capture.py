"""Measure `commerce-event capture`: changes a second, and the time from a commit to the server's answer (Linux only).

Run `python -m benchmarks.capture --postgres URL` with a superuser of a PostgreSQL that has `wal_level = logical`; a
database is made there and dropped. The rate is compared with posting the same changes without a capture, in one run.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from commerce_event.bench.harness import per_second
from commerce_event.bench.processes import BenchError, CpuWatch, Running, Server
from commerce_event.bench.report import MIB, Arrivals, Figure, at_least, at_most, machine
from commerce_event.bench.stores import StoreFactory
from commerce_event.changes.capture.envelopes import read_rows
from commerce_event.changes.capture.pgoutput import Column, Relation
from commerce_event.cli.bench import print_report
from commerce_event.core.clock import parse_rfc3339

_CUSTOMERS: Final = 10_000
_PER_TRANSACTION: Final = 10
_WAIT_S: Final = 300.0
_POLL_S: Final = 0.02
_TABLE: Final = """
CREATE TABLE customer (id int PRIMARY KEY, first_name text, last_name text, email text, city text, credit numeric,
    orders int, active bool, changed_at timestamptz, note text);
INSERT INTO customer
SELECT i, 'Ann', 'Miller', 'ann' || i || '@example.com', 'Linz', 12.5, 7, true, now(), repeat('x', 60)
FROM generate_series(0, 9999) AS i
"""
_COLUMNS: Final = (
    ("id", 23), ("first_name", 25), ("last_name", 25), ("email", 25), ("city", 25), ("credit", 1700), ("orders", 23),
    ("active", 16), ("changed_at", 1184), ("note", 25),
)  # fmt: skip
_ROW: Final = (
    b"Ann", b"Miller", b"ann@example.com", b"Linz", b"12.5", b"7", b"t", b"2026-01-31 10:00:00.123456+00", b"x" * 60,
)  # fmt: skip
_UPDATE: Final = "UPDATE customer SET orders = orders + 1, changed_at = now() WHERE id BETWEEN $1 AND $2"
_UPDATE_MANY: Final = """
DO $$ BEGIN FOR i IN 0..{last} LOOP
    UPDATE customer SET orders = orders + 1 WHERE id BETWEEN i * {step} % {rows} AND i * {step} % {rows} + {step} - 1;
    COMMIT;
END LOOP; END $$
"""


class Size(msgspec.Struct, frozen=True):
    """How much a run does."""

    changes: int  # that wait when the capture begins
    seconds: float  # of changes at a steady rate
    rate: float  # of those, changes/s


_FULL: Final = Size(50_000, 10.0, 2_500.0)
_QUICK: Final = Size(3_000, 1.0, 500.0)


class CaptureProcess(Running):
    """`commerce-event capture` on a database."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__(process, 0)


class CaptureBench:
    """One database, one server, and what happens between them."""

    def __init__(self, database: str, server: Server, size: Size) -> None:
        self._database = database
        self._server = server
        self._size = size
        self._source = database.rpartition("/")[2].partition("?")[0]

    def measure(self) -> Iterator[Figure]:
        """Yield the figures. Raises BenchError."""
        self._make_source(self._source)
        self._run("--setup")
        asyncio.run(_execute(self._database, self._many(self._size.changes)))
        alone = self._post_alone()
        yield Figure("changes posted without a capture", alone, "changes/s")
        with self._capture() as capture:
            yield from self._catch_up(capture, alone)
            yield from self._latency(capture)
        self._run("--teardown")

    def _catch_up(self, capture: CaptureProcess, alone: float) -> Iterator[Figure]:
        """Measure how fast changes that wait are captured."""
        cpu = CpuWatch(capture=capture, server=self._server)
        before = self._accepted()
        first = self._wait_for(before + 1)
        started = time.monotonic()
        self._wait_for(before + self._size.changes)
        seconds = time.monotonic() - started
        count = before + self._size.changes - first
        used_s = cpu.used_s()
        name = "captured changes"
        rate = count / seconds
        yield Figure(name, rate, "changes/s", cores=per_second(used_s, seconds), **at_least(5_000, rate))
        yield Figure("of posted without a capture", rate / alone, "ratio", name, **at_least(0.8, rate / alone))
        yield Figure("capture CPU", used_s["capture"] / self._size.changes * 1e6, "µs/change", name)
        yield Figure("server CPU", used_s["server"] / self._size.changes * 1e6, "µs/change", name)
        yield Figure("capture peak memory", capture.peak_memory_bytes() / MIB, "MiB", name)

    def _latency(self, capture: CaptureProcess) -> Iterator[Figure]:
        """Measure the time from a commit to the moment at which the server has the change durably."""
        before = self._accepted()
        cpu = CpuWatch(capture=capture, server=self._server)
        started = time.monotonic()
        written = asyncio.run(_write(self._database, self._size.rate, self._size.seconds))
        self._wait_for(before + written)
        seconds = time.monotonic() - started
        used_s = cpu.used_s()
        times = sorted(self._latencies(written))
        name = f"from commit to stored, at {self._size.rate:,.0f} changes/s"
        yield Figure(name, times[len(times) // 2], "ms, p50", cores=per_second(used_s, seconds))
        p99 = times[int(len(times) * 0.99)]
        yield Figure("p99", p99, "ms", name, **at_most(250, p99))

    def _latencies(self, count: int) -> Iterator[float]:
        """Yield the time in ms that each of the newest changes took."""
        cursor: str | None = None
        while count > 0:
            query = {"source": self._source, "limit": "200"} | ({} if cursor is None else {"cursor": cursor})
            page = self._server.api.get("/v1/changes", params=query).raise_for_status().json()
            for change in page["items"][:count]:
                yield parse_rfc3339(change["accepted_at"]) - parse_rfc3339(change["at"])
            count -= len(page["items"])
            cursor = page["next_cursor"]

    def _post_alone(self) -> float:
        """Post as many changes as a capture does, one request after the other; return changes/s."""
        source = f"{self._source}_alone"
        self._make_source(source)
        columns = tuple(Column(name, number == 0, oid) for number, (name, oid) in enumerate(_COLUMNS))
        relation = Relation(1, "public", "customer", "d", columns)
        names = {"source": source, "database": "bench"}
        bodies = []
        for start in range(0, self._size.changes, 1_000):
            rows = [[str(number % _CUSTOMERS).encode(), *_ROW] for number in range(start, start + 1_000)]
            read = read_rows(relation, rows, **names, base_types={}, as_inserted=True, lsn=start, now_ms=start)
            bodies.append(b"[%b]" % b",".join(read))
        started = time.monotonic()
        position = ""
        for number, body in enumerate(bodies):
            query = {"source": source, "after": position, "position": (position := f"{number:06}")}
            headers = {"Content-Type": "application/json"}
            answer = self._server.api.post("/v1/changes/debezium", params=query, content=body, headers=headers)
            answer.raise_for_status()
        return 1_000 * len(bodies) / (time.monotonic() - started)

    def _make_source(self, name: str) -> None:
        fields = {"FirstName": "first_name", "LastName": "last_name", "Email": "email"}
        table = {"entity": "tClientCustomer", "key": {"CustomerId": "id"}, "fields": fields}
        body = {"client_id": 1, "tables": {"public.customer": table}}
        self._server.api.put(f"/v1/change-sources/{name}", json=body).raise_for_status()

    def _many(self, changes: int) -> str:
        last = changes // _PER_TRANSACTION - 1
        return _UPDATE_MANY.format(last=last, step=_PER_TRANSACTION, rows=_CUSTOMERS)

    def _accepted(self) -> int:
        lines = self._server.api.get("/metrics").raise_for_status().text.splitlines()
        found = [line for line in lines if line.startswith("commerce_event_accepted_changes_total")]
        return int(sum(float(line.split()[-1]) for line in found))

    def _wait_for(self, count: int) -> int:
        """Wait until the server has so many changes; return how many it has. Raises BenchError."""
        deadline = time.monotonic() + _WAIT_S
        while (accepted := self._accepted()) < count:
            if time.monotonic() > deadline:
                raise BenchError(f"Only {accepted} of {count} changes were captured within {_WAIT_S:.0f} s")
            time.sleep(_POLL_S)
        return accepted

    def _arguments(self) -> tuple[list[str], dict[str, str]]:
        command = [sys.executable, "-m", "commerce_event", "capture", self._database, "--source", self._source]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("COMMERCE_EVENT_")}
        url = f"http://127.0.0.1:{self._server.port}"
        return command, {**kept, "COMMERCE_EVENT_URL": url, "COMMERCE_EVENT_KEY": self._server.key}

    def _run(self, option: str) -> None:
        command, environment = self._arguments()
        done = subprocess.run([*command, option], env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchError(done.stderr.strip())

    @contextmanager
    def _capture(self) -> Iterator[CaptureProcess]:
        command, environment = self._arguments()
        process = subprocess.Popen(command, env=environment, text=True, stderr=subprocess.DEVNULL)
        try:
            with CaptureProcess(process) as running:
                yield running
        finally:
            process.terminate()
            process.wait()


async def _execute(database: str, *statements: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _write(database: str, rate: float, seconds: float) -> int:
    """Update rows at a rate, in transactions of ten; return how many."""
    connection = await asyncpg.connect(database)
    try:
        update = await connection.prepare(_UPDATE)
        start = time.monotonic()
        written = 0
        while written < rate * seconds:
            first = written % _CUSTOMERS
            await update.fetch(first, first + _PER_TRANSACTION - 1)
            written += _PER_TRANSACTION
            await asyncio.sleep(max(0.0, start + written / rate - time.monotonic()))
        return written
    finally:
        await connection.close()


def measure(folder: Path, postgres: str, size: Size) -> Iterator[Figure]:
    """Yield the figures of a run on a server of PostgreSQL. Raises BenchError."""
    followed = StoreFactory(folder, postgres)
    stores = StoreFactory(folder)
    with followed.store() as database, stores.store() as store, stores.servers(store) as [server]:
        asyncio.run(_execute(database, _TABLE))
        yield from CaptureBench(database, server, size).measure()


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the capture of changes from PostgreSQL.")
    parser.add_argument("--postgres", required=True, help="URL of a PostgreSQL server with wal_level = logical")
    parser.add_argument("--quick", action="store_true", help="small counts: a smoke test, not a measurement")
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    chosen = parser.parse_args()
    facts = machine()
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        try:
            figures = list(measure(Path(folder), chosen.postgres, _QUICK if chosen.quick else _FULL))
        except BenchError as error:
            print(error, file=sys.stderr)
            return 1
    all_met = print_report(facts, Arrivals(), figures, quick=chosen.quick, as_json=chosen.json)
    return 1 if chosen.check and not all_met else 0


if __name__ == "__main__":
    sys.exit(main())
