"""The store port: what the product asks of a database, in one protocol for each role.

Both engines pass the same suite (``tests/store``). Every call guarantees:

- When it returns, its changes are durable. When it raises, nothing was changed.
- Reads see every commit that returned before them.
- No read goes without a scope (which clients the caller may see), unless its caller has checked one.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from commerce_event.core.changes.model import ChangeSource, EventSetting, SourceState, StoredChange
from commerce_event.core.model import (
    Attempt,
    AuditEntry,
    Delivery,
    DeliveryState,
    Event,
    Key,
    Refusal,
    Replay,
    Scope,
    ValidationEntry,
)
from commerce_event.core.refusal_limits import LIMITS, RefusalLimits
from commerce_event.store.model import (
    RAISED_MAX,
    Accepted,
    Activity,
    ChangeBatch,
    ChangeQuery,
    Claimed,
    ClaimRequest,
    CountCheck,
    DeadGroup,
    DeliveryCounts,
    DeliveryQuery,
    EndpointBacklog,
    EndpointHealth,
    EndpointRow,
    EventQuery,
    FirstChange,
    KnownRow,
    NewDelivery,
    NewEvent,
    Notice,
    OwnTypeRow,
    Page,
    RaisedEvent,
    RefusalQuery,
    Settlement,
    StoreInfo,
    WaitingNotification,
)


class StoreError(Exception):
    """The store could not do it."""


class StoreUnavailableError(StoreError):
    """Nothing was changed and the same call may succeed later: disk full, busy, shutting down."""


class EndpointChangedError(Exception):
    """Another node has changed an endpoint since it was read; nothing was stored."""


class ConfigChangedError(Exception):
    """Endpoints or keys have changed since events were matched with them; nothing was stored."""


class EventTypeExistsError(Exception):
    """There is an event type of that name; nothing was stored."""


class SettingExistsError(Exception):
    """There is a setting of that client, application, type and entity; nothing was stored."""


class SettingChangedError(Exception):
    """The setting was changed or deleted since it was read; nothing was stored."""


class SourceExistsError(Exception):
    """There is a change source of that name; nothing was stored."""


class EventTypeUsedError(Exception):
    """There are events of the type; nothing was deleted."""


class ChangesOutdatedError(Exception):
    """A row, an idempotency key or a waiting notification has changed since it was read. Read again."""


class PositionChangedError(Exception):
    """The source is at another position than expected; nothing was stored."""

    def __init__(self, source: str, position: str | None) -> None:
        super().__init__(f"the source {source} is at {position}")
        self.source = source
        self.position = position


class StoreBrokenError(StoreError):
    """The disk refused to make data durable, or the file is damaged: the process must stop."""


class StoreRefusedError(StoreError):
    """The store cannot be opened as asked; the message says what to do."""


class JournalStore(Protocol):
    """Stores events with their deliveries."""

    async def accept(
        self, submissions: Sequence[Sequence[NewEvent]], *, config_version: int | None = None
    ) -> Sequence[list[Accepted] | Awaitable[list[Accepted]]]:
        """Store events and their deliveries in one commit, in order. Ids grow from call to call.

        A submission is what one caller submitted: it is stored as a whole or not at all, and its result is one answer
        for each event. Raises ConfigChangedError when the config version is given and is no longer current.

        While another node has locked rows of a submission's clients, its result is an awaitable instead: the store
        retries it without delaying the other submissions. Later submissions of these clients are stored after it. It
        is stored without its leases: its deliveries are due at once. The awaitable raises StoreUnavailableError when
        the rows stay locked, and ConfigChangedError; nothing of the submission is stored then. Cancelling it gives
        the submission up, unless its transaction has begun.
        """
        ...

    async def check_writable(self) -> None:
        """Return once a write would succeed; cheap. Raises what ``accept`` would raise."""
        ...


class QueueStore(Protocol):
    """The deliveries that are not finished: claims, results, and what people do with deliveries."""

    async def backlog(self) -> list[EndpointBacklog]:
        """Return every endpoint with pending deliveries; the cost grows with endpoints, not with the backlog."""
        ...

    async def claim(self, requests: Sequence[ClaimRequest], *, now_ms: int, lease_until_ms: int) -> list[Claimed]:
        """Lease due deliveries, oldest due first, and commit their attempt numbers before returning.

        An attempt whose lease ended without a result is recorded as ``interrupted`` and does not count as a failure.
        A delivery whose event is lost is dead, with the reason ``damaged``.
        """
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Record attempts; False for one that this run no longer holds (fenced off: nothing recorded).

        A finished delivery releases the next of its order key.
        """
        ...

    async def release_claims(self, claimed: Sequence[Claimed], *, now_ms: int) -> None:
        """Undo claims whose request was never sent: due again now, and the attempt number is free again."""
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

        With ``revision``, finish nothing unless that is still the endpoint's revision.
        """
        ...

    async def requeue(
        self,
        delivery_ids: Sequence[int],
        *,
        now_ms: int,
        replay: Replay | None = None,
        expected_cursor: int | None = None,
    ) -> int:
        """Make deliveries due now with a fresh retry budget: pending, dead and cancelled ones; return how many.

        With a replay, its progress is stored in the same commit, with ``queued`` raised by that number.
        ``expected_cursor``: see ``put_replay``.
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
        expected_cursor: int | None = None,
    ) -> None:
        """Queue past events again, one delivery for each pair, and store the replay's progress in the same commit.

        ``expected_cursor``: see ``put_replay``.
        """
        ...

    async def discard(self, delivery_ids: Sequence[int], *, reason: str, now_ms: int) -> int:
        """Finish dead deliveries as cancelled, with this reason; skip all others. Return how many."""
        ...

    async def finish_replay(self, replay_id: int, *, state: DeliveryState, reason: str, now_ms: int, limit: int) -> int:
        """Finish up to ``limit`` pending deliveries of a replay, and fence off attempts under way; return how many."""
        ...

    async def put_replay(self, replay: Replay, *, expected_cursor: int | None = None) -> bool:
        """Insert or change a replay; return whether it was stored.

        With ``expected_cursor``, store nothing at all unless the replay is still at that cursor, and its state may be
        followed by the new one: a replay that was cancelled never runs again, and one that is done may only be
        cancelled. Otherwise another node was first.
        """
        ...


