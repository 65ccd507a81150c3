"""A whole run: the receiver, then every scenario that was asked for."""

from collections.abc import Iterator
from pathlib import Path

from commerce_event.bench import isolation, nodes, scenarios
from commerce_event.bench.harness import Rig, Show, Size, Steps
from commerce_event.bench.processes import printing_its_port
from commerce_event.bench.report import Arrivals, Figure
from commerce_event.bench.stores import Place


def figures_of_run(folder: Path, postgres: str | None, size: Size, show: Show, arrivals: Arrivals) -> Iterator[Figure]:
    """Measure the embedded store, and PostgreSQL beside it when a server is given. Raises BenchError."""
    embedded = Place(folder)
    count = scenarios.steps_of(size) + isolation.steps_of(size) + (nodes.steps_of(size) if postgres else 0)
    steps = Steps(show, count)
    with printing_its_port("receiver") as receiver:
        rig = Rig(size, receiver, arrivals)
        yield from scenarios.Embedded(rig, embedded, steps).run()
        yield from isolation.Neighbours(rig, embedded, steps).run()
        if postgres:
            yield from nodes.Beside(rig, embedded, Place(folder, postgres), steps).run()
