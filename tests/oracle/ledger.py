"""What the oracle saw with its own eyes, and its judgement. Shares no code with the product."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

ATTEMPTS_MAX = 17
_CLOCKS_S = 0.01  # a request is noted after it was sent, and times are kept in milliseconds


@dataclass(frozen=True)
class Arrival:
    """A request at one of the oracle's receivers. Times are seconds on one clock."""

    at: float
    path: str
    event_id: str
    number: int  # the event's, as it was published; 0 when the body is none of ours
    signed: bool
    status: int  # what was answered; 0 when nothing was


@dataclass(frozen=True)
class Fault:
    """Something that was done to the servers, or to what they stand on."""

    kind: str
    begun: float
    ended: float
    acknowledged: int = 0  # events, while it lasted
    refused: int = 0  # calls that were told to come again, while it lasted


def application_of(number: int, applications: int) -> int:
    """Return the application that an event is published for."""
    return number % applications + 1


@dataclass
class Ledger:
    """Everything that was published, answered, received and done to the server."""

    acknowledged: dict[int, str] = field(default_factory=dict)  # number -> event id
    arrivals: list[Arrival] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    faults_wanted: tuple[str, ...] = ()  # each of these is to be among them
    wanted_paths: tuple[str, ...] = ()  # every event is to reach these
    application_paths: tuple[str, ...] = ()  # the first one is to get the events of application 1, and so on
    forbidden_paths: tuple[str, ...] = ()  # no event is to reach these
    first_delay_s: float = 0.0  # of the retry schedule
    ended_by_itself: list[str] = field(default_factory=list)  # servers that nobody killed
    # what the server says afterwards
    sequences: list[int] = field(default_factory=list)
    states: dict[tuple[str, str], str] = field(default_factory=dict)  # (event id, path) -> state
    balanced: bool = True
    pending: int = 0

    def wants(self, path: str, number: int) -> bool:
        """Is the event with this number to reach the path?"""
        if path in self.application_paths:
            turn = application_of(number, len(self.application_paths)) - 1
            return self.application_paths[turn] == path
        return path in self.wanted_paths


@dataclass(frozen=True)
class Finding:
    """One invariant, and where it was broken."""

    invariant: str
    looked_at: int
    broken: list[str]


def judge(ledger: Ledger, *, repeat_window_s: float) -> list[Finding]:
    """Return every invariant with what breaks it. ``repeat_window_s``: how much later than a fault a request may
    be noted that was on its way then."""
    return [
        _arrived(ledger),
        _nowhere_else(ledger),
        _no_stranger(ledger),
        _same_id(ledger),
        _signed(ledger),
        _attempts(ledger),
        _not_early(ledger, repeat_window_s),
        _success_was_seen(ledger),
        _repeats_are_explained(ledger, repeat_window_s),
        _sequences(ledger),
        _books(ledger),
        _stayed(ledger),
        _enough_happened(ledger),
    ]


def _taken(ledger: Ledger) -> dict[tuple[str, str], list[Arrival]]:
    taken: dict[tuple[str, str], list[Arrival]] = defaultdict(list)
    for arrival in ledger.arrivals:
        if 200 <= arrival.status < 300:
            taken[arrival.event_id, arrival.path].append(arrival)
    return taken


def _arrived(ledger: Ledger) -> Finding:
    taken = _taken(ledger)
    paths = (*ledger.wanted_paths, *ledger.application_paths)
    pairs = [
        (event_id, path)
        for number, event_id in ledger.acknowledged.items()
        for path in paths
        if ledger.wants(path, number)
    ]
    lost = [
        f"{event} never reached {path}"
        for event, path in pairs
        if not taken[event, path] and ledger.states.get((event, path)) != "dead"
    ]
    return Finding("every acknowledged event arrived, or is visibly dead", len(pairs), lost)


def _nowhere_else(ledger: Ledger) -> Finding:
    wrong = [f"{a.event_id} reached {a.path}" for a in ledger.arrivals if not ledger.wants(a.path, a.number)]
    return Finding("no event reached an endpoint that did not want it", len(ledger.arrivals), wrong)


def _no_stranger(ledger: Ledger) -> Finding:
    published = set(ledger.acknowledged)
    strangers = [f"{a.event_id} holds number {a.number}" for a in ledger.arrivals if a.number not in published]
    return Finding("nothing arrived that was not published", len(ledger.arrivals), strangers)