class RegistryStore(Protocol):
    """Endpoints, keys and ended sessions. Each change raises the config version."""

    async def put_endpoint(self, row: EndpointRow, *, expected_revision: int | None = None) -> int:
        """Insert or change an endpoint, and keep it as a revision; return the new config version.

        Raises EndpointChangedError when ``expected_revision`` is given and is no longer the endpoint's.
        """
        ...

    async def endpoints(self, *, since_version: int = 0) -> list[EndpointRow]:
        """Return every endpoint changed after that config version as it is now, deleted ones included, by id."""
        ...

    async def endpoint_revisions(self, client_id: int, config_version: int) -> list[EndpointRow]:
        """Return the client's endpoints as they were at a config version (those created later are absent)."""
        ...

    async def endpoint_at(self, endpoint_id: int, at_ms: int) -> EndpointRow | None:
        """Return an endpoint as it was at that time (ms); None when it was changed REVISIONS_MAX times since."""
        ...

    async def config_version(self) -> int:
        """Return the number of the last change to endpoints, keys, ended sessions or how the contract is applied."""
        ...

    async def put_key(self, key: Key) -> int:
        """Insert or change a key; return the new config version."""
        ...

    async def keys(self) -> list[Key]: ...

    async def note_key_uses(self, uses: Mapping[int, int]) -> None:
        """Keep when keys were last used (ms), by key; an earlier time changes nothing. The config version stays."""
        ...

    async def key_uses(self) -> dict[int, int]:
        """Return when each key was last used (ms), by key."""
        ...

    async def put_client_name(self, client_id: int, name: str | None) -> int:
        """Set or remove (None) what people call a client; return the new config version."""
        ...

    async def client_names(self) -> dict[int, str]:
        """Return what people call clients, by client."""
        ...

    async def end_session(self, session_id: str, *, ends_ms: int, now_ms: int) -> int:
        """Remember that a session was ended before its expiry ``ends_ms``; return the new config version.

        Ended sessions that have expired are deleted.
        """
        ...

    async def ended_sessions(self) -> frozenset[str]:
        """Return the sessions that were ended before their expiry."""
        ...


