"""What a trial found, and the goals that it is held to."""

import math
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from benchmarks.isolation.probe import Sample, Samples

PUBLISH_P99_MS: Final = 250.0
DELIVERY_P99_MS: Final = 1_000.0
MEMORY_MB: Final = 600
STOP_S: Final = 10.0

_GOOD: Final = frozenset({"200", "201", "202", "delivered"})


class Phase(msgspec.Struct, frozen=True):
    """What tenant B saw in one phase; None where there was nothing to measure."""

    published: int
    refused: int  # publishes and other calls that got anything but success, or no answer in time
    undelivered: int
    publish_p50_ms: float | None
    publish_p99_ms: float | None
    delivery_p50_ms: float | None
    delivery_p99_ms: float | None
    other_p99_ms: float | None  # of reads, and of the making of an endpoint


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one scenario."""

    scenario: str
    error: str | None = None  # why the scenario did not run to its end
    skipped: str | None = None  # why it cannot run on this machine
    note: str | None = None
    before: Phase | None = None
    during: Phase | None = None
    after: Phase | None = None
    memory_mb: int | None = None
    stop_s: float | None = None  # None: killed
    exit_code: int | None = None
    caller: dict[str, int] = {}  # what the caller got, by status or fault
    receiver_connections: int = 0
    refusals: dict[str, int] = {}  # what B got instead of success
    setup_s: float = 0.0
    total_s: float = 0.0

    @property
    def missed(self) -> list[str]:
        """The goals that are missed."""
        if self.skipped is not None:
            return []
        phases = [phase for phase in (self.during, self.after) if phase is not None]
        if self.error is not None or not phases:
            return ["completed"]
        goals = {
            "refused": all(phase.refused == 0 for phase in phases),
            "publish": all(_within(phase.publish_p99_ms, PUBLISH_P99_MS) for phase in phases),
            "delivery": all(_within(phase.delivery_p99_ms, DELIVERY_P99_MS) for phase in phases),
            "memory": _within(self.memory_mb, MEMORY_MB),
            "stop": _within(self.stop_s, STOP_S),
        }
        return [name for name, met in goals.items() if not met]


def phase_of(samples: Samples, start_s: float, end_s: float) -> Phase:
    """Return what B saw of what it began between two moments."""

    def part(all_of_them: Iterable[Sample]) -> list[Sample]:
        return [sample for sample in all_of_them if start_s <= sample.at_s < end_s]

    publishes, others, deliveries = part(samples.publishes), part(samples.others), part(samples.deliveries)
    return Phase(
        published=len(publishes),
        refused=len(refusals([*publishes, *others])),
        undelivered=len(refusals(deliveries)),
        publish_p50_ms=_percentile_ms(publishes, 0.50),
        publish_p99_ms=_percentile_ms(publishes, 0.99),
        delivery_p50_ms=_percentile_ms(deliveries, 0.50),
        delivery_p99_ms=_percentile_ms(deliveries, 0.99),
        other_p99_ms=_percentile_ms(others, 0.99),
    )


def refusals(samples: Iterable[Sample]) -> list[str]:
    """Return what B got where it did not get success."""
    return [sample.outcome for sample in samples if sample.outcome not in _GOOD]


def _percentile_ms(samples: Sequence[Sample], share: float) -> float | None:
    """Return the nearest-rank percentile: with fewer than 100 samples, p99 is the slowest."""
    if not samples:
        return None
    ordered = sorted(sample.took_s for sample in samples)
    return round(ordered[math.ceil(len(ordered) * share) - 1] * 1000, 1)


def _within(figure: float | None, limit: float) -> bool:
    return figure is not None and figure <= limit
