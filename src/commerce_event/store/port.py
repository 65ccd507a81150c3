"""The store port: few, coarse, batch-shaped calls that every engine answers alike (``tests/store``).

Guarantees asked of an engine: a call that returns has committed durably; a call that raises has changed nothing;
reads see every commit that returned before them. ``Scope`` is the tenant wall: no read goes without one.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, Protocol

import msgspec

from commerce_event.core.model import Attempt, AuditEntry, Delivery, DeliveryState, Event, Key, Replay, Scope


class StoreError(Exception):
    """The store could not do it."""


class StoreUnavailableError(StoreError):
    """Nothing was changed and the same call may succeed later: disk full, busy, shutting down."""


class StoreBusyError(StoreUnavailableError):
    """Somebody held rows of these clients for longer than should be waited for; nothing was changed."""

    def __init__(self, clients: Iterable[int]) -> None:
        super().__init__("somebody else works on this client's events for long; try again in a moment")
        self.clients = frozenset(clients)


class EndpointChangedError(Exception):
    """Another node changed an endpoint since it was read; nothing was stored."""


class ConfigChangedError(Exception):
    """Endpoints or keys were changed since events were matched with them; nothing was stored."""


class StoreBrokenError(StoreError):
    """The disk refused to make data durable, or the file is damaged: the process must stop."""


class StoreRefusedError(StoreError):
    """The store cannot be opened as asked; the message says what to do."""


class NewDelivery(msgspec.Struct, frozen=True):
    """A delivery to be born with its event; with ``lease_until_ms`` its attempt 1 is claimed in the same commit."""

    id: int
    endpoint_id: int
    order_key: str | None = None
    lease_until_ms: int | None = None


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that passed every check; its sequence is given by the commit."""

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


class Accepted(msgspec.Struct, frozen=True):
    """The commit's answer: ``new``, ``duplicate`` (same key, same event) or ``conflict`` (same key, another event).

    ``id``, ``sequence`` and ``deliveries`` are the first event's for a duplicate or a conflict.
    """

    outcome: Literal["new", "duplicate", "conflict"]
    id: int
    sequence: int
    deliveries: int


class EndpointBacklog(msgspec.Struct, frozen=True):
    """The earliest due time among an endpoint's waiting deliveries, first tries and retries apart."""

    endpoint_id: int
    retrying: bool
    due_ms: int


class ClaimRequest(msgspec.Struct, frozen=True):
    """How many due deliveries of one kind the caller can take for an endpoint now."""

    endpoint_id: int
    retrying: bool
    limit: int


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery this node may send: attempt ``number`` is already durable, and is fenced by ``lease``."""

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
    has_order_key: bool = False  # others of its order key may wait for its end


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an attempt. ``due_ms`` is set exactly when ``state`` is pending."""

    delivery_id: int
    endpoint_id: int
    run_id: int
    attempt: Attempt
    state: DeliveryState
    failure_count: int
    due_ms: int | None
    reason: str | None
    has_order_key: bool = False