class ContractStore(Protocol):
    """Validation modes, and own event types. Each change raises the config version."""

    async def put_validation(self, entry: ValidationEntry) -> int:
        """Insert or change the entry of a client and type; return the new config version, its revision."""
        ...

    async def delete_validation(self, client_id: int, event_type: str) -> int:
        """Delete the entry of a client and type, if there is one; return the new config version."""
        ...

    async def validation(self) -> list[ValidationEntry]:
        """Return the entries of all clients, the last change last."""
        ...

    async def put_own_type(self, row: OwnTypeRow, *, is_new: bool = False) -> int:
        """Insert or change an event type; return the new config version, its revision.

        Raises EventTypeExistsError when it should be new and is not.
        """
        ...

    async def delete_own_type(self, name: str) -> int:
        """Delete an event type and the validation modes of that name; return the new config version.

        Raises EventTypeUsedError when there are events of that type.
        """
        ...

    async def own_type_revisions(self) -> dict[str, int]:
        """Return the revision of each event type by its name."""
        ...

    async def own_types(self, names: Sequence[str]) -> list[OwnTypeRow]:
        """Return those of the event types that exist, by name."""
        ...


class HistoryStore(Protocol):
    """Reads of events, deliveries, attempts, replays and counts."""

    async def replay(self, replay_id: int) -> Replay | None: ...

    async def replays(self, scope: Scope, page: Page, *, running: bool = False) -> list[Replay]:
        """Return replays, the newest first; with ``running`` only those running or cancelling, the oldest first."""
        ...

    async def replay_states(self, replay_id: int) -> dict[DeliveryState, int]:
        """Count the deliveries of a replay by state."""
        ...

    async def replay_ended_ms(self, replay_id: int) -> int | None:
        """Return when the last finished delivery of a replay was finished; None without one."""
        ...

    async def replays_with(self, replay_ids: Sequence[int], state: DeliveryState) -> set[int]:
        """Return which of the replays have a delivery in that state; the cost grows with replays, not their size."""
        ...

    async def event(self, event_id: int, scope: Scope) -> Event | None: ...

    async def events(self, query: EventQuery, page: Page) -> list[Event]: ...

    async def events_after(self, client_id: int, sequence: int, limit: int) -> list[Event]:
        """Return the client's events in the order of acceptance, starting after ``sequence``."""
        ...

    async def last_sequences(self, client_ids: Sequence[int]) -> dict[int, int]:
        """Return the number of each client's last event in the order of acceptance; clients without one are left out.

        The event may have been deleted since.
        """
        ...

    async def events_between(
        self, client_id: int, *, after_id: int, until_ms: int, types: Sequence[str], limit: int
    ) -> list[Event]:
        """Return the client's events by id, oldest first (for replays); no types means every type."""
        ...

    async def events_by_id(self, event_ids: Sequence[int], scope: Scope) -> dict[int, Event]:
        """Return those of the events that exist, by id."""
        ...

    async def delivery(self, delivery_id: int, scope: Scope) -> Delivery | None: ...

    async def deliveries_with_attempts(
        self, delivery_ids: Sequence[int], scope: Scope
    ) -> list[tuple[Delivery, list[Attempt]]]:
        """Return those deliveries that exist, in that order, with their attempts by number; from one snapshot."""
        ...

    async def deliveries(self, query: DeliveryQuery, page: Page) -> list[Delivery]: ...

    async def deliveries_with_last_attempts(
        self, query: DeliveryQuery, page: Page
    ) -> tuple[list[Delivery], dict[int, Attempt]]:
        """Return deliveries, and the last attempt of each by delivery, without its response; from one snapshot."""
        ...

    async def count_deliveries(self, query: DeliveryQuery, *, limit: int) -> int:
        """Count deliveries, and stop at ``limit``."""
        ...

    async def deliveries_of_events(
        self, event_ids: Sequence[int], scope: Scope, *, limit: int
    ) -> tuple[list[Delivery], dict[int, Attempt]]:
        """Return the deliveries of these events, those of the newest event first, at most ``limit``.

        The second value is the last attempt of each by delivery, without its response; from one snapshot.
        """
        ...

    async def oldest_pending(self, endpoint_ids: Sequence[int], *, limit: int) -> list[Delivery]:
        """Return the oldest pending deliveries of each endpoint, by id, at most ``limit`` of each.

        Of an endpoint with more than PENDING_EXAMINED_MAX, only that many are examined, those that are due first.
        """
        ...

    async def delivery_states(self, event_ids: Sequence[int], scope: Scope) -> dict[int, dict[DeliveryState, int]]:
        """Count the deliveries of each event by state; an event without deliveries is left out."""
        ...

    async def events_with_delivery(self, endpoint_id: int, event_ids: Sequence[int]) -> set[int]:
        """Return which of the events have a delivery to the endpoint, in any state."""
        ...

    async def dead_in_group(
        self, endpoint_id: int, *, reason: str | None, error: str | None, before: int | None, limit: int
    ) -> tuple[list[int], int | None]:
        """Return the dead deliveries with that reason and that error of their last attempt, the newest first.

        Looks at the next ``limit`` dead deliveries of the endpoint below the id ``before``. The second value is the id
        to continue below, None at the end.
        """
        ...

    async def endpoint_health(self, scope: Scope) -> list[EndpointHealth]:
        """Return the health of every endpoint that was sent anything, by endpoint."""
        ...

    async def recent_attempts(self, endpoint_id: int, limit: int) -> list[Attempt]:
        """Return the last attempt of each of the endpoint's newest finished deliveries."""
        ...

    async def dead_groups(self, scope: Scope, *, endpoint_id: int | None, limit: int) -> list[DeadGroup]:
        """Group the newest ``limit`` dead deliveries by endpoint, reason and last error, the largest group first."""
        ...

    async def delivery_counts(self, scope: Scope, *, recount: bool = False) -> list[DeliveryCounts]:
        """Return the counts of every endpoint, all read from one snapshot.

        ``recount`` counts the pending deliveries in the queue, which costs by backlog; else the stored count is given.
        """
        ...


