"""The embedded store, and PostgreSQL with one node and with two: the same loads, turn and turn about."""

import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from commerce_event.bench.harness import Loaded, Rig, Size, Steps, cores
from commerce_event.bench.processes import CpuWatch, Server
from commerce_event.bench.report import MIB, Figure, at_most
from commerce_event.bench.scenarios import TURNS, latencies, queue_costs, queue_growth
from commerce_event.bench.stores import Place

_ONE: Final = "PostgreSQL, 1 node"
_TWO: Final = "PostgreSQL, 2 nodes"
_EMBEDDED: Final = "SQLite"


def steps_of(size: Size) -> int:
    return len(size.backlogs) + 1 + 1 + 3 * TURNS + 2 * 3


class Beside:
    """PostgreSQL's figures, and what they are of the embedded store's."""

    def __init__(self, rig: Rig, embedded: Place, postgres: Place, steps: Steps) -> None:
        self._rig = rig
        self._postgres = postgres
        self._steps = steps
        self._setups = {_EMBEDDED: (embedded, 1), _ONE: (postgres, 1), _TWO: (postgres, 2)}

    def run(self) -> Iterator[Figure]:
        """Measure. Raises BenchError."""
        yield from self._queue()
        yield from self._churn()
        with ExitStack() as stack:
            servers = {
                name: stack.enter_context(place.servers(stack.enter_context(place.store()), count))
                for name, (place, count) in self._setups.items()
            }
            yield from self._accepting(servers)
            yield from self._end_to_end(servers)

    def _queue(self) -> Iterator[Figure]:
        with ExitStack() as stack:
            stores = []
            for backlog in self._rig.size.backlogs:
                self._steps.next(f"PostgreSQL: writing a backlog of {backlog:,}")
                stores.append(store := stack.enter_context(self._postgres.store()))
                self._rig.seeded(self._postgres, store, backlog, self._steps.share)
            self._steps.next("PostgreSQL: claim and settle")
            queues = self._rig.queue_costs(stores)
            yield from queue_costs("PostgreSQL queue", self._rig.size, queues)
            yield from queue_growth("PostgreSQL queue", queues)

    def _churn(self) -> Iterator[Figure]:
        self._steps.next(f"PostgreSQL: {self._rig.size.churned:,} deliveries come and go")
        with self._postgres.store() as store:
            said = self._rig.churn(store, self._steps.share)
        name = f"PostgreSQL, {self._rig.size.churned:,} deliveries later"
        grown = said["last_us"] / said["first_us"]
        yield Figure(name, grown, "ratio", **at_most(1.3, grown))
        for moment, sizes in said["sizes"].items():
            yield Figure(f"queue with indexes, {moment}", sizes["queue"] / MIB, "MiB", name)
        for table in ("event", "finished", "attempt"):
            yield Figure(f"{table} with indexes, after", sizes[table] / MIB, "MiB", name)

    def _accepting(self, servers: dict[str, list[Server]]) -> Iterator[Figure]:
        loads: dict[str, list[Loaded]] = {name: [] for name in servers}
        watches = {name: _watch(nodes) for name, nodes in servers.items()}
        for turn in range(TURNS):
            for name, nodes in servers.items():
                self._steps.next(f"{name}: durable accepts, {turn + 1} of {TURNS}")
                loads[name].append(self._rig.load(nodes, seconds=self._rig.size.seconds / TURNS))
        for name, done in loads.items():
            rate = statistics.median(each.rate for each in done)
            title = f"{name}: durable accepts"
            yield Figure(title, rate, "events/s", cores=cores(watches[name], done))
            if name != _EMBEDDED:
                pairs = zip(done, loads[_EMBEDDED], strict=True)
                ratio = statistics.median(ours.rate / embedded.rate for ours, embedded in pairs)
                yield Figure("of SQLite in this run", ratio, "ratio", title)

    def _end_to_end(self, servers: dict[str, list[Server]]) -> Iterator[Figure]:
        embedded = 0.0
        for name, nodes in servers.items():
            nodes[0].add_endpoints(self._rig.receiver.port, 1)
            title = f"{name}: end to end"
            self._steps.next(title)
            self._rig.arrived()
            watch = _watch(nodes)
            got = self._rig.load(nodes)
            seen = self._rig.all_arrived(nodes[0], got.count)
            rate = got.count / (seen["last_s"] - got.started_s)
            embedded = embedded or rate
            yield Figure(title, rate, "events/s", cores=cores(watch, [got]))
            if rate != embedded:
                yield Figure("of SQLite in this run", rate / embedded, "ratio", title)
            self._steps.next(f"{title}: latency at half of that rate")
            paced = self._rig.load(nodes, rate=rate / 2)
            yield from latencies(title, self._rig.all_arrived(nodes[0], paced.count))


def _watch(nodes: list[Server]) -> CpuWatch:
    return CpuWatch(**{f"node {number}": node for number, node in enumerate(nodes, 1)})
