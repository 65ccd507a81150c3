"""Invariants of requests to receivers: bytes, headers, signature, address."""

from collections.abc import Iterator
from itertools import pairwise

from ledger import Arrival
from ledger_index import OF_THE_CLOCK, Case, Finding

_CHANGED_S = 10.0  # until every node signs with a secret that was just made
_CHANGED_ON_ONE_NODE_S = 2.0
_OLD_S = 5.0  # from the making of a request to its arrival
_OLD_AFTER_A_FAULT_S = 30.0
_CLOCK_READ_S = 12.0  # from setting a clock to the last request that goes by its former time


def judge(case: Case) -> Iterator[Finding]:
    yield _bytes(case)
    yield _signed(case)
    yield _timestamps(case)
    yield _headers(case)
    yield _blocked(case)


def _bytes(case: Case) -> Finding:
    wrong = []
    for arrival in case.ledger.arrivals:
        event = case.ledger.published.get(arrival.number) or case.events.get(arrival.event_id)
        wish = case.ledger.subscriptions.get(arrival.path)
        if event is None:
            continue
        if arrival.digest != (event.digest_of_part if wish is not None and wish.selects else event.digest):
            wrong.append(f"{arrival.event_id} came to {arrival.path} with other bytes than were published")
    return Finding("what arrives is what was published, byte for byte", len(case.ledger.arrivals), wrong)


def _signed(case: Case) -> Finding:
    """With the newest secret, once all nodes had the time to hear of it."""
    wrong = []
    known_s = _CHANGED_ON_ONE_NODE_S if case.ledger.nodes == 1 else _CHANGED_S
    for arrival in case.ledger.arrivals:
        told = case.ledger.rotated_at.get(arrival.path, [])
        needed = sum(at + known_s < arrival.at for at in told)
        if not any(position >= needed for position in arrival.signed_with):
            wrong.append(
                f"{arrival.event_id} at {arrival.path}, signed with {arrival.signed_with or 'nothing that is known'}"
            )
    return Finding("every request is signed with a valid secret", len(case.ledger.arrivals), wrong)


def _timestamps(case: Case) -> Finding:
    wrong = [
        f"{a.event_id} came to {a.path} with a timestamp {a.timestamp_s - a.wall_s:.0f} s off"
        for a in case.ledger.arrivals
        if not _is_recent(case, a)
    ]
    for requests in case.requests.values():
        for earlier, later in pairwise(requests):
            if later.timestamp_s < earlier.timestamp_s and not case.hurt(
                earlier.at - _CLOCK_READ_S, later.at, OF_THE_CLOCK
            ):
                wrong.append(f"{later.event_id} came to {later.path} with an earlier timestamp than before")
    return Finding("the timestamp is the time of the attempt", len(case.ledger.arrivals), wrong)


def _is_recent(case: Case, arrival: Arrival) -> bool:
    off_s = min(abs(arrival.timestamp_s - offset_s - arrival.wall_s) for offset_s in _offsets(case, arrival.at))
    return off_s <= _OLD_S or (
        off_s <= _OLD_AFTER_A_FAULT_S and case.hurt(arrival.at - _OLD_AFTER_A_FAULT_S, arrival.at)
    )


def _offsets(case: Case, at: float) -> set[float]:
    """Return by how much the clocks of nodes differed from the oracle's at that moment, or shortly before it."""
    found = {0.0}  # the database's own, and that of a node whose clock was never set
    found |= {offset_s for set_at, offset_s in case.ledger.offsets_s if set_at <= at}
    return found


def _headers(case: Case) -> Finding:
    sequences = {event.event_id: event.sequence for event in case.ledger.stored}
    wrong = [f"{a.event_id} at {a.path}: {flaw}" for a in case.ledger.arrivals for flaw in a.flaws]
    wrong += [
        f"{a.event_id} came to {a.path} as number {a.sequence} of its client"
        for a in case.ledger.arrivals
        if a.sequence != sequences.get(a.event_id, a.sequence)
    ]
    return Finding("every request has the headers of its endpoint, and no others", len(case.ledger.arrivals), wrong)


def _blocked(case: Case) -> Finding:
    return Finding(
        "nothing is sent to an address that is not allowed", case.ledger.refused_addresses, case.ledger.trapped
    )
