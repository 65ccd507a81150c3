"""A ledger without violations, for tests to change: three faults, and everything that they explain."""

from ledger import Arrival, Attempt, Delivery, Fault, Ledger, Published, Sample, Stored, Subscription

EVENTS = 120
DELAYS_S = (0.1, 0.4)
WALL_S = 1_700_000_000.0  # what the wall clock showed at second 0
KILLED = (31.5, 61.5, 91.5)
_GONE_FROM = 100  # numbers
_PATHS = {
    "/a": Subscription("/a", delays_s=DELAYS_S),
    "/first": Subscription("/first", application_id=1, delays_s=DELAYS_S, ordered=True),
    "/second": Subscription("/second", application_id=2, delays_s=DELAYS_S, max_in_flight=1),
    "/dropped": Subscription("/dropped", application_id=2, delays_s=(3600.0,), dropped=True),
    "/gone": Subscription("/gone", application_id=3, delays_s=DELAYS_S),
    "/theirs": Subscription("/theirs", client_id=2, delays_s=DELAYS_S, selects=True),
    "/no": Subscription("/no", wants_nothing=True),
}


def clean() -> Ledger:
    """Return the record. Event N is published in second N; /a fails now and then, and never takes every fortieth."""
    ledger = Ledger(
        subscriptions=dict(_PATHS),
        faults=[Fault("kill", at, at + 1.0) for at in KILLED],
        faults_wanted=("kill",),
        turned_away=3,
        keys_asked=3,
        refused_addresses=3,
        replayed_at=EVENTS + 10.0,
        replayed_path="/theirs",
        switched_off={"/gone": "gone"},
        settled_at=EVENTS + 5.0,
        dropped_at={"/dropped": EVENTS + 6.0},
        counting_since=(KILLED[-1], KILLED[-1] + 1.0),
    )
    ledger.repeats.update({"the same": 3, "another body": 3})
    for number in range(1, EVENTS + 1):
        event = Published(
            number,
            2 if number % 5 == 0 else 1,
            number % 3 + 1,
            f"digest {number}",
            number,
            number + 0.1,
            f"evt_{number}",
            order=number // 40,
            digest_of_part=f"digest {number} of a part",
        )
        ledger.published[number] = event
        position = sum(each.client_id == event.client_id for each in ledger.stored) + 1
        ledger.stored.append(Stored(event.event_id, event.client_id, position, number, event.digest))
        for path in _PATHS:
            if ledger.wants(path, event.client_id, event.application_id) and not (
                path == "/gone" and number > _GONE_FROM + 1
            ):
                deliver(ledger, event, path, statuses(path, number), started=number + 0.2)
        if event.client_id == 2:
            deliver(ledger, event, "/theirs", [200], started=EVENTS + 11.0, replayed=True)
    sequences = {each.event_id: each.sequence for each in ledger.stored}
    for arrival in ledger.arrivals:
        arrival.sequence = sequences[arrival.event_id]
    ledger.attempts_counted = sum(arrival.at > KILLED[-1] + 1.0 for arrival in ledger.arrivals)
    dead = sum(each.state == "dead" for each in ledger.deliveries)
    ledger.dead_said = {"the list": dead, "/metrics": dead}
    ledger.samples = [
        Sample(20.0, "only", 80.0, 50, 8, 4.0, 0.5, quiet=True),
        Sample(EVENTS + 60.0, "only", 90.0, 45, 8, 4.0, 0.0, quiet=True),
    ]
    return ledger


def statuses(path: str, number: int) -> list[int | None]:
    """Return what comes of each attempt; None: a kill interrupts it, though it was taken."""
    if path == "/gone":
        return [200 if number < _GONE_FROM else 410]
    if path == "/a" and number in {int(at) for at in KILLED} - {31}:
        return [None, 200]
    if path == "/a" and number % 28 == 1:
        return [500, 500, 500]
    if path == "/a" and number % 7 == 1:
        return [429, 0, 200]
    return [500] if path == "/dropped" else [200]


def deliver(
    ledger: Ledger, event: Published, path: str, answers: list[int | None], *, started: float, replayed: bool = False
) -> None:
    """Add a delivery with its attempts and requests, each as soon as the policy allows."""
    attempts, failures, at = [], 0, started
    for number, status in enumerate(answers, 1):
        ledger.arrivals.append(request(event, path, number, at, 200 if status is None else status, replayed=replayed))
        if status is None:
            ledger.arrivals[-1].ended = at + 1.0
            attempts.append(Attempt(number, WALL_S + at, 1.0, None, "interrupted"))
            at += 2.0
            continue
        error = None if status == 200 else f"http_{status}" if status else "timeout"
        attempts.append(Attempt(number, WALL_S + at, 0.01, status or None, error))
        if status != 200 and failures < len(DELAYS_S):
            at += 0.01 + DELAYS_S[failures] + (0.9 if status == 429 else 0.0)
            failures += 1
    state = "delivered" if answers[-1] == 200 else "dead"
    reason = {410: "gone", 500: "attempts_exhausted"}.get(answers[-1] or 0)
    if path == "/dropped":
        state, reason = "cancelled", None
    name = f"dlv_{event.number}{path}{'again' if replayed else ''}"
    ledger.deliveries.append(Delivery(name, event.event_id, path, state, len(attempts), reason, replayed, attempts))


def request(event: Published, path: str, attempt: int, at: float, status: int, *, replayed: bool = False) -> Arrival:
    return Arrival(
        at=at,
        path=path,
        event_id=event.event_id,
        number=event.number,
        attempt=attempt,
        digest=event.digest_of_part if _PATHS[path].selects else event.digest,
        status=status,
        answered=at + 0.01,
        ended=at + 0.01,
        asked_to_wait_s=1.0 if status == 429 else 0.0,
        timestamp_s=int(WALL_S + at),
        wall_s=WALL_S + at,
        replayed=replayed,
    )


def delivery(ledger: Ledger, number: int, path: str) -> Delivery:
    return next(each for each in ledger.deliveries if (each.event_id, each.path) == (f"evt_{number}", path))


def requests(ledger: Ledger, number: int, path: str) -> list[Arrival]:
    return [
        each for each in ledger.arrivals if (each.event_id, each.path, each.replayed) == (f"evt_{number}", path, False)
    ]


def never_send(ledger: Ledger, number: int, path: str) -> None:
    for arrival in requests(ledger, number, path):
        ledger.arrivals.remove(arrival)
