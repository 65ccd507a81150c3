"""All invariants with their violations, and whether enough happened to judge by."""

from collections import Counter

import judge_attempts
import judge_counts
import judge_deliveries
import judge_events
import judge_requests
from ledger import Ledger
from ledger_index import Case, Finding

ENOUGH = "enough happened to judge by"
_THEMES = (judge_events, judge_deliveries, judge_attempts, judge_requests, judge_counts)
_KILLS = frozenset({"kill", "kill-all", "power-cut"})
_KILLS_TO_INTERRUPT = 3  # so many of them must have met a request on its way
_EVENTS_FOR_A_FAULT = 10
# what must have come of deliveries, and how often at least
_OUTCOMES = {
    "delivered at once": 20,
    "delivered after failures": 10,
    "dead after the whole policy": 3,
    "dead because gone": 1,
    "failed without an answer in time": 1,
    "asked to wait": 1,
}
_REPEATS = ("the same", "another body")


def judge(ledger: Ledger) -> list[Finding]:
    """Return every invariant with what breaks it."""
    case = Case(ledger)
    return [*(finding for theme in _THEMES for finding in theme.judge(case)), _enough_happened(case)]


def _enough_happened(case: Case) -> Finding:
    ledger = case.ledger
    wrong = []
    if ledger.acknowledged < _EVENTS_FOR_A_FAULT * max(1, len(ledger.faults)):
        wrong.append(f"only {ledger.acknowledged} events for {len(ledger.faults)} faults")
    if not ledger.faults:
        wrong.append("nothing was done to the server")
    kinds = Counter(fault.kind for fault in ledger.faults)
    wrong += [f"there was no fault of the kind {kind}" for kind in sorted(set(ledger.faults_wanted) - kinds.keys())]
    counts = _outcomes(case)
    wrong += [f"{name}: {counts[name]}" for name, least in _OUTCOMES.items() if counts[name] < least]
    if sum(kinds[kind] for kind in _KILLS) >= _KILLS_TO_INTERRUPT and not counts["interrupted"]:
        wrong.append("no kill interrupted an attempt")
    wrong += [f"no key was used again with {what}" for what in _REPEATS if not ledger.repeats[what]]
    if not (ledger.turned_away and ledger.keys_asked and ledger.refused_addresses):
        wrong.append("nothing had to be refused")
    if not any(event.client_id != 1 for event in ledger.published.values()):
        wrong.append("only one client published")
    if not any(sample.oldest_due_s is not None for sample in ledger.samples):
        wrong.append("no sample was taken")
    return Finding(ENOUGH, ledger.acknowledged, wrong)


def _killed_at(case: Case) -> list[float]:
    return [fault.begun for fault in case.ledger.faults if fault.kind in _KILLS]


def _outcomes(case: Case) -> Counter[str]:
    counts: Counter[str] = Counter()
    for delivery in case.ledger.deliveries:
        attempts = delivery.attempts or []
        failures = sum(attempt.failed for attempt in attempts)
        counts["failed without an answer in time"] += any(attempt.error == "timeout" for attempt in attempts)
        if delivery.state == "delivered" and delivery.attempt_count == 1:
            counts["delivered at once"] += 1
        elif delivery.state == "delivered" and failures:
            counts["delivered after failures"] += 1
        elif delivery.reason == "attempts_exhausted":
            counts["dead after the whole policy"] += 1
        elif delivery.reason == "gone":
            counts["dead because gone"] += 1
    counts["interrupted"] = sum(
        arrival.at < at < arrival.ended for at in _killed_at(case) for arrival in case.ledger.arrivals
    )
    counts["asked to wait"] = sum(arrival.asked_to_wait_s > 0 for arrival in case.ledger.arrivals)
    return counts
