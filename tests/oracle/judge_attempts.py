"""Invariants of attempts: recorded, bounded, on time, never two at once, repeated only for a reason."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from statistics import median

from ledger import Arrival, Attempt, Delivery
from ledger_index import OF_THE_CLOCK, Case, Finding

_CLOCKS_S = 0.01  # a request is noted after it was sent, and times are kept in milliseconds
_LATE_S = 15.0  # two cores that nodes, database, publishers and receivers share
_LATE_MEDIAN_S = 2.0  # half of the retries that no fault delays
_LATE_AFTER_A_FAULT_S = 30.0  # a lease may have to run out first
_RETRIES_FOR_A_MEDIAN = 20
_OURS_S = 5.0  # after what was not the receiver's fault, doubled with each further one
_RECORDED_S = 1.0  # from an answer to its record
_NEVER_OURS = ("connect_refused", "connect_failed", "dns_failed", "dns_timeout", "dns_not_found", "internal")


def judge(case: Case) -> Iterator[Finding]:
    yield _on_record(case)
    yield _made(case)
    yield _bound(case)
    yield _blame(case)
    yield _never_early(case)
    yield _never_late(case)
    yield _single_flight(case)
    yield _at_once(case)
    yield _in_order(case)
    yield _repeats_are_explained(case)


def _detailed(case: Case) -> Iterator[tuple[Delivery, list[Attempt], dict[int, Arrival]]]:
    """Deliveries whose attempts were asked for, with those and the requests by attempt number."""
    for delivery in case.ledger.deliveries:
        if delivery.attempts is not None:
            requests = {request.attempt: request for request in case.requests_of(delivery)}
            yield delivery, delivery.attempts, requests


def _on_record(case: Case) -> Finding:
    """Every request belongs to one attempt that is on record.

    An attempt sends its request once more when the receiver closed a reused connection without an answer.
    """
    wrong = []
    for pair, requests in case.requests.items():
        counts = Counter(request.attempt for request in requests)
        unanswered = Counter(request.attempt for request in requests if request.status == 0)
        wrong += [
            f"attempt {n} of {pair[0]} to {pair[1]} came {count} times"
            for n, count in counts.items()
            if count > 1 + min(1, unanswered[n])
        ]
        for delivery in case.deliveries.get(pair, ()):
            known = {attempt.number for attempt in delivery.attempts or ()}
            if delivery.attempts is None:
                known = set(range(1, delivery.attempt_count + 1))
            wrong += [
                f"attempt {n} of {delivery.id} to {pair[1]} came and is not on record" for n in counts.keys() - known
            ]
    return Finding("every request is one recorded attempt", len(case.ledger.arrivals), wrong)


def _made(case: Case) -> Finding:
    """Every attempt on record was made, but for those that a fault cut short, and only a fault interrupts."""
    looked_at, wrong = 0, []
    for delivery, attempts, requests in _detailed(case):
        numbers = [attempt.number for attempt in attempts]
        looked_at += len(numbers)
        if numbers != list(range(1, delivery.attempt_count + 1)):
            wrong.append(f"{delivery.id} has {delivery.attempt_count} attempts, on record are {numbers}")
        for attempt in attempts:
            hurt = case.hurt(*_around(case, delivery, attempt, requests))
            if attempt.interrupted and not hurt:
                wrong.append(f"attempt {attempt.number} of {delivery.id} was interrupted, and there was no fault")
            if attempt.number not in requests and not attempt.stale and (attempt.delivered or not hurt):
                wrong.append(f"attempt {attempt.number} of {delivery.id} ({attempt.error}) was never made")
    return Finding("every recorded attempt was made, or interrupted", looked_at, wrong)


def _around(case: Case, delivery: Delivery, attempt: Attempt, requests: dict[int, Arrival]) -> tuple[float, float]:
    """Return the time within which an attempt without a request must have been made."""
    before = [request.ended for number, request in requests.items() if number < attempt.number]
    after = [request.at for number, request in requests.items() if number > attempt.number]
    event = case.events.get(delivery.event_id)
    return max(before, default=0.0 if event is None else event.sent_at), min(after, default=float("inf"))


def _bound(case: Case) -> Finding:
    looked_at, wrong = 0, []
    for delivery, attempts, _ in _detailed(case):
        looked_at += 1
        allowed = len(case.ledger.subscriptions[delivery.path].delays_s) + 1
        failed = sum(attempt.failed for attempt in attempts)
        if failed > allowed - (delivery.state == "delivered"):
            wrong.append(f"{delivery.id} to {delivery.path} failed {failed} times, {allowed} are allowed")
    for (event_id, path, _), requests in case.requests.items():
        wish = case.ledger.subscriptions.get(path)
        allowed = (0 if wish is None else len(wish.delays_s)) + 1 + len(case.ledger.faults)
        numbers = {request.attempt for request in requests}  # one attempt may have sent its request twice
        if len(numbers) > allowed:
            wrong.append(f"{event_id} came to {path} in {len(numbers)} attempts")
    return Finding("no more attempts than the schedule has", looked_at + len(case.requests), wrong)


def _blame(case: Case) -> Finding:
    """A failure that counts is one that the receiver caused."""
    looked_at, wrong = 0, []
    for delivery, attempts, requests in _detailed(case):
        for attempt in attempts:
            if not attempt.failed:
                continue
            looked_at += 1
            if why := _wrongly_blamed(case, delivery, attempt, requests.get(attempt.number)):
                wrong.append(f"attempt {attempt.number} of {delivery.id} to {delivery.path}: {why}")
    return Finding("only failures of the receiver count", looked_at, wrong)


def _wrongly_blamed(case: Case, delivery: Delivery, attempt: Attempt, request: Arrival | None) -> str:
    if attempt.error in _NEVER_OURS:
        return f"{attempt.error}, and the receiver was there"
    if request is None:
        return ""  # another judge asks whether it was made
    if attempt.status is not None:
        return "" if attempt.status == request.status else f"status {attempt.status}, answered was {request.status}"
    if not request.status:
        return ""
    timeout_s = case.ledger.subscriptions[delivery.path].timeout_s
    if request.ended - request.at > timeout_s / 2 or case.hurt(request.at - timeout_s, request.ended + timeout_s):
        return ""  # the answer came late, or could not be read in time
    return f"{attempt.error}, answered was {request.status}"


def _gaps(case: Case) -> Iterator[tuple[Arrival, Arrival, float]]:
    """A failed request, the next of its delivery, and what the policy says about the time between."""
    for delivery, attempts, requests in _detailed(case):
        delays_s = case.ledger.subscriptions[delivery.path].delays_s
        failures = 0
        for attempt in attempts:
            failures += attempt.failed
            earlier, later = requests.get(attempt.number), requests.get(attempt.number + 1)
            if earlier is None or later is None or attempt.delivered:
                continue
            if attempt.stale:
                yield earlier, later, _OURS_S * 2 ** (attempt.number - failures - 1)
            elif attempt.interrupted:
                yield earlier, later, 0.0
            elif failures <= len(delays_s):
                yield earlier, later, max(delays_s[failures - 1], earlier.asked_to_wait_s)


def _never_early(case: Case) -> Finding:
    looked_at, wrong = 0, []
    for earlier, later, wait_s in _gaps(case):
        looked_at += 1
        gap_s = later.at - earlier.answered
        if gap_s < wait_s - _CLOCKS_S:
            wrong.append(f"{later.event_id} came to {later.path} again after {gap_s:.3f} s, not {wait_s} s")
    return Finding("no retry is early", looked_at, wrong)


def _never_late(case: Case) -> Finding:
    looked_at, wrong, delays_s = 0, [], []
    for earlier, later, wait_s in _gaps(case):
        looked_at += 1
        if not case.hurt(earlier.at, later.at):
            delays_s.append(later.at - earlier.ended - wait_s)
        late_s = _late_s(case, earlier.ended, earlier.ended + wait_s, later.at)
        if late_s > 0:
            wrong.append(f"{later.event_id} came to {later.path} again {late_s:.1f} s later than it may")
    if len(delays_s) >= _RETRIES_FOR_A_MEDIAN and median(delays_s) > _LATE_MEDIAN_S:
        wrong.append(f"half of the retries come {median(delays_s):.1f} s after their time, or later")
    for (event_id, path, replayed), requests in case.requests.items():
        event = case.events.get(event_id)
        if event is not None and not replayed:
            looked_at += 1
            late_s = _late_s(case, event.sent_at, event.acknowledged_at, requests[0].at)
            if late_s > 0:
                wrong.append(f"{event_id} came to {path} for the first time {late_s:.1f} s later than it may")
    return Finding("no attempt is much too late", looked_at, wrong)


def _late_s(case: Case, since: float, due: float, at: float) -> float:
    """Return by how much it is later than may be: due, or healed, and some time for a busy machine."""
    if at <= due + _LATE_S:
        return 0.0
    healed = case.healed(since, at)
    return at - due - _LATE_S if healed is None else at - max(due, healed) - _LATE_AFTER_A_FAULT_S


def _single_flight(case: Case) -> Finding:
    looked_at, wrong = 0, []
    for delivery, attempts, requests in _detailed(case):
        for earlier, later in pairwise(attempts):
            looked_at += 1
            if earlier.interrupted:
                continue  # its node was dead or out of reach, so that it may have gone on
            first, second = requests.get(earlier.number), requests.get(later.number)
            if first is not None and second is not None and second.at < first.answered - _CLOCKS_S:
                wrong.append(f"{delivery.event_id} came to {delivery.path} twice at once")
            ended_s = earlier.started_s + earlier.duration_s
            if later.started_s < ended_s - _CLOCKS_S and not _clock_was_set(case, delivery, later, requests):
                wrong.append(f"attempts {earlier.number} and {later.number} of {delivery.id} overlap on record")
    for (event_id, path, _), arrivals in case.requests.items():
        for one, other in pairwise(sorted(arrivals, key=lambda request: request.at)):
            looked_at += 1
            if other.at < one.answered - _CLOCKS_S and not case.hurt(one.at, other.at):
                wrong.append(f"{event_id} came to {path} twice at once, and there was no fault")
    return Finding("no two attempts of a delivery at the same time", looked_at, wrong)


def _at_once(case: Case) -> Finding:
    """Count the requests under way at an endpoint: as many as its max_in_flight, or one of each node."""
    looked_at, wrong = 0, []
    for path, wish in case.ledger.subscriptions.items():
        arrivals = sorted((a for a in case.ledger.arrivals if a.path == path), key=lambda request: request.at)
        allowed = max(wish.max_in_flight, case.ledger.nodes)
        for earlier, later in zip(arrivals, arrivals[allowed:], strict=False):
            looked_at += 1
            if later.at >= earlier.answered - _CLOCKS_S or case.hurt(earlier.at, later.at):
                continue
            under_way = [a for a in arrivals if a is not later and a.at <= later.at < a.answered - _CLOCKS_S]
            if len(under_way) >= allowed:
                wrong.append(f"{path} got {len(under_way) + 1} requests at once, {allowed} are allowed")
    return Finding("no endpoint gets more requests at the same time than it allows", looked_at, wrong)


def _in_order(case: Case) -> Finding:
    """Where an endpoint is ordered by key, events of a key are taken in the order of their sequence."""
    looked_at, wrong = 0, []
    newest: dict[tuple[str, int, int], Arrival] = {}
    for arrival in sorted(case.ledger.arrivals, key=lambda request: request.at):
        wish, event = case.ledger.subscriptions.get(arrival.path), case.events.get(arrival.event_id)
        if wish is None or event is None or not wish.ordered or not arrival.taken or arrival.replayed:
            continue
        looked_at += 1
        before = newest.setdefault((arrival.path, event.client_id, event.order), arrival)
        if arrival.sequence >= before.sequence:
            newest[arrival.path, event.client_id, event.order] = arrival
        elif not case.hurt(before.at, arrival.at):
            wrong.append(f"{arrival.event_id} came to {arrival.path} after {before.event_id} of the same order")
    return Finding("events of one business key arrive in order", looked_at, wrong)


def _clock_was_set(case: Case, delivery: Delivery, later: Attempt, requests: dict[int, Arrival]) -> bool:
    since, _ = _around(case, delivery, later, requests)
    request = requests.get(later.number)
    return case.hurt(since - 10.0, float("inf") if request is None else request.at, OF_THE_CLOCK)


def _repeats_are_explained(case: Case) -> Finding:
    """A success is repeated only where the server could not know of it, for which a fault must be the cause."""
    looked_at, wrong = 0, []
    for delivery in case.ledger.deliveries:
        known = {attempt.number: attempt for attempt in delivery.attempts or ()}
        for first, second in pairwise(request for request in case.requests_of(delivery) if request.taken):
            looked_at += 1
            attempt = known.get(first.attempt)
            if attempt is not None and attempt.delivered:
                wrong.append(
                    f"{first.event_id} came to {first.path} again after attempt {first.attempt}, a success on record"
                )
            elif (attempt is None or attempt.interrupted) and not case.hurt(first.at, first.ended + _RECORDED_S):
                wrong.append(
                    f"{first.event_id} came to {first.path} again after {second.at - first.at:.1f} s, without a fault"
                )
    return Finding("repeats only where a fault explains them", looked_at, wrong)