def _same_id(ledger: Ledger) -> Finding:
    wrong = [
        f"number {a.number} came as {a.event_id}, acknowledged as {ledger.acknowledged[a.number]}"
        for a in ledger.arrivals
        if a.number in ledger.acknowledged and ledger.acknowledged[a.number] != a.event_id
    ]
    ids = Counter(ledger.acknowledged.values())
    wrong += [f"{event_id} stands for {count} events" for event_id, count in ids.items() if count > 1]
    return Finding("an event keeps the id that it was acknowledged with", len(ledger.arrivals), wrong)


def _signed(ledger: Ledger) -> Finding:
    wrong = [f"{a.event_id} at {a.path}" for a in ledger.arrivals if not a.signed]
    return Finding("every request is signed", len(ledger.arrivals), wrong)


def _attempts(ledger: Ledger) -> Finding:
    counts = Counter((a.event_id, a.path) for a in ledger.arrivals)
    wrong = [
        f"{event} at {path}: {count}"
        for (event, path), count in counts.items()
        if count > ATTEMPTS_MAX + len(ledger.faults)
    ]
    return Finding("no more attempts than the policy has", len(counts), wrong)


def _not_early(ledger: Ledger, window_s: float) -> Finding:
    """A retry waits for the schedule's first delay at least, except where a fault made another server start it."""
    attempts: dict[tuple[str, str], list[Arrival]] = defaultdict(list)
    for arrival in ledger.arrivals:
        attempts[arrival.event_id, arrival.path].append(arrival)
    after_failure = [
        (earlier, later)
        for arrivals in attempts.values()
        for earlier, later in pairwise(arrivals)
        if not 200 <= earlier.status < 300
    ]
    wrong = [
        f"{later.event_id} came to {later.path} again after {later.at - earlier.at:.3f} s"
        for earlier, later in after_failure
        if later.at - earlier.at < ledger.first_delay_s - _CLOCKS_S
        and not _fault_explains(ledger, earlier.at, later.at, window_s)
    ]
    return Finding("no retry came before its time", len(after_failure), wrong)


def _fault_explains(ledger: Ledger, first: float, second: float, window_s: float) -> bool:
    return any(fault.begun <= second and first - window_s <= fault.ended for fault in ledger.faults)


def _success_was_seen(ledger: Ledger) -> Finding:
    taken = _taken(ledger)
    said = [pair for pair, state in ledger.states.items() if state == "delivered"]
    return Finding(
        "what is recorded as delivered was answered with 2xx",
        len(said),
        [f"{event} at {path}" for event, path in said if not taken[event, path]],
    )


def _repeats_are_explained(ledger: Ledger, window_s: float) -> Finding:
    wrong = []
    repeated = {pair: arrivals for pair, arrivals in _taken(ledger).items() if len(arrivals) > 1}
    for (event, path), arrivals in repeated.items():
        times = sorted(arrival.at for arrival in arrivals)
        for first, second in pairwise(times):
            if not _fault_explains(ledger, first, second, window_s):
                wrong.append(f"{event} at {path}, {second - first:.1f} s apart")
    return Finding("repeats only where a fault explains them", len(repeated), wrong)


def _sequences(ledger: Ledger) -> Finding:
    wanted = list(range(1, len(ledger.sequences) + 1))
    wrong = [] if ledger.sequences == wanted else ["the sequence has a gap, or goes back"]
    if len(ledger.sequences) < len(ledger.acknowledged):
        wrong.append(f"{len(ledger.acknowledged) - len(ledger.sequences)} acknowledged events are not in the sequence")
    return Finding("the client's sequence has no gap", len(ledger.sequences), wrong)


def _books(ledger: Ledger) -> Finding:
    wrong = [] if ledger.balanced else ["the books do not balance"]
    if ledger.pending:
        wrong.append(f"{ledger.pending} deliveries are still pending")
    return Finding("the books balance and nothing is pending", 1, wrong)


def _stayed(ledger: Ledger) -> Finding:
    return Finding("no server ended by itself", len(ledger.faults), ledger.ended_by_itself)


def _enough_happened(ledger: Ledger) -> Finding:
    wrong = []
    if len(ledger.acknowledged) < 10 * max(1, len(ledger.faults)):
        wrong.append(f"only {len(ledger.acknowledged)} events for {len(ledger.faults)} faults")
    if not ledger.faults:
        wrong.append("nothing was done to the server")
    missing = set(ledger.faults_wanted) - {fault.kind for fault in ledger.faults}
    wrong += [f"there was no fault of the kind {kind}" for kind in sorted(missing)]
    return Finding("enough happened to judge by", len(ledger.acknowledged), wrong)
