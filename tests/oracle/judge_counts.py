"""Invariants of what the servers report, and of the resources they use."""

from collections.abc import Iterator

from ledger import Sample
from ledger_index import Case, Finding

_CAUGHT_UP_S = 60.0  # after the last fault and the last event: a lease runs out, the policy's delays pass
_FELT_S = 10.0  # after a fault, results of attempts may be lost
_OLDEST_DUE_S = 15.0  # of what became due when all was well again
_FILES_MORE, _THREADS_MORE, _RSS_MORE_MB, _LOG_MAX_MB = 20, 8, 120.0, 64.0


def judge(case: Case) -> Iterator[Finding]:
    yield _dead_are_visible(case)
    yield _books(case)
    yield _attempts_counted(case)
    yield _caught_up(case)
    yield _bounded(case)
    yield _stayed(case)
    yield _secrets(case)


def _dead_are_visible(case: Case) -> Finding:
    dead = sum(delivery.state == "dead" for delivery in case.ledger.deliveries)
    wrong = [f"{dead} are dead, {who} says {count}" for who, count in case.ledger.dead_said.items() if count != dead]
    return Finding("every list of dead letters is complete", len(case.ledger.dead_said), wrong)


def _books(case: Case) -> Finding:
    wrong = [f"{sample.node}: {sample.unbalanced}" for sample in case.ledger.samples if sample.unbalanced]
    return Finding("the delivery counts balance at every moment", len(case.ledger.samples), wrong)


def _attempts_counted(case: Case) -> Finding:
    """The metrics count the attempts since the nodes' starts; the oracle knows between which bounds these lie."""
    ledger = case.ledger
    started, ready = ledger.counting_since
    surely = sum(arrival.at > max(ready, ledger.healed_at + _FELT_S) for arrival in ledger.arrivals)
    unseen = sum(max(0, each.attempt_count - len(case.requests_of(each))) for each in ledger.deliveries)
    at_most = sum(arrival.at >= started for arrival in ledger.arrivals) + unseen + ledger.attempts_of_the_worst
    wrong = []
    if not surely <= ledger.attempts_counted <= at_most:
        wrong.append(f"the metrics count {ledger.attempts_counted} attempts, there were {surely} to {at_most}")
    return Finding("the metrics count every attempt once", ledger.attempts_counted, wrong)


def _caught_up(case: Case) -> Finding:
    ledger = case.ledger
    wrong = []
    ready_s = ledger.settled_at - max(ledger.healed_at, ledger.published_until)
    if ready_s > _CAUGHT_UP_S:
        wrong.append(f"it took {ready_s:.0f} s until nothing was pending")
    after = [s for s in ledger.samples if s.oldest_due_s is not None and s.at > ledger.healed_at]
    for sample in after:
        oldest_s = sample.oldest_due_s or 0.0
        if oldest_s > _OLDEST_DUE_S and sample.at - oldest_s > ledger.healed_at:
            wrong.append(f"{sample.node}: the oldest has been due for {oldest_s:.0f} s, all after the last fault")
    return Finding("due deliveries are sent soon after the last fault", len(after), wrong)


def _bounded(case: Case) -> Finding:
    """What a node uses in the end is little more than what it used under load before the first fault."""
    wrong, looked_at = [], 0
    samples = case.ledger.samples
    for node in dict.fromkeys(sample.node for sample in samples):
        before = [s for s in samples if s.node == node and s.quiet and s.at <= _first_fault(case)]
        after = [s for s in samples if s.node == node and s.quiet and s.at >= case.ledger.healed_at]
        looked_at += len(before) + len(after)
        if before and after:
            wrong += [f"{node}: {more}" for more in _grown(before, after[-1])]
        wrong += [f"{node}: a log of {s.log_mb:.0f} MB" for s in samples if s.node == node and s.log_mb > _LOG_MAX_MB]
    return Finding("no node uses ever more memory, files or threads", looked_at, wrong)


def _first_fault(case: Case) -> float:
    return min((fault.begun for fault in case.ledger.faults), default=float("inf"))


def _grown(before: list[Sample], after: Sample) -> Iterator[str]:
    if after.files > max(sample.files for sample in before) + _FILES_MORE:
        yield f"{after.files} open files, {max(sample.files for sample in before)} before"
    if after.threads > max(sample.threads for sample in before) + _THREADS_MORE:
        yield f"{after.threads} threads, {max(sample.threads for sample in before)} before"
    if after.rss_mb > max(sample.rss_mb for sample in before) + _RSS_MORE_MB:
        yield f"{after.rss_mb:.0f} MB, {max(sample.rss_mb for sample in before):.0f} before"


def _stayed(case: Case) -> Finding:
    return Finding("no server ended by itself", len(case.ledger.faults), case.ledger.ended_by_itself)


def _secrets(case: Case) -> Finding:
    return Finding("no secret is shown or logged", len(case.ledger.subscriptions), case.ledger.exposed)
