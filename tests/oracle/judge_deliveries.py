"""Invariants of deliveries: one for each endpoint that wants an event, each with the right end."""

from collections.abc import Iterator

from ledger import Delivery
from ledger_index import Case, Finding

_DROPPED_S = 5.0  # after it was cancelled, a delivery is not sent any more, by any node
_SWITCHED_OFF_S = 30.0  # after its first 410 an endpoint gets nothing any more, on any node


def judge(case: Case) -> Iterator[Finding]:
    yield _one_delivery(case)
    yield _arrived(case)
    yield _ended(case)
    yield _dead_for_a_reason(case)
    yield _switched_off(case)
    yield _nowhere_else(case)
    yield _success_was_seen(case)
    yield _replays(case)


def _one_delivery(case: Case) -> Finding:
    due = {(event.event_id, path) for event, path in case.due}
    wrong = []
    for event, path in case.due:
        count = len(case.deliveries.get((event.event_id, path, False), ()))
        gone_at = case.gone_at.get(path)
        may_lack = gone_at is not None and event.acknowledged_at > gone_at
        if count > 1 or (count == 0 and not may_lack):
            wrong.append(f"{event.event_id} has {count} deliveries to {path}")
        elif count and gone_at is not None and event.sent_at > gone_at + _SWITCHED_OFF_S:
            wrong.append(f"{event.event_id} has a delivery to {path}, which was gone for long")
    wrong += [
        f"{each.event_id} has a delivery to {each.path}, which did not want it"
        for each in case.ledger.deliveries
        if not each.replayed and (each.event_id, each.path) not in due
    ]
    return Finding("each matching endpoint has exactly one delivery of an event", len(case.due), wrong)


def _arrived(case: Case) -> Finding:
    wrong = []
    for event, path in case.due:
        taken = any(request.taken for request in case.requests.get((event.event_id, path, False), ()))
        dead = any(each.state == "dead" for each in case.deliveries.get((event.event_id, path, False), ()))
        gone = path in case.gone_at and event.acknowledged_at > case.gone_at[path]
        if not (taken or dead or gone or case.ledger.is_dropped(path)):
            wrong.append(f"{event.event_id} never reached {path}")
    return Finding("every acknowledged event arrived, or is a dead letter", len(case.due), wrong)


def _ended(case: Case) -> Finding:
    wrong = [
        f"{each.id} to {each.path} is {each.state}"
        for each in case.ledger.deliveries
        if each.state not in ({"cancelled"} if case.ledger.is_dropped(each.path) else {"delivered", "dead"})
    ]
    if case.ledger.pending:
        wrong.append(f"{case.ledger.pending} deliveries are still pending")
    return Finding("every delivery ended", len(case.ledger.deliveries), wrong)


def _dead_for_a_reason(case: Case) -> Finding:
    """Dead is a delivery that failed as often as the policy allows, or whose receiver is gone; never by our faults."""
    dead = [each for each in case.ledger.deliveries if each.state == "dead"]
    wrong = [f"{each.id} to {each.path}: {why}" for each in dead if (why := _wrongly_dead(case, each))]
    return Finding("a delivery is dead only if its receiver refused every attempt", len(dead), wrong)


def _wrongly_dead(case: Case, delivery: Delivery) -> str:
    requests = case.requests_of(delivery)
    if any(request.taken and request.attempt == delivery.attempt_count for request in requests):
        return "its last attempt was answered with 2xx"
    if delivery.reason == "gone":
        return "" if delivery.path in case.gone_at else "no receiver answered 410"
    if delivery.reason != "attempts_exhausted":
        return f"dead for the reason {delivery.reason}"
    allowed = len(case.ledger.subscriptions[delivery.path].delays_s) + 1
    refused = sum(not request.taken for request in requests)
    if delivery.attempts is not None:  # requests alone do not tell which of them a kill interrupted
        counted = sum(attempt.failed for attempt in delivery.attempts)
        if counted != allowed:
            return f"dead after {counted} failures, not {allowed}"
    return "" if refused >= allowed else f"dead, and its receiver refused it only {refused} times, not {allowed}"


def _switched_off(case: Case) -> Finding:
    wrong = [
        f"{path} is switched off: {why}"
        for path, why in case.ledger.switched_off.items()
        if why != "gone" or path not in case.gone_at
    ]
    wrong += [
        f"{path} said 410 and is not switched off" for path in case.gone_at.keys() - case.ledger.switched_off.keys()
    ]
    return Finding("only a 410 switches an endpoint off", len(case.ledger.subscriptions), wrong)


def _nowhere_else(case: Case) -> Finding:
    wrong = []
    for arrival in case.ledger.arrivals:
        event = case.ledger.published.get(arrival.number)
        if event is not None and not case.ledger.wants(arrival.path, event.client_id, event.application_id):
            wrong.append(f"{arrival.event_id} reached {arrival.path}")
        gone_at = case.gone_at.get(arrival.path, float("inf"))
        if arrival.at > gone_at + _SWITCHED_OFF_S:
            wrong.append(f"{arrival.event_id} reached {arrival.path}, which was gone for {arrival.at - gone_at:.0f} s")
        if arrival.at > case.ledger.dropped_at.get(arrival.path, float("inf")) + _DROPPED_S:
            wrong.append(f"{arrival.event_id} reached {arrival.path} after it was cancelled, or its endpoint deleted")
    return Finding("no event reached an endpoint that does not match", len(case.ledger.arrivals), wrong)


def _success_was_seen(case: Case) -> Finding:
    said = [each for each in case.ledger.deliveries if each.state == "delivered"]
    wrong = [
        f"{each.event_id} at {each.path}"
        for each in said
        if not any(request.taken and request.attempt == each.attempt_count for request in case.requests_of(each))
    ]
    return Finding("what is recorded as delivered was answered with 2xx", len(said), wrong)


def _replays(case: Case) -> Finding:
    """A replay sends what its own client published until then, once more, to its own endpoint, and nothing else."""
    ledger = case.ledger
    again = [
        event
        for event in ledger.published.values()
        if event.acknowledged_at < ledger.replayed_at
        and ledger.wants(ledger.replayed_path, event.client_id, event.application_id)
    ]
    wrong = []
    for event in again:
        found = case.deliveries.get((event.event_id, ledger.replayed_path, True), [])
        if len(found) != 1:
            wrong.append(f"{event.event_id} was replayed {len(found)} times")
    replayed = {(each.event_id, each.path) for each in ledger.deliveries if each.replayed}
    replayed |= {(each.event_id, each.path) for each in ledger.arrivals if each.replayed}
    wanted = {(event.event_id, ledger.replayed_path) for event in again}
    wrong += [f"{event_id} was replayed to {path}, which was not asked for" for event_id, path in replayed - wanted]
    return Finding("a replay sends its client's events once more, to its endpoint", len(again), wrong)
