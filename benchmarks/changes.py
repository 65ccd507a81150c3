"""Measure data changes next to events: the accept rate, the cost of settings, and the effect of an import on orders.

Run with `python -m benchmarks.changes [--seconds S] [--changes N]`.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.setting_cost import measure_setting_cost
from commerce_event.bench.harness import Harness, LoadResult
from commerce_event.bench.processes import CpuWatch, Server, run_module, start_module
from commerce_event.bench.report import MIB, Arrivals, Figure, at_least, at_most, machine
from commerce_event.bench.stores import StoreFactory
from commerce_event.cli.bench import print_report, progress_bar

_TURNS: Final = 5
_BATCH: Final = 500
_CONNECTIONS: Final = 4
_SETTING: Final = {"client_id": 1, "event_type": "CustomerChangedNotification", "entity": "tClientCustomer"}


def _post(server: Server, kind: str, seconds: float) -> dict[str, Any]:
    arguments = (server.port, server.key, kind, seconds, _CONNECTIONS, _BATCH)
    found = run_module("benchmarks.batch_load", *arguments, timeout_s=seconds + 120)
    if found["refused"]:
        raise SystemExit(f"{found['refused']} {kind} were refused")
    return found


def compare_accepts(server: Server, port: int, seconds: float) -> Iterator[Figure]:
    """Compare changes that raise nothing with events that have one delivery, in turns, both in batches."""
    server.add_endpoint(port, "/orders", "OrderConfirmedEvent")
    setting = {**_SETTING, "fields": ["FirstName"], "on_insert": False, "on_delete": False}
    server.api.post("/v1/event-settings", json=setting).raise_for_status()
    rates: dict[str, list[float]] = {"events": [], "changes": []}
    cpu_us: dict[str, list[float]] = {"events": [], "changes": []}
    for _ in range(_TURNS):
        for kind, found_rates in rates.items():
            watch = CpuWatch(server=server)
            found = _post(server, kind, seconds / _TURNS)
            found_rates.append(found["accepted"] / found["seconds"])
            while server.pending():
                time.sleep(0.05)
            cpu_us[kind].append(watch.used_s()["server"] / found["accepted"] * 1e6)
    changes, events = (statistics.median(rates[kind]) for kind in ("changes", "events"))
    yield Figure("events with one delivery", events, "events/s")
    yield Figure(
        "server CPU, deliveries included", statistics.median(cpu_us["events"]), "µs/event", "events with one delivery"
    )
    yield Figure("changes that raise nothing", changes, "changes/s", **at_least(5_000, changes))
    yield Figure("server CPU", statistics.median(cpu_us["changes"]), "µs/change", "changes that raise nothing")
    ratio = statistics.median(one / other for one, other in zip(rates["changes"], rates["events"], strict=True))
    yield Figure("of events with one delivery", ratio, "ratio", "changes that raise nothing", **at_least(0.8, ratio))


def import_beside_orders(harness: Harness, server: Server, rate: float, changes: int) -> Iterator[Figure]:
    """Measure the p99 of order events at ``rate``: alone, and while changes are imported that each raise an event."""
    harness.take_figures()

    def latency() -> float:
        load = harness.load([server], rate=rate)
        return float(harness.wait_for_all(load.count, server)["p99_ms"])

    quiet = [latency() for _ in range(3)]
    memory = server.peak_memory_bytes()
    server.api.post("/v1/event-settings", json=_SETTING).raise_for_status()
    imported: list[dict[str, Any]] = []
    stop = threading.Event()

    def run_import() -> None:
        while not stop.is_set() and sum(each["accepted"] for each in imported) < changes:
            imported.append(_post(server, "changes", harness.seconds))

    thread = threading.Thread(target=run_import)
    thread.start()
    busy: list[float] = []
    while thread.is_alive():
        busy.append(latency())
    stop.set()
    thread.join()
    accepted = sum(each["accepted"] for each in imported)
    name = f"import of {accepted:,} changes next to orders"
    p99, quiet_p99 = statistics.median(busy), statistics.median(quiet)
    yield Figure("p99 of orders, quiet", quiet_p99, "ms")
    yield Figure(name, accepted / sum(each["seconds"] for each in imported), "changes/s")
    yield Figure("p99 of orders during the import", p99, "ms", name)
    yield Figure("of the quiet p99", p99 / quiet_p99, "ratio", name, **at_most(2, p99 / quiet_p99))
    ratio = server.peak_memory_bytes() / memory
    yield Figure("peak memory, of the quiet one", ratio, "ratio", name, **at_most(1.3, ratio))
    yield Figure("server peak memory", server.peak_memory_bytes() / MIB, "MiB", name)


def measure(folder: Path, seconds: float, changes: int, arrivals: Arrivals) -> list[Figure]:
    """Run all parts on a SQLite store."""
    stores = StoreFactory(folder, None)
    with start_module("commerce_event.bench.receiver") as receiver:
        harness = Harness(seconds, receiver, arrivals)
        with stores.store() as store, stores.servers(store) as [server]:
            figures = list(compare_accepts(server, receiver.port, seconds))
        with stores.store() as store, stores.servers(store) as [server]:
            harness.take_figures()
            server.add_endpoint(receiver.port, "/orders", "OrderConfirmedEvent")
            load: LoadResult = harness.load([server])
            harness.wait_for_all(load.count, server)
            figures += import_beside_orders(harness, server, load.rate / 4, changes)
    return [*figures, *measure_setting_cost()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--changes", type=int, default=1_000_000)
    options = parser.parse_args()
    arrivals = Arrivals()
    with tempfile.TemporaryDirectory(prefix="commerce-event-bench-") as folder, progress_bar():
        figures = measure(Path(folder), options.seconds, options.changes, arrivals)
    print_report(machine(), arrivals, figures, quick=False, as_json=False)


if __name__ == "__main__":
    main()