class ActivityStore(Protocol):
    """What happened in each minute and hour, for plots."""

    async def add(self, counts: Sequence[Activity], *, now_ms: int) -> None:
        """Add counts of minutes to those of their minute and their hour, and delete those that are too old.

        Of pending, dead_letters and oldest_ms the larger value is kept.
        """
        ...

    async def by_step(
        self, scope: Scope, *, step_s: int, since_ms: int, endpoint_id: int | None = None
    ) -> list[Activity]:
        """Return the counts of each step since then, oldest first, summed over the scope or of one endpoint.

        ``step_s`` is one of ACTIVITY_STEPS_S; steps in which nothing happened are left out.
        """
        ...

    async def by_endpoint(self, scope: Scope, *, step_s: int, since_ms: int) -> list[Activity]:
        """Return the sum of the counts since then, for each endpoint that was sent anything."""
        ...


class AuditLogStore(Protocol):
    """Who changed what."""

    async def add(self, entry: AuditEntry) -> None:
        """Store an entry, and delete those that are older than AUDIT_KEPT_MS."""
        ...

    async def entry(self, entry_id: int, scope: Scope) -> AuditEntry | None: ...

    async def entries(self, scope: Scope, page: Page, *, target: str | None = None) -> list[AuditEntry]:
        """Return entries, the newest first, of one target when it is given."""
        ...