class EndpointRow(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as stored: ``config`` is readable JSON, ``sealed`` holds secrets and static headers, encrypted."""

    id: int
    client_id: int
    revision: int  # set by the store
    created_ms: int
    updated_ms: int
    deleted_ms: int | None
    config: bytes
    sealed: bytes


class Page(msgspec.Struct, frozen=True):
    """Newest first below ``before`` (an id), at most ``limit``. Deliveries also oldest first, above ``after``."""

    limit: int
    before: int | None = None
    after: int | None = None


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which events; every condition narrows. ``text`` is looked for in the payload as a person would."""

    scope: Scope
    types: tuple[str, ...] = ()
    application_id: int | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    state: DeliveryState | None = None  # has a delivery in that state
    text: str | None = None

    def parts(self) -> "list[EventQuery]":
        """Return a query for each client and type that is named: an index gives the newest of each without sorting."""
        if self.scope.client_ids is None:
            return [self]
        kinds: list[tuple[str, ...]] = [(each,) for each in self.types] or [()]
        return [
            msgspec.structs.replace(self, scope=Scope.of(client_id), types=types)
            for client_id in self.scope.client_ids
            for types in kinds
        ]


class DeliveryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries; every condition narrows. Types and times are the event's."""

    scope: Scope
    event_id: int | None = None
    endpoint_id: int | None = None
    replay_id: int | None = None
    state: DeliveryState | None = None
    types: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    due_after_ms: int | None = None  # those that wait for a later moment than that


class DeadGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters of an endpoint that ended alike. Times are those of their events' acceptance or replay."""

    endpoint_id: int
    reason: str | None
    error: str | None  # of the last attempt
    count: int
    oldest_ms: int
    newest_ms: int


class DeliveryCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The account of one endpoint since it was made. It balances when ``matched`` = the sum of the four others."""

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


class Audit(msgspec.Struct, frozen=True):
    """One step of the rolling recount of events against their deliveries."""

    checked: int
    wrong: tuple[int, ...]  # ids of events with fewer or more deliveries than were matched
    cursor: int


INTERRUPTED: Final = "interrupted"  # the error of an attempt whose answer never came
DAMAGED: Final = "damaged"  # the reason of a delivery whose event is lost
AUDIT_KEPT_MS: Final = 400 * 86_400_000
LATENCY_BOUNDS_MS: Final = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000)  # upper ends; one more is open
ACTIVITY_STEPS_S: Final = {60: 2 * 86_400, 3_600: 90 * 86_400}  # width of a count, and how long it is kept


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in one stretch of time. ``endpoint_id`` is 0 where events are counted rather than attempts."""

    start_ms: int
    client_id: int
    endpoint_id: int
    accepted: int
    delivered: int
    failed: int  # attempts
    dead: int
    latency: tuple[int, ...]  # answered attempts by LATENCY_BOUNDS_MS
    # The most that was seen during the stretch: summed over endpoints but for the age.
    pending: int = 0
    dead_letters: int = 0
    oldest_ms: int = 0  # how long the oldest due delivery had waited


class StoreInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What doctor and the status page show."""

    engine: str
    version: str
    location: str
    schema_version: int
    durability: str
    size_bytes: int
    free_bytes: int | None  # None where it cannot be known
    unclean_starts: int | None = None  # after runs that did not end properly; None where others take over at once


Notice = Literal["work", "config"]


class JournalStore(Protocol):
    """Stores events with their deliveries."""

    async def accept(self, events: Sequence[NewEvent], *, config_version: int | None = None) -> list[Accepted]:
        """Store events and their deliveries in one commit, in order; one answer each. Ids grow from call to call.

        Raises ConfigChangedError when the config version is given and is no longer that, StoreBusyError when another
        node keeps some of the clients to itself.
        """
        ...


class QueueStore(Protocol):
    """The deliveries that are not finished: claiming, results, and what people do to them."""

    async def backlog(self) -> list[EndpointBacklog]:
        """Return every endpoint that has waiting deliveries; costs by endpoints, never by backlog."""
        ...

    async def claim(self, wants: Sequence[ClaimRequest], *, now_ms: int, lease_until_ms: int) -> list[Claimed]:
        """Lease due deliveries, oldest due first, and commit their attempt numbers before returning.

        An attempt whose lease ran out unanswered is recorded as ``interrupted`` and does not count as a failure.
        A delivery whose event is lost is dead, with the reason ``damaged``.
        """
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Record attempts; False for one whose lease is no longer ours (fenced off: nothing recorded).

        A finished delivery releases the next of its order key.
        """
        ...

    async def release_claims(self, claimed: Sequence[Claimed], *, now_ms: int) -> None:
        """Undo claims whose request was never sent: due again now, and the attempt number free again."""
        ...

    async def finish_pending(
        self,
        endpoint_id: int,
        *,
        state: DeliveryState,
        reason: str,
        now_ms: int,
        limit: int,
        revision: int | None = None,
    ) -> int:
        """Finish up to ``limit`` unleased pending deliveries of an endpoint; return how many.

        ``revision`` is the one of the endpoint that says so. When it is no longer that, nothing is finished.
        """
        ...

    async def requeue(
        self, delivery_ids: Sequence[int], *, now_ms: int, replay: Replay | None = None, read: int | None = None
    ) -> int:
        """Make deliveries due now with a fresh retry budget: dead and cancelled ones again, pending ones at once.

        Return how many; with a replay its progress is stored in the same commit, ``queued`` raised by that number, and
        ``read`` is meant as in ``put_replay``.
        """
        ...

    async def cancel(self, delivery_ids: Sequence[int], *, reason: str, now_ms: int) -> int:
        """Finish pending deliveries as cancelled; an attempt under way is fenced off. Return how many."""
        ...

    async def add_deliveries(
        self,
        deliveries: Sequence[NewDelivery],
        event_ids: Sequence[int],
        *,
        replay: Replay,
        now_ms: int,
        read: int | None = None,
    ) -> None:
        """Queue past events again, one delivery for each pair, and store the replay's progress in the same commit.

        ``read`` is meant as in ``put_replay``.
        """
        ...

    async def put_replay(self, replay: Replay, *, read: int | None = None) -> None:
        """Insert or change a replay.

        ``read`` is the cursor that a step was made from. Unless the replay is still running there, another node was
        first, and nothing at all is stored.
        """
        ...


class RegistryStore(Protocol):
    """Endpoints, keys and ended sessions, each change with a config version."""

    async def put_endpoint(self, row: EndpointRow, *, read: int | None = None) -> int:
        """Insert or change an endpoint, keep its former form as a revision; return the new config version.

        ``read`` is the revision that a change was made from. Raises EndpointChangedError when it is no longer that.
        """
        ...

    async def endpoints(self, *, since_version: int = 0) -> list[EndpointRow]:
        """Return every endpoint changed after that config version in its present form, deleted ones included, by id."""
        ...

    async def endpoint_revisions(self, client_id: int, config_version: int) -> list[EndpointRow]:
        """Return the client's endpoints as they stood at a config version (those made later are absent)."""
        ...

    async def config_version(self) -> int:
        """Return the number of the last change to endpoints, keys or ended sessions."""
        ...

    async def put_key(self, key: Key) -> int:
        """Insert or change a key; return the new config version."""
        ...

    async def keys(self) -> list[Key]: ...

    async def end_session(self, session_id: str, *, ends_ms: int, now_ms: int) -> int:
        """Remember that a session was ended before its time, ``ends_ms``; return the new config version.

        Those whose time is over are forgotten with it.
        """
        ...

    async def ended_sessions(self) -> frozenset[str]:
        """Return the sessions that were ended before their time."""
        ...


class HistoryStore(Protocol):
    """Reads of events, deliveries, attempts, replays, activity and the audit log.

    No read goes without a scope, unless its caller checked one.
    """

    async def add_audit_entry(self, entry: AuditEntry) -> None:
        """Store an entry, and forget those that are older than AUDIT_KEPT_MS."""
        ...

    async def audit_entries(self, scope: Scope, page: Page, *, target: str | None = None) -> list[AuditEntry]:
        """Return entries, the newest first, of one target when it is given."""
        ...

    async def replay(self, replay_id: int) -> Replay | None: ...

    async def replays(self, scope: Scope, page: Page, *, running: bool = False) -> list[Replay]:
        """Return replays, the newest first; with ``running`` those under way alone, the oldest first."""
        ...

    async def replay_states(self, replay_id: int) -> dict[DeliveryState, int]:
        """Count the deliveries of a replay by state."""
        ...

    async def event(self, event_id: int, scope: Scope) -> Event | None: ...

    async def events(self, query: EventQuery, page: Page) -> list[Event]: ...

    async def events_after(self, client_id: int, sequence: int, limit: int) -> list[Event]:
        """Return the client's events in accept order, starting behind ``sequence``."""
        ...

    async def events_between(
        self, client_id: int, *, after_id: int, until_ms: int, types: Sequence[str], limit: int
    ) -> list[Event]:
        """Return the client's events by id, oldest first (for replays); no types means every type."""
        ...

    async def delivery(self, delivery_id: int, scope: Scope) -> Delivery | None: ...

    async def deliveries(self, query: DeliveryQuery, page: Page) -> list[Delivery]: ...

    async def attempts(self, delivery_id: int) -> list[Attempt]:
        """Return the attempts of a delivery by number. The caller has checked the scope on the delivery."""
        ...

    async def recent_attempts(self, endpoint_id: int, limit: int) -> list[Attempt]:
        """Return the last attempt of each of the endpoint's newest finished deliveries."""
        ...

    async def events_by_id(self, event_ids: Sequence[int], scope: Scope) -> dict[int, Event]:
        """Return those of the events that there are, by id."""
        ...

    async def delivery_states(self, event_ids: Sequence[int], scope: Scope) -> dict[int, dict[DeliveryState, int]]:
        """Count the deliveries of each event by state; an event without any is left out."""
        ...

    async def last_attempts(self, delivery_ids: Sequence[int]) -> dict[int, Attempt]:
        """Return the last attempt of each delivery, without what was answered. The caller has checked the scope."""
        ...

    async def count_deliveries(self, query: DeliveryQuery, *, limit: int) -> int:
        """Count deliveries, and stop at ``limit``."""
        ...

    async def replays_with(self, replay_ids: Sequence[int], state: DeliveryState) -> set[int]:
        """Return which of the replays have a delivery in that state; costs by replays, never by their size."""
        ...

    async def dead_groups(self, scope: Scope, *, endpoint_id: int | None, limit: int) -> list[DeadGroup]:
        """Group the newest ``limit`` dead deliveries by endpoint, reason and last error, the largest group first."""
        ...

    async def delivery_counts(self, scope: Scope, *, recount: bool = False) -> list[DeliveryCounts]:
        """Return the account of every endpoint, all read from one snapshot.

        ``recount`` counts what is pending in the queue itself, which costs by backlog; else the kept figure is given.
        """
        ...

    async def add_activity(self, rows: Sequence[Activity], *, now_ms: int) -> None:
        """Merge counts of minutes into those of their minute and their hour, and forget those that are too old.

        Counts are added; of what was seen at most, the larger is kept.
        """
        ...

    async def activity(
        self, scope: Scope, *, step_s: int, since_ms: int, endpoint_id: int | None = None
    ) -> list[Activity]:
        """Return the counts of each step since then, oldest first, summed over the scope or of one endpoint.

        ``step_s`` is one of ACTIVITY_STEPS_S; steps in which nothing happened are left out.
        """
        ...

    async def activity_by_endpoint(self, scope: Scope, *, step_s: int, since_ms: int) -> list[Activity]:
        """Return the counts since then of each endpoint that was sent anything, each summed into one."""
        ...


class MaintenanceStore(Protocol):
    """What runs in the background: recounts, retention, the text index, set clocks."""

    async def verify_counts(self, *, after_id: int, limit: int) -> Audit:
        """Recount the deliveries of the next events; the cursor returns to 0 at the end of the journal."""
        ...

    async def oldest_ms(self) -> int | None:
        """Return when the oldest event was accepted, None for an empty journal."""
        ...

    async def expire(self, *, before_ms: int, limit: int) -> int:
        """Delete events older than that with everything of theirs, never one that has a pending delivery."""
        ...

    async def shift_due(self, by_ms: int) -> None:
        """Move every due time and lease by so much: the wall clock was set."""
        ...

    async def index_text(self, limit: int) -> int:
        """Add the next events to the text index; return how many."""
        ...


class Store(Protocol):
    """What the product asks of a database.

    ``on_notice`` is called on the event loop when another node made work or changed endpoints or keys.
    """

    on_notice: Callable[[Notice], None] | None

    @property
    def journal(self) -> JournalStore: ...

    @property
    def queue(self) -> QueueStore: ...

    @property
    def registry(self) -> RegistryStore: ...

    @property
    def history(self) -> HistoryStore: ...

    @property
    def maintenance(self) -> MaintenanceStore: ...

    async def open(self) -> None:
        """Check the engine, migrate, take back leases of a former run. Raises StoreRefusedError with the remedy."""
        ...

    async def close(self) -> None:
        """Finish what was asked, then let go. Idempotent."""
        ...

    async def info(self) -> StoreInfo: ...

    async def failed(self) -> StoreBrokenError:
        """Return once the store is broken for good, with the reason; until then wait."""
        ...

    @property
    def run_id(self) -> int:
        """The fence of this run: every lease taken through this object carries it."""
        ...

    @property
    def nodes(self) -> int:
        """How many nodes share this store now, this one included; it may lag by a second or two."""
        ...

    async def last_id(self) -> int:
        """Return the largest id ever stored, 0 for an empty store."""
        ...
