"""Invariants of accepting: acknowledged events are stored once, byte for byte; refused ones are not."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from ledger import FIRST_REFUSED
from ledger_index import Case, Finding


def judge(case: Case) -> Iterator[Finding]:
    yield _stored(case)
    yield _same_id(case)
    yield _sequences(case)
    yield _keys_are_used_once(case)
    yield _refused_is_absent(case)
    yield _keys(case)
    yield _documented(case)


def _stored(case: Case) -> Finding:
    digests = {event.event_id: event.digest for event in case.ledger.stored}
    wrong = []
    for event in case.ledger.published.values():
        if event.event_id not in digests:
            wrong.append(f"{event.event_id} was acknowledged and is not there")
        elif digests[event.event_id] != event.digest:
            wrong.append(f"{event.event_id} is there with other bytes than were published")
    return Finding("every acknowledged event is stored, byte for byte", case.ledger.acknowledged, wrong)


def _same_id(case: Case) -> Finding:
    ledger = case.ledger
    wrong = [
        f"number {a.number} came as {a.event_id}, acknowledged as {ledger.published[a.number].event_id}"
        for a in ledger.arrivals
        if a.number in ledger.published and ledger.published[a.number].event_id != a.event_id
    ]
    ids = Counter(event.event_id for event in ledger.published.values())
    wrong += [f"{event_id} stands for {count} events" for event_id, count in ids.items() if count > 1]
    return Finding("an event keeps its id", len(ledger.arrivals), wrong)


def _sequences(case: Case) -> Finding:
    found: dict[int, list[int]] = defaultdict(list)
    for event in case.ledger.stored:
        found[event.client_id].append(event.sequence)
    wrong = [
        f"the sequence of client {client} has a gap, or goes back"
        for client, sequence in found.items()
        if sequence != list(range(1, len(sequence) + 1))
    ]
    return Finding("a client's sequence has no gap", len(case.ledger.stored), wrong)


def _keys_are_used_once(case: Case) -> Finding:
    numbers = Counter(event.number for event in case.ledger.stored)
    wrong = [f"number {number} was stored {count} times" for number, count in numbers.items() if count > 1]
    return Finding(
        "an idempotency key means one event of its client",
        case.ledger.repeats.total(),
        wrong + case.ledger.wrong_repeats,
    )


def _refused_is_absent(case: Case) -> Finding:
    ledger = case.ledger
    wrong = [
        f"number {event.number} is stored as {event.event_id}"
        for event in ledger.stored
        if _strange(case, event.number)
    ]
    wrong += [
        f"{a.event_id} came to {a.path} with number {a.number}" for a in ledger.arrivals if _strange(case, a.number)
    ]
    return Finding(
        "nothing is stored or sent that was not acknowledged", ledger.turned_away, wrong + ledger.not_turned_away
    )


def _strange(case: Case, number: int) -> bool:
    return number >= FIRST_REFUSED or number not in case.ledger.published


def _keys(case: Case) -> Finding:
    return Finding(
        "an API key gives access to its clients, and to nothing once revoked",
        case.ledger.keys_asked,
        case.ledger.keys_honoured,
    )


def _documented(case: Case) -> Finding:
    return Finding("every answer is a documented one", case.ledger.acknowledged, case.ledger.wrong_answers)