class RefusalStore(Protocol):
    """Events that were refused.

    Each write deletes what is beyond the limits, in the same commit: the oldest first, each state by itself.
    """

    async def add(self, refusals: Sequence[Refusal], *, limits: RefusalLimits = LIMITS) -> None:
        """Store refused events; skip those that are stored already, as after a call whose outcome is unknown."""
        ...

    async def refusal(self, refusal_id: int, scope: Scope) -> Refusal | None: ...

    async def refusals(self, query: RefusalQuery, page: Page) -> list[Refusal]:
        """Return refused events, the newest first, without their bodies."""
        ...

    async def count_open(self, scope: Scope, *, limit: int) -> int:
        """Count open refused events, and stop at ``limit``."""
        ...

    async def begin_acceptance(self, refusal_id: int, client_id: int) -> int | None:
        """Record that an open refused event is about to be accepted for a client.

        Return the client of the first acceptance that was begun and not cancelled; when it is another client, nothing
        was recorded. None: the event is not open.
        """
        ...

    async def cancel_acceptance(self, refusal_id: int) -> None:
        """Forget one acceptance that was begun and stored no event."""
        ...

    async def accept(self, refusal_id: int, event_id: int, *, now_ms: int, limits: RefusalLimits = LIMITS) -> bool:
        """Record the event that an open refused event has become; return False when it is no longer open."""
        ...

    async def discard(
        self, refusal_id: int, reason: str | None, *, now_ms: int, limits: RefusalLimits = LIMITS
    ) -> bool:
        """Discard an open refused event; return False when it is no longer open or an acceptance has begun."""
        ...

    async def oldest_ms(self) -> int | None:
        """Return when the oldest one was refused, None when there is none."""
        ...

    async def expire(self, *, before_ms: int, limit: int) -> int:
        """Delete older ones, at most ``limit``; return how many."""
        ...


class ChangeStore(Protocol):
    """Data changes, the last known values of their rows, and the notifications that they raise."""

    async def known_rows(self, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], KnownRow]:
        """Return the last known values of those rows that have some, by (client, row key)."""
        ...

    async def first_changes(self, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], FirstChange]:
        """Return the stored change of each (client, idempotency key) that has one."""
        ...

    async def accept(
        self, batch: ChangeBatch, events: Sequence[NewEvent], *, config_version: int | None = None
    ) -> list[Accepted]:
        """Store changes, and the events that they raise with their deliveries, in one commit.

        Return an answer for each event, as ``JournalStore.accept`` does; an event that is a duplicate raises nothing.
        Raises ConfigChangedError, ChangesOutdatedError and PositionChangedError; then nothing was stored. While another
        node has locked the rows for a second, it raises StoreUnavailableError.
        """
        ...

    async def due(self, *, now_ms: int, limit: int) -> list[WaitingNotification]:
        """Return waiting notifications whose time has come: the clients take turns, each with its oldest due first."""
        ...

    async def next_due_ms(self) -> int | None:
        """Return when the next waiting notification is due, None when none waits."""
        ...

    async def end_waiting(self, setting_id: int, *, now_ms: int, limit: int) -> int:
        """Make notifications of a setting due that wait longer, at most ``limit``; return how many."""
        ...

    async def waiting(self, pairs: Sequence[tuple[int, str]]) -> dict[tuple[int, str], WaitingNotification]:
        """Return the notifications that wait, by (setting, subject)."""
        ...

    async def change(self, change_id: int, scope: Scope) -> StoredChange | None: ...

    async def changes(self, query: ChangeQuery, page: Page) -> list[StoredChange]:
        """Return changes, the newest first; with ``page.after`` the oldest first, above that id.

        Times are compared with those in the ids.
        """
        ...

    async def count_unmapped(self, scope: Scope, *, limit: int) -> int:
        """Count the changes of no entity, and stop at ``limit``."""
        ...

    async def raised_by(self, change_id: int, *, limit: int = RAISED_MAX) -> list[RaisedEvent]:
        """Return the first events whose newest values come from the change, by event."""
        ...

    async def raised_for(self, setting_id: int, subject: str, change_id: int) -> RaisedEvent | None:
        """Return the event that a change was merged into for a setting and subject, if it has been raised."""
        ...

    async def raised(self, event_id: int) -> RaisedEvent | None:
        """Return the changes that raised an event, None for an event that was published."""
        ...

    async def fields(self, client_id: int, entity: str) -> list[str]:
        """Return the names of the fields that changes of the entity had, in order; at most FIELDS_MAX are kept."""
        ...

    async def oldest_ms(self) -> int | None:
        """Return when the oldest change was accepted, None when there is none."""
        ...

    async def expire(self, *, before_ms: int, limit: int) -> int:
        """Delete older changes, at most ``limit``; return how many.

        Which changes raised an event stays known as long as the event.
        """
        ...

    async def forget_rows(self, client_id: int, entity: str, *, before_ms: int, limit: int) -> int:
        """Delete last known values that were written before a time, at most ``limit``; return how many.

        It is for entities that are no longer tracked: its cost grows with the rows of the entity that are newer.
        """
        ...

    async def row_entities(self) -> list[tuple[int, str]]:
        """Return each (client, entity) of which last known values are kept; the cost grows with these pairs."""
        ...


