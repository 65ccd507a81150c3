"""SqliteStore: the store port on one SQLite file."""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self, TypeVar

import apsw
import msgspec
import structlog

from commerce_event.core.clock import Clock, SystemClock
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
    StoreInfo,
    StoreUnavailableError,
)
from commerce_event.store.sqlite import (
    activity,
    audit_log,
    bulk_lookups,
    files,
    history,
    maintenance,
    registry,
    work_queue,
)
from commerce_event.store.sqlite.checkpoints import Checkpointer
from commerce_event.store.sqlite.journal import Journal
from commerce_event.store.sqlite.readers import Readers
from commerce_event.store.sqlite.sql import only, run
from commerce_event.store.sqlite.writer import Writer, translate

T = TypeVar("T")

_READERS: Final = 2

log = structlog.get_logger(__name__)


class SqliteStore:
    """The embedded engine. Writes go through one thread, reads through a few connections of their own."""

    def __init__(self, path: Path, *, clock: Clock | None = None) -> None:
        self.on_notice: Callable[[Notice], None] | None = None  # there is no other node
        self._path = path.resolve()  # a link to a file leads to its lock, too
        self._clock = clock or SystemClock()
        self._lock = files.FileLock(self._path)
        self._connection: apsw.Connection | None = None  # the writer's
        self._writer: Writer | None = None
        self._readers: Readers | None = None
        self._queue_reader: Readers | None = None  # so that no search keeps a delivery waiting
        self._journal = Journal(0)
        self._run_id = 0
        self._schema = 0
        self._expired_to = 0
        self._unclean_starts = 0

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
        await asyncio.to_thread(self._open)

    def _open(self) -> None:
        files.check_engine()
        files.check_place(self._path)
        self._lock.take()
        try:
            with files.refusals(self._path):
                connection = self._connection = files.open_writer(self._path)
                self._schema = files.migrate(connection, self._path)
                files.copy_log(connection)
                here = files.Identity(self._path)
                with connection:
                    self._run_id = int(only(run(connection, "bump", ("run",))))
                    if isinstance(self._clock, SystemClock):
                        maintenance.go_on_with_clock(connection, self._clock)
                    taken_back = work_queue.take_back_former_leases(connection, self._clock.now_ms())
                    self._unclean_starts = maintenance.begin_run(connection)
        except BaseException:
            self._let_go()
            raise
        if taken_back:
            log.warning("the former run did not end properly", deliveries_due_again=taken_back)
        self._journal = Journal(self._run_id)
        self._checkpointer = Checkpointer(self._path, connection, self._note)
        self._writer = Writer(
            connection,
            on_rollback=self._journal.forget,
            check=here.check,
            after_commit=self._checkpointer.after_commit,
        )
        self._readers = Readers(self._path, _READERS, name="store-reader", on_error=self._note)
        self._queue_reader = Readers(self._path, 1, name="store-queue-reader", on_error=self._note)

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        if self._writer is not None and self._connection is not None:
            self._writer.close()
            self._checkpointer.close()
            if not self._writer.failure.done():
                with suppress(apsw.Error):  # a full disk, say: the next start counts it
                    maintenance.end_run(self._connection)
            self._writer = None
        for readers in (self._readers, self._queue_reader):
            if readers is not None:
                readers.close()
        self._readers = self._queue_reader = None
        self._let_go()

    def _let_go(self) -> None:
        if self._connection is not None:  # the last one: only it can put the log into the file
            self._connection.close(True)
            self._connection = None
        self._lock.release()

    async def failed(self) -> StoreBrokenError:
        failure = asyncio.wrap_future(_opened(self._writer).failure)
        return await asyncio.shield(failure)  # whoever stops waiting breaks nothing

    @property
    def run_id(self) -> int:
        return self._run_id

    @property
    def nodes(self) -> int:
        return 1

    async def info(self) -> StoreInfo:
        return await self._read(lambda _: self._info())

    def _info(self) -> StoreInfo:
        names = (self._path, self._path.with_name(self._path.name + "-wal"))
        return StoreInfo(
            engine="sqlite",
            version=apsw.sqlite_lib_version(),
            location=str(self._path),
            schema_version=self._schema,
            durability="WAL, synchronous=FULL",
            size_bytes=sum(name.stat().st_size for name in names if name.exists()),
            free_bytes=shutil.disk_usage(self._path.parent).free,
            unclean_starts=self._unclean_starts,
        )

    async def last_id(self) -> int:
        return await self._read(maintenance.last_id)

    # -- how calls reach the file

    async def _write(self, work: Callable[[apsw.Connection], T], *, insist: bool = False) -> T:
        return await _opened(self._writer).do(work, insist=insist)

    async def _read(self, work: Callable[[apsw.Connection], T]) -> T:
        return await _opened(self._readers).do(work)

    def _note(self, error: apsw.Error) -> None:
        """Take note of what went wrong outside the writer: a damaged file ends the store, whoever met it."""
        translated = translate(error)
        if isinstance(translated, StoreBrokenError) and self._writer is not None:
            self._writer.fail(translated)

    # -- journal

    async def accept(self, events: Sequence[NewEvent], *, config_version: int | None = None) -> list[Accepted]:
        return await self._write(lambda c: self._journal.accept(c, events, config_version))

    # -- queue

    async def backlog(self) -> list[EndpointBacklog]:
        return await _opened(self._queue_reader).do(work_queue.waiting)

    async def claim(self, wants: Sequence[ClaimRequest], *, now_ms: int, lease_until_ms: int) -> list[Claimed]:
        return await self._write(
            lambda c: work_queue.claim(c, wants, run_id=self._run_id, now_ms=now_ms, lease_until_ms=lease_until_ms)
        )

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        return await self._write(lambda c: work_queue.settle(c, settlements))

    async def release_claims(self, claimed: Sequence[Claimed], *, now_ms: int) -> None:
        await self._write(lambda c: work_queue.release_claims(c, claimed, now_ms=now_ms))

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
        return await self._write(
            lambda c: work_queue.finish_pending(
                c, endpoint_id, state=state, reason=reason, now_ms=now_ms, limit=limit, revision=revision
            )
        )

    async def requeue(
        self, delivery_ids: Sequence[int], *, now_ms: int, replay: Replay | None = None, read: int | None = None
    ) -> int:
        def work(connection: apsw.Connection) -> int:
            if replay is not None and not registry.put_replay(connection, replay, read=read):
                return 0
            replay_id = None if replay is None else replay.id
            count = work_queue.requeue(connection, delivery_ids, now_ms=now_ms, replay_id=replay_id)
            if replay is not None:
                done = msgspec.structs.replace(replay, queued=replay.queued + count)
                registry.put_replay(connection, done, read=None)
            return count

        return await self._write(work)

    async def cancel(self, delivery_ids: Sequence[int], *, reason: str, now_ms: int) -> int:
        return await self._write(lambda c: work_queue.cancel(c, delivery_ids, reason=reason, now_ms=now_ms))

    async def add_deliveries(
        self,
        deliveries: Sequence[NewDelivery],
        event_ids: Sequence[int],
        *,
        replay: Replay,
        now_ms: int,
        read: int | None = None,
    ) -> None:
        def work(connection: apsw.Connection) -> None:
            if registry.put_replay(connection, replay, read=read):
                work_queue.add_deliveries(connection, deliveries, event_ids, replay=replay, now_ms=now_ms)

        await self._write(work)

    # -- directory

    async def put_endpoint(self, row: EndpointRow, *, read: int | None = None) -> int:
        return await self._write(lambda c: registry.put_endpoint(c, row, read=read))

    async def endpoints(self, *, since_version: int = 0) -> list[EndpointRow]:
        return await self._read(lambda c: registry.endpoints(c, since_version))

    async def endpoint_revisions(self, client_id: int, config_version: int) -> list[EndpointRow]:
        return await self._read(lambda c: registry.endpoint_revisions(c, client_id, config_version))

    async def config_version(self) -> int:
        return await _opened(self._queue_reader).do(registry.config_version)

    async def put_key(self, key: Key) -> int:
        return await self._write(lambda c: registry.put_key(c, key))

    async def keys(self) -> list[Key]:
        return await self._read(registry.keys)

    async def end_session(self, session_id: str, *, ends_ms: int, now_ms: int) -> int:
        return await self._write(lambda c: registry.end_session(c, session_id, ends_ms=ends_ms, now_ms=now_ms))

    async def ended_sessions(self) -> frozenset[str]:
        return await self._read(registry.ended_sessions)

    # -- audit log

    async def add_audit_entry(self, entry: AuditEntry) -> None:
        await self._write(lambda c: audit_log.add(c, entry))

    async def audit_entries(self, scope: Scope, page: Page, *, target: str | None = None) -> list[AuditEntry]:
        return await self._read(lambda c: audit_log.entries(c, scope, page, target=target))

    # -- replays

    async def put_replay(self, replay: Replay, *, read: int | None = None) -> None:
        await self._write(lambda c: registry.put_replay(c, replay, read=read))

    async def replay(self, replay_id: int) -> Replay | None:
        return await self._read(lambda c: history.replay(c, replay_id))

    async def replays(self, scope: Scope, page: Page, *, running: bool = False) -> list[Replay]:
        return await self._read(lambda c: history.replays(c, scope, page, running=running))

    async def replay_states(self, replay_id: int) -> dict[DeliveryState, int]:
        return await self._read(lambda c: dict(run(c, "replay_states", (replay_id,))))

    # -- history

    async def event(self, event_id: int, scope: Scope) -> Event | None:
        return await self._read(lambda c: history.event(c, event_id, scope))

    async def events(self, query: EventQuery, page: Page) -> list[Event]:
        return await self._read(lambda c: history.events(c, query, page))

    async def events_after(self, client_id: int, sequence: int, limit: int) -> list[Event]:
        return await self._read(lambda c: history.events_after(c, client_id, sequence, limit))

    async def events_between(
        self, client_id: int, *, after_id: int, until_ms: int, types: Sequence[str], limit: int
    ) -> list[Event]:
        return await self._read(
            lambda c: history.events_between(
                c, client_id, after_id=after_id, until_ms=until_ms, types=types, limit=limit
            )
        )

    async def delivery(self, delivery_id: int, scope: Scope) -> Delivery | None:
        return await self._read(lambda c: history.delivery(c, delivery_id, scope))

    async def deliveries(self, query: DeliveryQuery, page: Page) -> list[Delivery]:
        return await self._read(lambda c: history.deliveries(c, query, page))

    async def attempts(self, delivery_id: int) -> list[Attempt]:
        return await self._read(lambda c: history.attempts(c, delivery_id))

    async def recent_attempts(self, endpoint_id: int, limit: int) -> list[Attempt]:
        return await self._read(lambda c: history.recent_attempts(c, endpoint_id, limit))

    async def dead_groups(self, scope: Scope, *, endpoint_id: int | None, limit: int) -> list[DeadGroup]:
        return await self._read(lambda c: history.dead_groups(c, scope, endpoint_id=endpoint_id, limit=limit))

    async def delivery_counts(self, scope: Scope, *, recount: bool = False) -> list[DeliveryCounts]:
        return await self._read(lambda c: history.books(c, scope, recount=recount))

    # -- beside the rows of a list

    async def events_by_id(self, event_ids: Sequence[int], scope: Scope) -> dict[int, Event]:
        return await self._read(lambda c: bulk_lookups.events_by_id(c, event_ids, scope))

    async def delivery_states(self, event_ids: Sequence[int], scope: Scope) -> dict[int, dict[DeliveryState, int]]:
        return await self._read(lambda c: bulk_lookups.delivery_states(c, event_ids, scope))

    async def last_attempts(self, delivery_ids: Sequence[int]) -> dict[int, Attempt]:
        return await self._read(lambda c: bulk_lookups.last_attempts(c, delivery_ids))

    async def count_deliveries(self, query: DeliveryQuery, *, limit: int) -> int:
        return await self._read(lambda c: bulk_lookups.count_deliveries(c, query, limit=limit))

    async def replays_with(self, replay_ids: Sequence[int], state: DeliveryState) -> set[int]:
        return await self._read(lambda c: bulk_lookups.replays_with(c, replay_ids, state))

    # -- activity

    async def add_activity(self, rows: Sequence[Activity], *, now_ms: int) -> None:
        await self._write(lambda c: activity.add(c, rows, now_ms=now_ms))

    async def activity(
        self, scope: Scope, *, step_s: int, since_ms: int, endpoint_id: int | None = None
    ) -> list[Activity]:
        return await self._read(
            lambda c: activity.read(c, scope, step_s=step_s, since_ms=since_ms, endpoint_id=endpoint_id)
        )

    async def activity_by_endpoint(self, scope: Scope, *, step_s: int, since_ms: int) -> list[Activity]:
        return await self._read(lambda c: activity.read_by_endpoint(c, scope, step_s=step_s, since_ms=since_ms))

    # -- upkeep

    async def verify_counts(self, *, after_id: int, limit: int) -> Audit:
        return await self._read(lambda c: maintenance.audit(c, after_id=after_id, limit=limit))

    async def oldest_ms(self) -> int | None:
        return await self._read(maintenance.oldest_ms)

    async def expire(self, *, before_ms: int, limit: int) -> int:
        after_id = self._expired_to  # what an earlier step passed over is pending still
        ids = await self._read(lambda c: maintenance.expired(c, after_id=after_id, before_ms=before_ms, limit=limit))
        self._expired_to = ids[-1] if len(ids) == limit else 0
        return await self._write(lambda c: maintenance.delete(c, ids)) if ids else 0

    async def shift_due(self, by_ms: int) -> None:
        """Move what is written before this call, and nothing that comes later: while it cannot be done, all wait."""
        await self._write(lambda c: maintenance.shift_due(c, by_ms, self._clock), insist=True)

    async def index_text(self, limit: int) -> int:
        return await self._write(lambda c: maintenance.index_text(c, limit))


def _opened(part: T | None) -> T:
    """Return a part that an open store has."""
    if part is None:
        raise StoreUnavailableError("the store is closed")
    return part
