"""PostgresStore: the store port on one PostgreSQL database that several nodes share."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Self

import asyncpg
import msgspec

from commerce_event.core.clock import Clock, SharedClock
from commerce_event.core.model import Attempt, AuditEntry, Delivery, DeliveryState, Event, Key, Replay, Scope
from commerce_event.store.port import (
    Accepted,
    Activity,
    Audit,
    Claimed,
    ClaimRequest,
    DeadGroup,
    DeliveryCounts,
    DeliveryQuery,
    EndpointBacklog,
    EndpointRow,
    EventQuery,
    NewDelivery,
    NewEvent,
    Notice,
    Page,
    Settlement,
    StoreBrokenError,
    StoreBusyError,
    StoreInfo,
    StoreUnavailableError,
)
from commerce_event.store.postgres import (
    activity,
    audit_log,
    bulk_lookups,
    history,
    journal,
    maintenance,
    registry,
    work_queue,
)
from commerce_event.store.postgres.cluster import Presence
from commerce_event.store.postgres.connections import Address, check_server, durability, let_go
from commerce_event.store.postgres.executor import Calls
from commerce_event.store.postgres.migration_record import refuse_half_moved
from commerce_event.store.postgres.retention import Retention
from commerce_event.store.postgres.schema import migrate
from commerce_event.store.postgres.sql import Connection, run
from commerce_event.store.postgres.vacuum import Sweeper, sweep

_LOST_AFTER_S: Final = 5.0  # longer than a node takes to come back that was cut off
_SLOTS: Final = 8  # rows of an account are at most twice as many


class PostgresStore:
    """The engine of many nodes. Every call is a transaction of its own.

    ``on_notice`` is called on the event loop when another node made work ("work") or changed endpoints or keys
    ("config"), and after this node was cut off from the database for a while.
    """

    def __init__(self, url: str, *, clock: Clock | None = None, lost_after_s: float = _LOST_AFTER_S) -> None:
        """A SharedClock follows the database's; what a node was sending is due again ``lost_after_s`` after its end.

        Raises StoreRefusedError when ``url`` is no address of a PostgreSQL database.
        """
        self.on_notice: Callable[[Notice], None] | None = None
        self._address = Address(url)
        self._clock = clock or SharedClock()
        self._presence = Presence(self._address, self._clock, self._on_notice, lost_after_s=lost_after_s)
        self._calls = Calls()
        self._sweeper = Sweeper(lambda: self._calls.step(sweep))
        self._retention = Retention(self._clock, self._calls)
        self._version = ""
        self._schema = 0

    @property
    def journal(self) -> Self:
        return self

    @property
    def queue(self) -> Self:
        return self

    @property
    def registry(self) -> Self:
        return self

    @property
    def history(self) -> Self:
        return self

    @property
    def maintenance(self) -> Self:
        return self

    # -- life

    async def open(self) -> None:
        """Check the server, migrate, join the other nodes. Raises StoreRefusedError with the remedy."""
        with self._address.refusals():
            connection = await self._address.connect()
            try:
                self._version = await check_server(connection, self._address)
                await refuse_half_moved(connection, self._address)
                self._schema = await self._migrated()
                await self._presence.enter(connection)
                await self._calls.open(self._address)
            except BaseException:
                await self._let_go()
                await let_go(connection)
                raise

    async def _migrated(self) -> int:
        patient = await self._address.patient_connection()  # an index of a large table takes as long as it takes
        try:
            return await migrate(patient, self._address)
        finally:
            await let_go(patient)

    async def close(self) -> None:
        await self._calls.finish()
        await self._let_go()

    async def _let_go(self) -> None:
        await self._presence.leave()
        await self._calls.let_go()

    async def failed(self) -> StoreBrokenError:
        return await self._calls.failed()

    @property
    def run_id(self) -> int:
        return self._presence.run

    @property
    def nodes(self) -> int:
        return self._presence.nodes

    async def info(self) -> StoreInfo:
        async def work(connection: Connection) -> StoreInfo:
            return StoreInfo(
                engine="postgresql",
                version=self._version,
                location=str(self._address),
                schema_version=self._schema,
                durability=await durability(connection),
                size_bytes=await connection.fetchval("SELECT pg_database_size(current_database())"),
                free_bytes=None,
            )

        return await self._calls.look(work)

    async def last_id(self) -> int:
        return await self._calls.look(maintenance.last_id)

    def _on_notice(self, notice: str) -> None:
        if self.on_notice is not None and not self._calls.closed:
            self.on_notice("config" if notice == "config" else "work")

    # Accepting and finishing enter different rows of the accounts, and so do different nodes.

    @property
    def _opening_slot(self) -> int:
        return self.run_id % _SLOTS * 2

    @property
    def _ending_slot(self) -> int:
        return self._opening_slot + 1

    # -- journal

    async def accept(self, events: Sequence[NewEvent], *, config_version: int | None = None) -> list[Accepted]:
        async def work(connection: Connection) -> list[Accepted]:
            try:
                return await journal.accept(
                    connection, events, config_version=config_version, run_id=self.run_id, slot=self._opening_slot
                )
            except asyncpg.LockNotAvailableError:
                raise StoreBusyError({event.client_id for event in events}) from None

        try:
            answers = await self._calls.change(work)
        except StoreBusyError as error:
            clients = error.clients
            held = await self._calls.step(lambda c: journal.held_clients(c, clients))
            raise StoreBusyError(held or clients) from None
        if any(delivery.lease_until_ms is None for event in events for delivery in event.deliveries):
            self._presence.tell("work")
        return answers

    # -- queue

    async def backlog(self) -> list[EndpointBacklog]:
        return await self._calls.step(work_queue.waiting)

    async def claim(self, wants: Sequence[ClaimRequest], *, now_ms: int, lease_until_ms: int) -> list[Claimed]:
        claimed, damaged = await self._calls.step(
            lambda c: work_queue.claim(c, wants, run_id=self.run_id, now_ms=now_ms, lease_until_ms=lease_until_ms)
        )
        if damaged:
            with suppress(StoreUnavailableError):  # the next claim finds them again
                await self._calls.change(
                    lambda c: work_queue.end_damaged(c, damaged, now_ms=now_ms, slot=self._ending_slot)
                )
        return claimed

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        ours, released = await self._calls.change(lambda c: work_queue.settle(c, settlements, slot=self._ending_slot))
        self._sweeper.settled(len(settlements))
        if released:
            self._presence.tell("work")
        return ours

    async def release_claims(self, claimed: Sequence[Claimed], *, now_ms: int) -> None:
        await self._calls.step(lambda c: work_queue.release_claims(c, claimed, now_ms=now_ms))
        self._presence.tell("work")

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
        return await self._calls.change(
            lambda c: work_queue.finish_pending(
                c,
                endpoint_id,
                state=state,
                reason=reason,
                now_ms=now_ms,
                limit=limit,
                revision=revision,
                slot=self._ending_slot,
            )
        )

    async def requeue(
        self, delivery_ids: Sequence[int], *, now_ms: int, replay: Replay | None = None, read: int | None = None
    ) -> int:
        async def work(connection: Connection) -> int:
            if replay is not None and not await registry.put_replay(connection, replay, read=read):
                return 0
            replay_id = None if replay is None else replay.id
            count = await work_queue.requeue(
                connection, delivery_ids, now_ms=now_ms, replay_id=replay_id, slot=self._opening_slot
            )
            if replay is not None:
                done = msgspec.structs.replace(replay, queued=replay.queued + count)
                await registry.put_replay(connection, done, read=None)
            return count

        count = await self._calls.change(work)
        self._presence.tell("work")
        return count

    async def cancel(self, delivery_ids: Sequence[int], *, reason: str, now_ms: int) -> int:
        count = await self._calls.change(
            lambda c: work_queue.cancel(c, delivery_ids, reason=reason, now_ms=now_ms, slot=self._ending_slot)
        )
        self._presence.tell("work")
        return count

    async def add_deliveries(
        self,
        deliveries: Sequence[NewDelivery],
        event_ids: Sequence[int],
        *,
        replay: Replay,
        now_ms: int,
        read: int | None = None,
    ) -> None:
        await self._calls.change(
            lambda c: work_queue.add_deliveries(
                c, deliveries, event_ids, replay=replay, now_ms=now_ms, read=read, slot=self._opening_slot
            )
        )
        self._presence.tell("work")

    # -- directory

    async def put_endpoint(self, row: EndpointRow, *, read: int | None = None) -> int:
        version = await self._calls.change(lambda c: registry.put_endpoint(c, row, read=read))
        self._presence.tell("config")
        return version

    async def endpoints(self, *, since_version: int = 0) -> list[EndpointRow]:
        return await self._calls.look(lambda c: registry.endpoints(c, since_version))

    async def endpoint_revisions(self, client_id: int, config_version: int) -> list[EndpointRow]:
        return await self._calls.look(lambda c: registry.endpoint_revisions(c, client_id, config_version))

    async def config_version(self) -> int:
        return await self._calls.look(registry.config_version)

    async def put_key(self, key: Key) -> int:
        version = await self._calls.change(lambda c: registry.put_key(c, key))
        self._presence.tell("config")
        return version

    async def keys(self) -> list[Key]:
        return await self._calls.look(registry.keys)

    async def end_session(self, session_id: str, *, ends_ms: int, now_ms: int) -> int:
        version = await self._calls.change(
            lambda c: registry.end_session(c, session_id, ends_ms=ends_ms, now_ms=now_ms)
        )
        self._presence.tell("config")
        return version

    async def ended_sessions(self) -> frozenset[str]:
        return await self._calls.look(registry.ended_sessions)

    # -- audit log

    async def add_audit_entry(self, entry: AuditEntry) -> None:
        await self._calls.change(lambda c: audit_log.add(c, entry))

    async def audit_entries(self, scope: Scope, page: Page, *, target: str | None = None) -> list[AuditEntry]:
        return await self._calls.look(lambda c: audit_log.entries(c, scope, page, target=target))

    # -- replays

    async def put_replay(self, replay: Replay, *, read: int | None = None) -> None:
        await self._calls.change(lambda c: registry.put_replay(c, replay, read=read))

    async def replay(self, replay_id: int) -> Replay | None:
        return await self._calls.look(lambda c: history.replay(c, replay_id))

    async def replays(self, scope: Scope, page: Page, *, running: bool = False) -> list[Replay]:
        return await self._calls.look(lambda c: history.replays(c, scope, page, running=running))

    async def replay_states(self, replay_id: int) -> dict[DeliveryState, int]:
        return await self._calls.look(lambda c: history.replay_states(c, replay_id))

    # -- history

    async def event(self, event_id: int, scope: Scope) -> Event | None:
        return await self._calls.look(lambda c: history.event(c, event_id, scope))

    async def events(self, query: EventQuery, page: Page) -> list[Event]:
        return await self._calls.look(lambda c: history.events(c, query, page))

    async def events_after(self, client_id: int, sequence: int, limit: int) -> list[Event]:
        return await self._calls.look(lambda c: history.events_after(c, client_id, sequence, limit))

    async def events_between(
        self, client_id: int, *, after_id: int, until_ms: int, types: Sequence[str], limit: int
    ) -> list[Event]:
        return await self._calls.look(
            lambda c: history.events_between(
                c, client_id, after_id=after_id, until_ms=until_ms, types=types, limit=limit
            )
        )

    async def delivery(self, delivery_id: int, scope: Scope) -> Delivery | None:
        return await self._calls.look(lambda c: history.delivery(c, delivery_id, scope))

    async def deliveries(self, query: DeliveryQuery, page: Page) -> list[Delivery]:
        return await self._calls.look(lambda c: history.deliveries(c, query, page))

    async def attempts(self, delivery_id: int) -> list[Attempt]:
        return await self._calls.look(lambda c: history.attempts(c, delivery_id))

    async def recent_attempts(self, endpoint_id: int, limit: int) -> list[Attempt]:
        return await self._calls.look(lambda c: history.recent_attempts(c, endpoint_id, limit))

    async def dead_groups(self, scope: Scope, *, endpoint_id: int | None, limit: int) -> list[DeadGroup]:
        return await self._calls.look(lambda c: history.dead_groups(c, scope, endpoint_id=endpoint_id, limit=limit))

    async def delivery_counts(self, scope: Scope, *, recount: bool = False) -> list[DeliveryCounts]:
        return await self._calls.look(lambda c: history.books(c, scope, recount=recount))

    # -- beside the rows of a list

    async def events_by_id(self, event_ids: Sequence[int], scope: Scope) -> dict[int, Event]:
        return await self._calls.look(lambda c: bulk_lookups.events_by_id(c, event_ids, scope))

    async def delivery_states(self, event_ids: Sequence[int], scope: Scope) -> dict[int, dict[DeliveryState, int]]:
        return await self._calls.look(lambda c: bulk_lookups.delivery_states(c, event_ids, scope))

    async def last_attempts(self, delivery_ids: Sequence[int]) -> dict[int, Attempt]:
        return await self._calls.look(lambda c: bulk_lookups.last_attempts(c, delivery_ids))

    async def count_deliveries(self, query: DeliveryQuery, *, limit: int) -> int:
        return await self._calls.look(lambda c: bulk_lookups.count_deliveries(c, query, limit=limit))

    async def replays_with(self, replay_ids: Sequence[int], state: DeliveryState) -> set[int]:
        return await self._calls.look(lambda c: bulk_lookups.replays_with(c, replay_ids, state))

    # -- activity

    async def add_activity(self, rows: Sequence[Activity], *, now_ms: int) -> None:
        await self._calls.change(lambda c: activity.add(c, rows, now_ms=now_ms))

    async def activity(
        self, scope: Scope, *, step_s: int, since_ms: int, endpoint_id: int | None = None
    ) -> list[Activity]:
        return await self._calls.look(
            lambda c: activity.read(c, scope, step_s=step_s, since_ms=since_ms, endpoint_id=endpoint_id)
        )

    async def activity_by_endpoint(self, scope: Scope, *, step_s: int, since_ms: int) -> list[Activity]:
        return await self._calls.look(lambda c: activity.read_by_endpoint(c, scope, step_s=step_s, since_ms=since_ms))

    # -- upkeep

    async def verify_counts(self, *, after_id: int, limit: int) -> Audit:
        return await self._calls.look(lambda c: maintenance.audit(c, after_id=after_id, limit=limit))

    async def oldest_ms(self) -> int | None:
        return await self._calls.look(maintenance.oldest_ms)

    async def expire(self, *, before_ms: int, limit: int) -> int:
        """Drop one whole week of events if one is past, whatever ``limit`` says; else delete one by one."""
        return await self._retention.expire(before_ms, limit)

    async def shift_due(self, by_ms: int) -> None:
        """Move due times with this node's clock while it is the only one; the clock of one of many is its own."""

        async def work(connection: Connection) -> None:
            if await self._presence.is_alone(connection):
                await run(connection, "shift_due", by_ms)

        await self._calls.change(work)

    async def index_text(self, limit: int) -> int:
        return await self._calls.change(lambda c: maintenance.index_text(c, limit))