class ChangeSettingStore(Protocol):
    """Event settings and change sources. Each change raises the config version."""

    async def put_setting(self, setting: EventSetting, *, expected_revision: int | None = None) -> int:
        """Insert or change a setting, and keep it as a revision; return the new config version, its revision.

        Raises SettingChangedError when ``expected_revision`` is given and is no longer the setting's, and
        SettingExistsError when another setting that is not deleted has its client, application, type and entity.
        """
        ...

    async def settings(self, *, since_version: int = 0) -> list[EventSetting]:
        """Return every setting changed after that config version as it is now, deleted ones included, by id."""
        ...

    async def settings_at(self, client_id: int, config_version: int) -> list[EventSetting]:
        """Return the client's settings as they were at a config version (those created later are absent)."""
        ...

    async def put_source(self, source: ChangeSource, *, is_new: bool = False) -> int:
        """Insert or change a source; return the new config version.

        Raises SourceExistsError when it should be new and is not.
        """
        ...

    async def delete_source(self, name: str) -> int:
        """Delete a source with its position; return the new config version."""
        ...

    async def source_revisions(self) -> dict[str, int]:
        """Return the revision of each source by its name."""
        ...

    async def sources(self, names: Sequence[str] | None = None) -> list[ChangeSource]:
        """Return those of the sources that exist, by name; every source without ``names``."""
        ...

    async def source_states(self) -> dict[str, SourceState]:
        """Return how far each source has been read, by name."""
        ...

    async def report_source(self, name: str, report: str, *, now_ms: int) -> None:
        """Keep what the reader of a source reports about itself. It does not raise the config version."""
        ...

    async def reset_position(self, name: str, position: str | None) -> None:
        """Set or forget the position of a source, as a person asked. It does not raise the config version."""
        ...


class MaintenanceStore(Protocol):
    """What runs in the background: recounts, retention, the text index, set clocks."""

    async def verify_counts(self, *, after_id: int, limit: int) -> CountCheck:
        """Recount the deliveries of the next events; the cursor returns to 0 at the end of the journal."""
        ...

    async def oldest_ms(self) -> int | None:
        """Return when the oldest event was accepted, None for an empty journal."""
        ...

    async def expire(self, *, before_ms: int, limit: int) -> int:
        """Delete older events with everything that belongs to them, but none with a pending delivery.

        Return how many events were deleted.
        """
        ...

    async def shift_due(self, by_ms: int) -> None:
        """Move every due time and lease by so much: the wall clock was set."""
        ...

    async def index_text(self, limit: int) -> int:
        """Add the next events to the text index; return how many."""
        ...


class Store(Protocol):
    """A database, by role.

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
    def contract(self) -> ContractStore: ...

    @property
    def history(self) -> HistoryStore: ...

    @property
    def activity(self) -> ActivityStore: ...

    @property
    def audit_log(self) -> AuditLogStore: ...

    @property
    def refusals(self) -> RefusalStore: ...

    @property
    def changes(self) -> ChangeStore: ...

    @property
    def change_settings(self) -> ChangeSettingStore: ...

    @property
    def maintenance(self) -> MaintenanceStore: ...

    async def open(self) -> None:
        """Check the engine, migrate, release the claims of former runs. Raises StoreRefusedError with the remedy."""
        ...

    async def close(self) -> None:
        """Finish the calls under way, then close. Idempotent."""
        ...

    async def info(self) -> StoreInfo: ...

    async def failed(self) -> StoreBrokenError:
        """Return once the store is broken for good, with the reason; until then wait."""
        ...

    @property
    def run_id(self) -> int:
        """The fencing token of this run: every claim made through this object carries it."""
        ...

    @property
    def nodes(self) -> int:
        """How many nodes share this store now, this one included; it may lag by a second or two."""
        ...

    async def last_id(self) -> int:
        """Return the largest id ever stored, 0 for an empty store."""
        ...
