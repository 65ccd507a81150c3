"""The ledger: what the oracle observed and what the servers report. Shares no code with the product."""

from collections import Counter
from dataclasses import dataclass, field

FIRST_REFUSED = 9_000_000  # numbers from here on are of events that must be refused


@dataclass(frozen=True)
class Subscription:
    """An endpoint, and which events are to reach it."""

    path: str
    client_id: int = 1
    application_id: int | None = None  # None: those of every one
    wants_nothing: bool = False
    delays_s: tuple[float, ...] = ()  # of its retry policy
    timeout_s: float = 5.0
    max_in_flight: int = 32
    ordered: bool = False  # events of one business key go out one after the other
    selects: bool = False  # gets the required properties only
    dropped: bool = False  # its receiver fails; in the end its deliveries are cancelled, or it is deleted


@dataclass(frozen=True)
class Published:
    """An event that was acknowledged. Times are seconds on one clock, here and everywhere."""

    number: int
    client_id: int
    application_id: int
    digest: str  # of its bytes
    sent_at: float
    acknowledged_at: float
    event_id: str
    order: int = 0  # its business key
    digest_of_part: str = ""  # of what an endpoint gets that selects no optional property


@dataclass
class Arrival:
    """A request at one of the oracle's receivers."""

    at: float  # all of it was there
    path: str
    event_id: str
    number: int  # the event's, as it was published; 0 when the body is none of ours
    attempt: int = 1
    digest: str = ""
    status: int = 0  # what was answered, once that was written; 0: nothing was
    answered: float = 0.0  # the caller may know the answer from here on
    ended: float = 0.0  # nothing more is done about it
    asked_to_wait_s: float = 0.0
    signed_with: tuple[int, ...] = (0,)  # which of the endpoint's secrets, the newest last
    timestamp_s: int = 0
    wall_s: float = 0.0  # the oracle's own clock when it came
    sequence: int = 0
    replayed: bool = False
    flaws: tuple[str, ...] = ()  # of its headers

    @property
    def taken(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True)
class Fault:
    """Something that was done to the servers, or to what they stand on."""

    kind: str
    begun: float
    ended: float
    acknowledged: int = 0  # events, while it lasted
    refused: int = 0  # calls that were told to come again, while it lasted


@dataclass(frozen=True)
class Attempt:
    """A try as the server has it on record; ``started_s`` is by its own clock."""

    number: int
    started_s: float
    duration_s: float
    status: int | None
    error: str | None

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def interrupted(self) -> bool:
        return self.error == "interrupted"

    @property
    def stale(self) -> bool:
        """Did the receiver close the connection just as it was used again? Such an attempt does not count as a failure."""
        return self.error == "connection_stale"

    @property
    def failed(self) -> bool:
        """Does it count against the retry policy?"""
        return not self.delivered and not self.interrupted and not self.stale


@dataclass
class Delivery:
    """A delivery as the server tells of it; ``attempts`` is None where they were not asked for."""

    id: str
    event_id: str
    path: str
    state: str
    attempt_count: int
    reason: str | None = None
    replayed: bool = False
    attempts: list[Attempt] | None = None


@dataclass(frozen=True)
class Stored:
    """An event as the server has it."""

    event_id: str
    client_id: int
    sequence: int
    number: int
    digest: str


@dataclass(frozen=True)
class Sample:
    """What a node used, and what it said of its delivery counts, at one moment of the run."""

    at: float
    node: str
    rss_mb: float
    files: int
    threads: int
    log_mb: float = 0.0  # the store's write-ahead log
    oldest_due_s: float | None = None  # None: it was not asked, or did not answer
    unbalanced: str = ""  # what is wrong with its delivery counts
    quiet: bool = False  # before any fault, or when all is over


@dataclass
class Ledger:
    """Everything that was published, answered, received and done to the servers."""

    subscriptions: dict[str, Subscription] = field(default_factory=dict)  # by path
    published: dict[int, Published] = field(default_factory=dict)  # by number
    arrivals: list[Arrival] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    nodes: int = 1
    faults_wanted: tuple[str, ...] = ()  # each of these is to be among them
    ended_by_itself: list[str] = field(default_factory=list)  # servers that ended without a kill
    wrong_answers: list[str] = field(default_factory=list)
    repeats: Counter[str] = field(default_factory=Counter)  # calls with a key that was used, by what they were to show
    wrong_repeats: list[str] = field(default_factory=list)
    turned_away: int = 0  # calls with events that had to be refused
    not_turned_away: list[str] = field(default_factory=list)
    keys_asked: int = 0  # calls with a key that allows them not
    keys_honoured: list[str] = field(default_factory=list)
    rotated_at: dict[str, list[float]] = field(default_factory=dict)  # path -> when a newer secret was told
    offsets_s: list[tuple[float, float]] = field(default_factory=list)  # when a wall clock was set, and by what
    replayed_at: float = float("inf")
    replayed_path: str = ""
    refused_addresses: int = 0  # endpoints at addresses that are not delivered to
    trapped: list[str] = field(default_factory=list)  # what reached those addresses all the same
    dropped_at: dict[str, float] = field(default_factory=dict)  # path -> when its deliveries were cancelled
    settled_at: float = 0.0  # when nothing was pending any more
    samples: list[Sample] = field(default_factory=list)
    # what the server says afterwards
    stored: list[Stored] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    switched_off: dict[str, str] = field(default_factory=dict)  # path -> why
    dead_said: dict[str, int] = field(default_factory=dict)  # who says so -> how many are dead
    pending: int = 0
    counting_since: tuple[float, float] = (0.0, 0.0)  # the first start of a running node, and when the last was ready
    attempts_of_the_worst: int = 0  # tenant, which is judged by no other rule
    attempts_counted: int = 0  # by the metrics of all nodes, each since its start
    exposed: list[str] = field(default_factory=list)  # where a secret can be read

    @property
    def acknowledged(self) -> int:
        return len(self.published)

    @property
    def published_until(self) -> float:
        return max((event.acknowledged_at for event in self.published.values()), default=0.0)

    @property
    def healed_at(self) -> float:
        return max((fault.ended for fault in self.faults), default=0.0)

    def is_dropped(self, path: str) -> bool:
        """Do deliveries to the path end as cancelled?"""
        wish = self.subscriptions.get(path)
        return wish is not None and wish.dropped

    def wants(self, path: str, client_id: int, application_id: int) -> bool:
        """Is an event of that client and application to reach the path?"""
        wish = self.subscriptions.get(path)
        return (
            wish is not None
            and not wish.wants_nothing
            and wish.client_id == client_id
            and wish.application_id in {None, application_id}
        )
