"""Metrics in OpenMetrics or the text format 0.0.4. They are counted as things happen; a scrape reads no large table.

Endpoints appear only by id: no names, URLs or clients. Change sources appear by their name.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from commerce_event.api.waiting_calls import WaitingCalls
from commerce_event.core import ids
from commerce_event.core.delivery import Decision, Outcome
from commerce_event.core.model import Endpoint
from commerce_event.core.problems import Problem, slug
from commerce_event.deliver.dispatcher import Dispatcher
from commerce_event.loop_monitor import LoopMonitor
from commerce_event.maintenance.runner import Maintenance

_PLAIN: Final = exposition.CONTENT_TYPE_PLAIN_0_0_4
_SOURCES_MAX: Final = 1_000
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class SourceReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the reader of a change source reported about itself; None: it does not know."""

    is_reading: bool
    lag_bytes: int | None
    lag_ms: int | None
    retained_bytes: int | None
    reported_ms: int


class Metrics(Collector):
    """Counts events and attempts of this node, and collects the other metrics."""

    def __init__(
        self, dispatcher: Dispatcher, maintenance: Maintenance, loop_monitor: LoopMonitor, waiting_calls: WaitingCalls
    ) -> None:
        self._maintenance = maintenance
        self._loop_monitor = loop_monitor
        self._registry = CollectorRegistry()
        self.accepted = Counter("commerce_event_accepted_events", "Events made durable", registry=self._registry)
        self.duplicates = Counter(
            "commerce_event_duplicate_events", "Duplicates of a stored event", registry=self._registry
        )
        self._refused = Counter(
            "commerce_event_refused_events", "Events refused", ["type", "reason"], registry=self._registry
        )
        self.dropped_refusals = Counter(
            "commerce_event_dropped_refusals",
            "Refused events that are not kept for people to look at: too many at once",
            registry=self._registry,
        )
        self.warned = Counter(
            "commerce_event_warned_events", "Events accepted although they break the contract", registry=self._registry
        )
        self.unreadable = Counter(
            "commerce_event_unreadable_requests",
            "Requests rejected before they were read: malformed, header block too large, too slow, "
            "too many connections",
            registry=self._registry,
        )
        self.accepted_changes = Counter(
            "commerce_event_accepted_changes", "Data changes made durable", registry=self._registry
        )
        self.duplicate_changes = Counter(
            "commerce_event_duplicate_changes", "Duplicates of a stored data change", registry=self._registry
        )
        self.unmapped_changes = Counter(
            "commerce_event_unmapped_changes", "Data changes that no source maps to an entity", registry=self._registry
        )
        self.raised_notifications = Counter(
            "commerce_event_raised_notifications", "Notifications that data changes raised", registry=self._registry
        )
        self._refused_changes = Counter(
            "commerce_event_refused_changes", "Data changes refused", ["reason"], registry=self._registry
        )
        self._attempts = dict.fromkeys(("delivered", "failed", "dead", "internal"), 0)
        self._sources: dict[str, SourceReport] = {}
        self._durations = [0] * (len(_BUCKETS) + 1)
        self._seconds = 0.0
        Gauge("commerce_event_in_flight", "Deliveries being sent", registry=self._registry).set_function(
            lambda: dispatcher.in_flight
        )
        Gauge("commerce_event_nodes", "Nodes that share the store", registry=self._registry).set_function(
            lambda: dispatcher.nodes
        )
        Gauge("commerce_event_unsettled", "Outcomes not yet recorded", registry=self._registry).set_function(
            lambda: dispatcher.unsettled
        )
        Gauge("commerce_event_waiting_calls", "Calls that wait for an event", registry=self._registry).set_function(
            lambda: waiting_calls.count
        )
        self._registry.register(self)

    def refused(self, type_label: str, problem: Problem) -> None:
        """Count an event that was refused. Both labels have a bounded number of values."""
        self._refused.labels(type_label, slug(problem.title)).inc()

    def refused_change(self, problem: Problem) -> None:
        """Count a data change that was refused."""
        self._refused_changes.labels(slug(problem.title)).inc()

    def attempt(self, _endpoint: Endpoint, outcome: Outcome, decision: Decision) -> None:
        """Count a finished attempt. It runs for every attempt, so it uses plain numbers."""
        name = "failed"
        if outcome.delivered:
            name = "delivered"
        elif outcome.is_internal:
            name = "internal"
        elif decision.state == "dead":
            name = "dead"
        self._attempts[name] += 1
        seconds = outcome.duration_ms / 1000
        self._durations[bisect_left(_BUCKETS, seconds)] += 1
        self._seconds += seconds

    def report_source(self, name: str, report: SourceReport) -> None:
        """Keep the last report of a change source; this node shows those that it received itself."""
        self._sources.pop(name, None)
        self._sources[name] = report
        if len(self._sources) > _SOURCES_MAX:  # sources that were deleted on other nodes are forgotten at last
            del self._sources[next(iter(self._sources))]

    def forget_source(self, name: str) -> None:
        self._sources.pop(name, None)

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """Return the metrics and their media type: OpenMetrics, unless an Accept header prefers ``text/plain``."""
        if _weight(accept, "text/plain") > _weight(accept, "application/openmetrics-text"):
            return exposition.generate_latest(self._registry), _PLAIN
        return bytes(generate_latest(self._registry)), CONTENT_TYPE_LATEST  # type: ignore[no-untyped-call]

    def collect(self) -> Iterable[Metric]:
        """Return the counts as of the last recount, the attempts, and the state of the node."""
        report = self._maintenance.counts.report
        deliveries = GaugeMetricFamily(
            "commerce_event_deliveries",
            "Deliveries by endpoint and state, since the endpoint was created",
            labels=["endpoint", "state"],
        )
        difference = GaugeMetricFamily(
            "commerce_event_books_difference",
            "Matched minus delivered, dead, cancelled and pending; 0 when the delivery counts balance",
        )
        oldest = GaugeMetricFamily(
            "commerce_event_oldest_due_age_seconds", "How long the oldest due delivery has waited", labels=["endpoint"]
        )
        if report is not None:
            for counts in report.counts:
                endpoint = ids.encode("end", counts.endpoint_id)
                for state in ("delivered", "dead", "cancelled", "pending"):
                    deliveries.add_metric([endpoint, state], getattr(counts, state))
                if counts.oldest_due_ms is not None:
                    oldest.add_metric([endpoint], max(0.0, (report.counted_ms - counts.oldest_due_ms) / 1000))
            wrong = sum(abs(counts.difference) for counts in report.counts) + len(report.wrong_events)
            difference.add_metric([], wrong)
        return [
            deliveries,
            difference,
            oldest,
            *self._attempt_metrics(),
            *self._source_metrics(),
            *self._node_metrics(),
        ]

    def _attempt_metrics(self) -> Iterable[Metric]:
        attempts = CounterMetricFamily("commerce_event_attempts", "Attempts by outcome", labels=["outcome"])
        for outcome, count in self._attempts.items():
            attempts.add_metric([outcome], count)
        yield attempts
        bounds = [*map(str, map(float, _BUCKETS)), "+Inf"]
        yield HistogramMetricFamily(
            "commerce_event_attempt_duration_seconds",
            "Time of an attempt",
            buckets=list(zip(bounds, accumulate(self._durations), strict=True)),
            sum_value=self._seconds,
        )

    def _source_metrics(self) -> Iterable[Metric]:
        """Yield how far the readers of change sources are behind."""
        described: tuple[tuple[str, str, Callable[[SourceReport], float | None]], ...] = (
            ("up", "1 while the reader of a change source reads or waits, 0 when it cannot", _is_up),
            ("lag_bytes", "Bytes of the source's log that are not read yet", lambda each: each.lag_bytes),
            ("lag_seconds", "Age of the newest change that was read", _lag_s),
            (
                "retained_bytes",
                "Size of the log that the source keeps for its reader",
                lambda each: each.retained_bytes,
            ),
            ("report_time_seconds", "When the reader reported last, since 1970", lambda each: each.reported_ms / 1000),
        )
        for name, text, value_of in described:
            gauge = GaugeMetricFamily(f"commerce_event_source_{name}", text, labels=["source"])
            for source, report in sorted(self._sources.items()):
                value = value_of(report)
                if value is not None:
                    gauge.add_metric([source], value)
            yield gauge

    def _node_metrics(self) -> Iterable[Metric]:
        """Yield stalls, clock jumps and the state of the disk."""
        yield CounterMetricFamily(
            "commerce_event_loop_stalls", "Times that the event loop was blocked", value=self._loop_monitor.stalls
        )
        yield CounterMetricFamily(
            "commerce_event_clock_jumps",
            "Times that the wall clock was set",
            value=self._maintenance.clock_watcher.jumps,
        )
        info = self._maintenance.store_info
        if info is None:
            return
        yield GaugeMetricFamily("commerce_event_store_size_bytes", "Size of the store", value=info.size_bytes)
        if info.free_bytes is not None:
            yield GaugeMetricFamily("commerce_event_disk_free_bytes", "Free space on its disk", value=info.free_bytes)
        if info.unclean_starts is not None:
            yield CounterMetricFamily(
                "commerce_event_unclean_starts",
                "Starts after a run that had not ended properly",
                value=info.unclean_starts,
            )


def _is_up(report: SourceReport) -> float:
    return float(report.is_reading)


def _lag_s(report: SourceReport) -> float | None:
    return None if report.lag_ms is None else report.lag_ms / 1000


def _weight(accept: str, media_type: str) -> float:
    """Return the weight (RFC 9110) that an Accept header gives a media type, from 0 to 1."""
    kind = media_type.partition("/")[0]
    weights: dict[str, float] = {}
    for choice in accept.lower().split(","):
        name, *parameters = (part.strip() for part in choice.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        weights[name] = max(weight, weights.get(name, 0.0))
    return next((weights[name] for name in (media_type, f"{kind}/*", "*/*") if name in weights), 0.0)
