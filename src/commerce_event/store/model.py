"""The records that the store takes and returns. Times are milliseconds since 1970 UTC (``_ms``)."""

from collections.abc import Sequence
from typing import Any, Final, Literal, Self

import msgspec

from commerce_event.core.changes.model import Change
from commerce_event.core.model import Attempt, DeliveryKind, DeliveryState, RefusalState, ReplayState, Scope
from commerce_event.core.problems import Fault

FIELDS_MAX: Final = 500  # names of fields that are kept of a client and an entity
REVISIONS_MAX: Final = 1_000  # the newest of an endpoint, in which its state at a time is looked for
RAISED_MAX: Final = 10_000  # events of a change that are read; it lists at most 1,000 parts
PENDING_EXAMINED_MAX: Final = 2_000  # pending deliveries of an endpoint, to find the oldest
ATTEMPTS_MAX: Final = 200  # the newest of a delivery; the number of manual retries has no limit


class NewDelivery(msgspec.Struct, frozen=True):
    """A delivery to store with its event; with ``lease_until_ms`` its attempt 1 is claimed in the same commit.

    ``bulk``: one of many, which gives way to others. It keeps that for its life.
    """

    id: int
    endpoint_id: int
    order_key: str | None = None
    lease_until_ms: int | None = None
    bulk: bool = False


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that passed every check; the commit assigns its sequence."""

    id: int
    client_id: int
    type: str
    application_id: int | None
    accepted_ms: int
    config_version: int
    idempotency_key: str | None
    traceparent: str | None
    body: bytes
    deliveries: tuple[NewDelivery, ...]
    warnings: tuple[Fault, ...] = ()

    def without_leases(self) -> "NewEvent":
        """Return the event with no delivery claimed."""
        deliveries = tuple([msgspec.structs.replace(each, lease_until_ms=None) for each in self.deliveries])
        return msgspec.structs.replace(self, deliveries=deliveries)


class Accepted(msgspec.Struct, frozen=True):
    """The answer of a commit: ``new``, ``duplicate`` (same key, same event) or ``conflict`` (same key, another event).

    ``id``, ``sequence`` and ``deliveries`` are the first event's for a duplicate or a conflict.
    """

    outcome: Literal["new", "duplicate", "conflict"]
    id: int
    sequence: int
    deliveries: int


class EndpointBacklog(msgspec.Struct, frozen=True):
    """The earliest due time among an endpoint's pending deliveries of one kind."""

    endpoint_id: int
    kind: DeliveryKind
    due_ms: int


class ClaimRequest(msgspec.Struct, frozen=True):
    """How many due deliveries of one kind the caller can take for an endpoint now."""

    endpoint_id: int
    kind: DeliveryKind
    limit: int


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that this node may send: attempt ``number`` is durable already, and ``run_id`` fences its result."""

    delivery_id: int
    endpoint_id: int
    number: int
    failure_count: int
    run_id: int
    lease_until_ms: int
    replay_id: int | None
    event_id: int
    client_id: int
    sequence: int
    type: str
    traceparent: str | None
    body: bytes
    has_order_key: bool = False  # others of its order key may wait for it
    bulk: bool = False

    @property
    def kind(self) -> DeliveryKind:
        return DeliveryKind.of(self.number, bulk=self.bulk)


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an attempt. ``due_ms`` is set exactly when ``state`` is pending."""

    delivery_id: int
    endpoint_id: int
    run_id: int
    attempt: Attempt
    state: DeliveryState
    failure_count: int
    due_ms: int | None
    reason: str | None
    has_order_key: bool = False
    cause: str | None = None  # why the attempt failed, in words
    is_internal: bool = False  # the fault is ours: it says nothing about the endpoint's health


class EndpointHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How an endpoint has answered, kept in the commits that record its attempts.

    Equal on every node, in the order in which results were recorded. A span of failures that reached FAILING_FROM
    is kept as the former one when a success ends it.
    """

    endpoint_id: int
    client_id: int
    failures: int = 0  # in a row
    failing_since_ms: int | None = None  # the first of them began; None without failures
    last_success_ms: int | None = None  # up to a second too early while the endpoint stays healthy
    last_failure_ms: int | None = None
    last_status: int | None = None  # of the newest failure
    last_error: str | None = None  # of the newest failure
    last_cause: str | None = None  # of the newest failure, in words
    former_since_ms: int | None = None  # of the last span of failures that has ended
    former_until_ms: int | None = None


def may_follow(present: ReplayState, state: ReplayState) -> bool:
    """Tell whether a step may put a replay from one state into another: what is cancelled never runs again."""
    return state in _NEXT_REPLAY_STATES[present]


_NEXT_REPLAY_STATES: Final[dict[ReplayState, frozenset[ReplayState]]] = {
    "running": frozenset({"running", "cancelling", "done", "cancelled"}),
    "done": frozenset({"cancelling"}),
    "cancelling": frozenset({"cancelling", "cancelled"}),
    "cancelled": frozenset(),
}


class EndpointRow(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as stored: ``config`` is JSON, ``sealed`` holds secrets and static headers, encrypted."""

    id: int
    client_id: int
    revision: int  # set by the store
    created_ms: int
    updated_ms: int
    deleted_ms: int | None
    config: bytes
    sealed: bytes


class OwnTypeRow(msgspec.Struct, frozen=True, kw_only=True):
    """An own event type as stored: ``schema`` and ``example`` are JSON."""

    name: str
    category: str
    kind: str
    description: str
    schema: str
    example: str
    revision: int  # set by the store
    created_ms: int
    updated_ms: int


class Page(msgspec.Struct, frozen=True):
    """At most ``limit`` rows, newest first, below the id ``before``. Deliveries also oldest first, above ``after``."""

    limit: int
    before: int | None = None
    after: int | None = None


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which events; all conditions must hold. ``text`` is searched in the payload, ignoring case and accents.

    Its last word may be a beginning, unless ``whole_words`` is set.
    """

    scope: Scope
    types: tuple[str, ...] = ()
    application_id: int | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    state: DeliveryState | None = None  # has a delivery in that state
    text: str | None = None
    whole_words: bool = False

    def parts(self) -> "list[EventQuery]":
        """Return a query for each client and type that is named: an index has the newest of each in order."""
        if self.scope.client_ids is None:
            return [self]
        kinds: list[tuple[str, ...]] = [(each,) for each in self.types] or [()]
        return [
            msgspec.structs.replace(self, scope=Scope.of(client_id), types=types)
            for client_id in self.scope.client_ids
            for types in kinds
        ]


class DeliveryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries; all conditions must hold. Types and times are the event's."""

    scope: Scope
    event_id: int | None = None
    endpoint_id: int | None = None
    replay_id: int | None = None
    state: DeliveryState | None = None
    types: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    due_after_ms: int | None = None  # due later than that


class RefusalQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which refused events; all conditions must hold."""

    scope: Scope
    type: str | None = None
    state: RefusalState | None = None
    since_ms: int | None = None
    until_ms: int | None = None


class NewChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change to store, with the last known values that its notifications were decided by."""

    id: int
    change: Change
    known: dict[str, Any] | None
    accepted_ms: int
    config_version: int


class FirstChange(msgspec.Struct, frozen=True, kw_only=True):
    """The change that was stored first under an idempotency key, and the events it raised by itself."""

    id: int
    change: Change
    event_ids: tuple[int, ...]


class KnownRow(msgspec.Struct, frozen=True, kw_only=True):
    """The last known values of a row. ``change_id`` is the last change that wrote it."""

    values: dict[str, Any]
    change_id: int
    updated_ms: int


class RowWrite(msgspec.Struct, frozen=True, kw_only=True):
    """The last known values of a row from now on; ``values=None`` deletes them.

    ``expected_change_id`` is the last change that wrote the row when it was read, None when there was no row.
    """

    client_id: int
    key: str
    values: dict[str, Any] | None
    change_id: int
    updated_ms: int
    expected_change_id: int | None


class WaitingNotification(msgspec.Struct, frozen=True, kw_only=True):
    """A notification that waits for its time, so that later changes of the same thing are merged into it.

    A subject of more than 500 bytes is kept as its digest.
    """

    setting_id: int
    subject: str
    client_id: int
    application_id: int | None
    event_type: str
    body: bytes
    due_ms: int  # stays that of the first change
    first_change_id: int  # the lowest id of the merged changes
    change_id: int  # the highest one; on several nodes, the newest values may be those of another
    merged: int = 1  # changes


class RaisedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The event of a notification, and the changes that raised it: one, or all in that range that were merged.

    A subject of more than 500 bytes is kept as its digest.
    """

    event_id: int
    client_id: int
    setting_id: int
    subject: str
    first_change_id: int
    change_id: int
    merged: int = 1


class PositionWrite(msgspec.Struct, frozen=True, kw_only=True):
    """How far a source has been read from now on; ``expected`` is the position so far, None when there is none."""

    source: str
    position: str
    expected: str | None


class ChangeBatch(msgspec.Struct, frozen=True, kw_only=True):
    """What one commit stores of changes, in addition to the events that they raise.

    ``waiting`` are added, or merged into those of the same setting and subject. ``released`` have become events, if
    they still have the ``change_id`` with which they were read. ``fields`` are (client, entity, name) seen first.
    """

    changes: Sequence[NewChange] = ()
    rows: Sequence[RowWrite] = ()  # one for each row
    waiting: Sequence[WaitingNotification] = ()
    released: Sequence[WaitingNotification] = ()
    raised: Sequence[RaisedEvent] = ()
    fields: Sequence[tuple[int, str, str]] = ()
    positions: Sequence[PositionWrite] = ()


class ChangeQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which changes; all conditions must hold."""

    scope: Scope
    entity: str | None = None
    source: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    unmapped: bool | None = None  # True: only those of no entity; False: only the others


class DeadGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters of an endpoint with the same reason and error. Times are those of acceptance or replay."""

    endpoint_id: int
    reason: str | None
    error: str | None  # of the last attempt
    count: int
    oldest_ms: int
    newest_ms: int


class DeliveryCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of one endpoint since it was created. ``matched`` must equal the sum of the four others."""

    endpoint_id: int
    client_id: int
    matched: int  # deliveries ever created, replays included
    delivered: int
    dead: int
    cancelled: int
    pending: int
    oldest_due_ms: int | None

    @property
    def difference(self) -> int:
        return self.matched - self.delivered - self.dead - self.cancelled - self.pending


class CountCheck(msgspec.Struct, frozen=True):
    """One step of the rolling recount of events against their deliveries."""

    checked: int
    wrong: tuple[int, ...]  # ids of events with fewer or more deliveries than were matched
    cursor: int

    @classmethod
    def of(cls, rows: Sequence[Any], limit: int) -> Self:
        """Return the result for rows of events with their ``match_count`` and the ``count`` that was found."""
        wrong = tuple(row.id for row in rows if row.match_count != row.count)
        return cls(len(rows), wrong, rows[-1].id if len(rows) == limit else 0)


INTERRUPTED: Final = "interrupted"  # the error of an attempt that was never answered
DAMAGED: Final = "damaged"  # the reason of a delivery whose event is lost
AUDIT_KEPT_MS: Final = 400 * 86_400_000
LATENCY_BOUNDS_MS: Final = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000)  # upper ends; one more is open
ACTIVITY_STEPS_S: Final = {60: 2 * 86_400, 3_600: 90 * 86_400}  # width of a step, and how long it is kept


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one step of time. ``endpoint_id`` is 0 where events are counted, not attempts."""

    start_ms: int
    client_id: int
    endpoint_id: int
    accepted: int
    delivered: int
    failed: int  # attempts
    dead: int
    latency: tuple[int, ...]  # answered attempts by LATENCY_BOUNDS_MS
    # The largest values seen during the step; pending and dead_letters are summed over endpoints.
    pending: int = 0
    dead_letters: int = 0
    oldest_ms: int = 0  # how long the oldest due delivery had waited


class StoreInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What doctor and the system page show."""

    engine: str
    version: str
    location: str
    schema_version: int
    durability: str
    size_bytes: int
    free_bytes: int | None  # None where it cannot be known
    unclean_starts: int | None = None  # after runs that did not end properly; None where other nodes take over


Notice = Literal["work", "config"]
