"""Compare SQLite, PostgreSQL with one node, and PostgreSQL with two nodes: the same loads, in turns."""

import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from benchmarks.backlog import Size, queue_cost_figures, queue_costs, queue_growth_figures, seed_backlog
from commerce_event.bench.harness import Harness, LoadResult, Steps, cores_used
from commerce_event.bench.processes import CpuWatch, Server, run_module
from commerce_event.bench.report import MIB, Figure, at_most
from commerce_event.bench.scenarios import TURNS, latencies
from commerce_event.bench.stores import StoreFactory

_ONE: Final = "PostgreSQL, 1 node"
_TWO: Final = "PostgreSQL, 2 nodes"
_SQLITE: Final = "SQLite"
_GROWTH_S: Final = 900.0


def steps_of(size: Size) -> int:
    return len(size.backlogs) + 1 + 1 + 3 * TURNS + 2 * 3


class Nodes:
    """PostgreSQL's figures, and their ratio to SQLite's."""

    def __init__(
        self, harness: Harness, sqlite: StoreFactory, postgres: StoreFactory, steps: Steps, size: Size
    ) -> None:
        self._harness = harness
        self._postgres = postgres
        self._steps = steps
        self._size = size
        self._setups = {_SQLITE: (sqlite, 1), _ONE: (postgres, 1), _TWO: (postgres, 2)}

    def measure(self) -> Iterator[Figure]:
        """Measure. Raises BenchError."""
        yield from self._queue()
        yield from self._growth()
        with ExitStack() as stack:
            servers = {
                name: stack.enter_context(stores.servers(stack.enter_context(stores.store()), count))
                for name, (stores, count) in self._setups.items()
            }
            yield from self._accept(servers)
            yield from self._end_to_end(servers)

    def _queue(self) -> Iterator[Figure]:
        with ExitStack() as stack:
            stores = []
            for backlog in self._size.backlogs:
                stores.append(store := stack.enter_context(self._postgres.store()))
                seed_backlog(self._harness, self._postgres, store, backlog, self._steps, self._size)
            self._steps.next("PostgreSQL: claim and settle")
            queues = queue_costs(stores, self._size)
            yield from queue_cost_figures("PostgreSQL queue", queues, self._size)
            yield from queue_growth_figures("PostgreSQL queue", queues)

    def _growth(self) -> Iterator[Figure]:
        passing = self._size.passing
        self._steps.next(f"PostgreSQL: {passing:,} deliveries pass through")
        with self._postgres.store() as store:
            found = run_module(
                "benchmarks.queue_growth", store, passing, timeout_s=_GROWTH_S, on_share=self._steps.share
            )
        name = f"PostgreSQL, {passing:,} deliveries later"
        growth = found["last_us"] / found["first_us"]
        yield Figure(name, growth, "ratio", **at_most(1.3, growth))
        for moment, sizes in found["sizes"].items():
            yield Figure(f"queue with indexes, {moment}", sizes["queue"] / MIB, "MiB", name)
        for table in ("event", "finished", "attempt"):
            yield Figure(f"{table} with indexes, after", found["sizes"]["after"][table] / MIB, "MiB", name)

    def _accept(self, servers: dict[str, list[Server]]) -> Iterator[Figure]:
        loads: dict[str, list[LoadResult]] = {name: [] for name in servers}
        watches = {name: _watch(nodes) for name, nodes in servers.items()}
        for turn in range(TURNS):
            for name, nodes in servers.items():
                self._steps.next(f"{name}: durable accepts, {turn + 1} of {TURNS}")
                loads[name].append(self._harness.load(nodes, seconds=self._size.seconds / TURNS))
        for name, done in loads.items():
            rate = statistics.median(each.rate for each in done)
            title = f"{name}: durable accepts"
            yield Figure(title, rate, "events/s", cores=cores_used(watches[name], done))
            if name != _SQLITE:
                pairs = zip(done, loads[_SQLITE], strict=True)
                ratio = statistics.median(postgres.rate / sqlite.rate for postgres, sqlite in pairs)
                yield Figure("of SQLite in this run", ratio, "ratio", title)

    def _end_to_end(self, servers: dict[str, list[Server]]) -> Iterator[Figure]:
        sqlite_rate = 0.0
        for name, nodes in servers.items():
            nodes[0].add_endpoints(self._harness.receiver.port, 1)
            title = f"{name}: end to end"
            self._steps.next(title)
            self._harness.take_figures()
            watch = _watch(nodes)
            load = self._harness.load(nodes)
            seen = self._harness.wait_for_all(load.count, nodes[0])
            rate = load.count / (seen["last_s"] - load.started_s)
            yield Figure(title, rate, "events/s", cores=cores_used(watch, [load]))
            if name == _SQLITE:
                sqlite_rate = rate
            else:
                yield Figure("of SQLite in this run", rate / sqlite_rate, "ratio", title)
            self._steps.next(f"{title}: latency at half of that rate")
            paced = self._harness.load(nodes, rate=rate / 2)
            yield from latencies(title, self._harness.wait_for_all(paced.count, nodes[0]))


def _watch(nodes: list[Server]) -> CpuWatch:
    return CpuWatch(**{f"node {number}": node for number, node in enumerate(nodes, 1)})
