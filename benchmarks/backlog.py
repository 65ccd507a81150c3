"""Measure what a backlog costs: claiming and settling, sending, and memory, with a small backlog and a large one."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Final

import msgspec

from benchmarks.queue_cost import BATCH
from commerce_event.bench.harness import WAIT_S, Harness, Steps
from commerce_event.bench.processes import run_module
from commerce_event.bench.report import Figure, at_most
from commerce_event.bench.scenarios import SEND_STEPS, Scenarios
from commerce_event.bench.stores import StoreFactory

_QUEUES: Final = (("1 endpoint", "one_us"), ("8 endpoints", "several_us"))


class Size(msgspec.Struct, frozen=True):
    """How much a run does."""

    seconds: float  # under load, for each figure
    backlogs: tuple[int, int]
    bulk_backlog: int  # bulk deliveries that wait while order events are published
    sent: int  # deliveries of a backlog that are sent, at most
    batches: int  # of claiming and settling
    passing: int  # deliveries that pass through a store, to see what grows


def steps_of(size: Size) -> int:
    return len(size.backlogs) * (1 + SEND_STEPS) + 1


def measure(harness: Harness, stores: StoreFactory, scenarios: Scenarios, steps: Steps, size: Size) -> Iterator[Figure]:
    """Measure. Raises BenchError."""
    with ExitStack() as stack:
        urls = [stack.enter_context(stores.store()) for _ in size.backlogs]
        endpoints = [
            seed_backlog(harness, stores, url, backlog, steps, size)
            for url, backlog in zip(urls, size.backlogs, strict=True)
        ]
        steps.next("queue: claim and settle")
        queues = queue_costs(urls, size)
        yield from queue_cost_figures("queue", queues, size)
        peaks = []
        for backlog, url, endpoint in zip(size.backlogs, urls, endpoints, strict=True):
            sent = min(backlog, size.sent)
            result = yield from scenarios.send_seeded(
                url,
                endpoint,
                backlog,
                sent,
                memory_after=min(sent, *size.backlogs),  # the same, so that they compare
            )
            peaks.append(result.peak_bytes)
        yield from queue_growth_figures("queue", queues)
        growth = peaks[1] / peaks[0]
        yield Figure("server peak memory, large/small backlog", growth, "ratio", **at_most(1.3, growth))


def seed_backlog(harness: Harness, stores: StoreFactory, store: str, backlog: int, steps: Steps, size: Size) -> str:
    """Write a backlog, and the deliveries that claiming and settling will take from it; return the endpoint's id."""
    steps.next(f"writing a backlog of {backlog:,}")
    claimed = size.batches * BATCH
    return harness.seed(stores, store, (backlog + claimed, backlog // 10 + claimed), steps.share)[0]


def queue_costs(stores: Sequence[str], size: Size) -> list[dict[str, float]]:
    costs: list[dict[str, float]]
    costs = run_module("benchmarks.queue_cost", size.batches, *stores, timeout_s=WAIT_S)["stores"]
    return costs


def queue_cost_figures(name: str, queues: Sequence[dict[str, float]], size: Size) -> Iterator[Figure]:
    for backlog, queue in zip(size.backlogs, queues, strict=True):
        for endpoints, key in _QUEUES:
            yield Figure(f"{name}, {backlog:,} waiting, {endpoints}", queue[key], "µs/delivery")


def queue_growth_figures(name: str, queues: Sequence[dict[str, float]]) -> Iterator[Figure]:
    """Yield how much more a delivery costs with the large backlog."""
    for endpoints, key in _QUEUES:
        growth = queues[1][key] / queues[0][key]
        yield Figure(f"{name}, {endpoints}, large/small backlog", growth, "ratio", **at_most(1.3, growth))
