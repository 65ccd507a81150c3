"""The judge: invariants of every simulated run, checked on its record and on the final store."""

from collections import defaultdict
from itertools import pairwise

from lateness import Lateness
from record import Act, Arrival, Form, Kept, Published, Record

from commerce_event.core.model import Attempt, Endpoint
from commerce_event.core.retry import DEFAULT_SCHEDULE_S
from commerce_event.store.model import INTERRUPTED

_REASONS: dict[str, set[str | None]] = {
    "pending": set(),
    "delivered": {None},
    "dead": {"attempts_exhausted", "gone"},
    "cancelled": {"cancelled_by_user", "endpoint_deleted"},
}
_SAYS_NOTHING = {INTERRUPTED, "no_sockets"}  # errors that are no fault of the receiver
_EARLY_S = 0.002  # the node counts in milliseconds


class Judge:
    """Looks at one record; ``violations`` are plain sentences, none when all is well."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._sent: dict[int, list[Arrival]] = defaultdict(list)
        for arrival in record.arrivals:
            self._sent[arrival.delivery_id].append(arrival)
        self._acts: dict[int, list[Act]] = defaultdict(list)
        for act in record.acts:
            self._acts[act.endpoint_id].append(act)
        self._late = Lateness(record)
        self.violations: list[str] = []

    def judge(self) -> list[str]:
        record = self._record
        self.violations += [f"the node complained: {complaint}" for complaint in record.complaints]
        if not record.balanced:
            self._violation("the delivery counts do not balance")
        if record.left_over:
            self._violation(f"after everything was done there are {record.left_over}")
        self._everything_arrived()
        known = {kept.delivery.id for kept in record.kept}
        for stranger in self._sent.keys() - known:
            self._violation(f"delivery {stranger} was sent and the store does not know it")
        for kept in record.kept:
            self._delivery(kept)
        self._health()
        return self.violations

    def _violation(self, sentence: str) -> None:
        self.violations.append(sentence)

    # -- endpoints

    def _health(self) -> None:
        """The health of each endpoint is that of its recorded attempts, of which those at once have no order."""
        attempts: dict[int, list[Attempt]] = defaultdict(list)
        for kept in self._record.kept:
            ended = [each for each in kept.attempts if each.error not in _SAYS_NOTHING]
            if ended:
                attempts[kept.delivery.endpoint_id] += ended
        if attempts.keys() != self._record.health.keys():
            self._violation(f"{sorted(self._record.health)} have a health, attempts have {sorted(attempts)}")
        for endpoint_id, health in self._record.health.items():
            good = [each for each in attempts[endpoint_id] if each.status is not None and 200 <= each.status <= 299]
            bad = [each for each in attempts[endpoint_id] if each not in good]
            successes: set[int | None] = {each.ended_ms for each in good}
            failures: set[int | None] = {each.ended_ms for each in bad}
            is_right = (
                health.last_success_ms in (successes or {None})
                and health.last_failure_ms in (failures or {None})
                and (health.failures == len(bad) if not good else health.failures <= len(bad))
                and health.failing_since_ms in ({each.started_ms for each in bad} if health.failures else {None})
            )
            if not is_right:
                self._violation(f"{health} is not the health of {len(good)} successes and {len(bad)} failures")

    # -- events

    def _everything_arrived(self) -> None:
        by_event: dict[int, list[Kept]] = defaultdict(list)
        for kept in self._record.kept:
            by_event[kept.delivery.event_id].append(kept)
        for event in self._record.published:
            if event.event_id is None:
                self._violation(f"event {event.key} was never accepted, though all was well in the end")
            else:
                self._event(event, by_event.pop(event.event_id, []))
        for event_id in by_event:
            self._violation(f"event {event_id} has deliveries and no producer knows it")

    def _event(self, event: Published, found: list[Kept]) -> None:
        first = [kept.delivery for kept in found if not kept.replayed]
        endpoints = [delivery.endpoint_id for delivery in first]
        if len(set(endpoints)) != len(endpoints):
            self._violation(f"event {event.event_id} has two deliveries to one endpoint: {endpoints}")
        if event.deliveries != len(first):
            self._violation(f"event {event.event_id} was accepted for {event.deliveries} endpoints, not {len(first)}")
        self._routed(event, endpoints)
        for kept in found:
            self._carried(event, kept)

    def _routed(self, event: Published, endpoints: list[int]) -> None:
        for endpoint_id, forms in self._record.forms.items():
            wanted = [_wants(form.endpoint, event) for form in forms if _overlaps(form, event)]
            if all(wanted) and wanted and endpoint_id not in endpoints:
                self._violation(f"event {event.event_id} has no delivery to endpoint {endpoint_id}, which wants it")
            if not any(wanted) and endpoint_id in endpoints:
                self._violation(
                    f"event {event.event_id} has a delivery to endpoint {endpoint_id}, which does not want it"
                )

    def _carried(self, event: Published, kept: Kept) -> None:
        endpoint_id = kept.delivery.endpoint_id
        if kept.replayed and not any(act.kind == "replay all" for act in self._acts[endpoint_id]):
            self._violation(f"delivery {kept.delivery.id} is a replay that was not asked for")
        for arrival in self._sent[kept.delivery.id]:
            if arrival.body != event.body or arrival.client_id != event.client_id:
                self._violation(f"delivery {kept.delivery.id} did not carry event {event.event_id} as it was published")
            if arrival.endpoint.id != kept.delivery.endpoint_id or arrival.endpoint.client_id != event.client_id:
                self._violation(f"delivery {kept.delivery.id} went to endpoint {arrival.endpoint.id}, a wrong one")

    # -- deliveries

    def _delivery(self, kept: Kept) -> None:
        delivery, sent = kept.delivery, self._sent[kept.delivery.id]
        if delivery.reason not in _REASONS[delivery.state]:
            self._violation(f"delivery {delivery.id} ended {delivery.state} for {delivery.reason}")
        for earlier, later in pairwise(sent):
            if later.begin_s < earlier.end_s:
                self._violation(f"delivery {delivery.id} was sent twice at once, at {later.begin_s:.3f} s")
        for arrival in sent:
            if self._was_not_sending(arrival):
                self._violation(f"delivery {delivery.id} was sent at {arrival.begin_s:.3f} s, to a paused endpoint")
        self._end(kept)
        rows = {row.number: row for row in kept.attempts}
        self._rows_fit(kept, rows)
        self._schedule(kept, rows)
        self._duplicates(kept, rows)

    def _was_not_sending(self, arrival: Arrival) -> bool:
        """Whether the endpoint was certainly off or paused when the request began."""
        forms = self._record.forms[arrival.endpoint.id]
        known = [form for form in forms if form.begin_s <= arrival.begin_s <= form.end_s]
        return bool(known) and not any(form.endpoint.is_sending for form in known)

    def _end(self, kept: Kept) -> None:
        delivery, sent = kept.delivery, self._sent[kept.delivery.id]
        acts = self._acts[delivery.endpoint_id]
        if delivery.state == "delivered" and not any(a.took and a.status == 200 for a in sent):
            self._violation(f"delivery {delivery.id} is delivered, and no receiver took it")
        gone = any(a.status == 410 for a in self._record.arrivals if a.endpoint.id == delivery.endpoint_id)
        if delivery.reason == "gone" and not gone:
            self._violation(f"delivery {delivery.id} is dead as gone, and no receiver said so")
        if delivery.reason == "endpoint_deleted" and not any(act.kind == "delete" for act in acts):
            self._violation(f"delivery {delivery.id} is cancelled with its endpoint, which was not deleted")
        cancelled = any(act.kind == "cancel" and act.delivery_id == delivery.id for act in acts)
        if delivery.reason == "cancelled_by_user" and not cancelled:
            self._violation(f"delivery {delivery.id} is cancelled, and no operator did that")

    def _rows_fit(self, kept: Kept, rows: dict[int, Attempt]) -> None:
        delivery = kept.delivery
        numbers = [arrival.number for arrival in self._sent[delivery.id]]
        if len(set(numbers)) != len(numbers):
            self._violation(f"delivery {delivery.id} was sent twice under one number: {numbers}")
        for arrival in self._sent[delivery.id]:
            row = rows.get(arrival.number)
            if row is None:
                self._violation(f"delivery {delivery.id}: attempt {arrival.number} was made and is not on record")
            elif row.error != "interrupted" and (row.status != arrival.status or arrival.cut):
                self._violation(f"delivery {delivery.id}: attempt {arrival.number} is on record as {row.status}")
        for row in rows.values():
            if row.number not in numbers and row.error != "interrupted":
                self._violation(f"delivery {delivery.id}: attempt {row.number} is on record and was never made")

    def _duplicates(self, kept: Kept, rows: dict[int, Attempt]) -> None:
        took = [arrival for arrival in self._sent[kept.delivery.id] if arrival.took]
        for arrival in took[:-1]:
            row = rows.get(arrival.number)
            if row is not None and row.status is not None:
                self._violation(f"delivery {kept.delivery.id} was sent again after its success was on record")

    def _schedule(self, kept: Kept, rows: dict[int, Attempt]) -> None:
        """Walk through the attempts of a delivery: none beyond its schedule, none early, none late."""
        delivery, failures = kept.delivery, 0
        sent = self._sent[delivery.id]
        if sent and delivery.order_key is None and delivery.replay_id is None:
            self._on_time(kept, self._accepted_s(delivery.event_id), sent[0], 0.0)
        for earlier, later in pairwise(sent):
            row = rows.get(earlier.number)
            if self._was_restarted(kept, earlier, later):
                failures = 0
                continue
            if row is None or row.error == "interrupted" or earlier.cut:
                continue
            if earlier.is_internal:
                wait_s = 5.0
            else:
                failures += 1
                schedule_s = _schedule_of(earlier.endpoint)
                if failures > len(schedule_s):
                    self._violation(f"delivery {delivery.id} was tried after {failures} failures, one too many")
                    continue
                wait_s = max(schedule_s[failures - 1], earlier.pause_s)
            if later.begin_s < earlier.end_s + wait_s - _EARLY_S:
                gap_s = later.begin_s - earlier.end_s
                self._violation(
                    f"delivery {delivery.id}: attempt {later.number} came {gap_s:.3f} s after, not {wait_s} s"
                )
            if not earlier.is_internal:
                self._on_time(kept, earlier.end_s, later, wait_s * (1 + earlier.endpoint.jitter))
        if delivery.reason == "attempts_exhausted" and not self._exhausted(kept, rows):
            self._violation(f"delivery {delivery.id} is dead before its schedule ended")

    def _on_time(self, kept: Kept, from_s: float, later: Arrival, wait_s: float) -> None:
        idle_s = self._late.idle(kept.delivery.endpoint_id, from_s + wait_s, later.begin_s)
        if idle_s > 0:
            self._violation(
                f"delivery {kept.delivery.id}: attempt {later.number} was due at {from_s + wait_s:.3f} s, began at "
                f"{later.begin_s:.3f} s, and its endpoint {kept.delivery.endpoint_id} was idle for {idle_s:.1f} s"
            )

    def _was_restarted(self, kept: Kept, earlier: Arrival, later: Arrival) -> bool:
        """Whether a person may have had the delivery tried between two attempts."""
        for act in self._acts[kept.delivery.endpoint_id]:
            if act.begin_s > later.begin_s or act.done is False:
                continue
            if act.kind == "retry" and act.delivery_id == kept.delivery.id and act.end_s >= earlier.begin_s:
                return True
            if act.kind == "replay failed" and kept.delivery.replay_id is not None:
                return True
        return False

    def _exhausted(self, kept: Kept, rows: dict[int, Attempt]) -> bool:
        """Whether the last failures on record were as many as the schedule allows."""
        sent = [a for a in self._sent[kept.delivery.id] if not a.is_internal]
        failed = [a for a in sent if (row := rows.get(a.number)) is not None and row.error != "interrupted"]
        return bool(failed) and len(failed) > len(_schedule_of(failed[-1].endpoint))

    def _accepted_s(self, event_id: int) -> float:
        return next((event.end_s for event in self._record.published if event.event_id == event_id), 0.0)


def _schedule_of(endpoint: Endpoint) -> tuple[float, ...]:
    return DEFAULT_SCHEDULE_S if endpoint.retry_schedule_s is None else endpoint.retry_schedule_s


def _overlaps(form: Form, event: Published) -> bool:
    return form.begin_s <= event.end_s and event.begin_s <= form.end_s


def _wants(endpoint: Endpoint, event: Published) -> bool:
    """The documented rules of matching, as far as the runs use them."""
    return (
        endpoint.client_id == event.client_id
        and endpoint.enabled
        and endpoint.deleted_ms is None
        and any(entry in {"*", event.category, event.type} for entry in endpoint.event_types)
        and not any(entry in {event.category, event.type} for entry in endpoint.except_types)
        and (endpoint.filter is None or event.order_id < 40)
    )
