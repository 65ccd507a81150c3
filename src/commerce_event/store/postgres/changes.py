"""Data changes, the last known values of their rows, and the notifications that they raise."""

from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from commerce_event.core import ids
from commerce_event.core.changes.model import StoredChange
from commerce_event.core.model import Scope
from commerce_event.store import change_rows, row_mapping
from commerce_event.store.change_rows import RowId, RowWrites, check_count, index_key
from commerce_event.store.model import (
    RAISED_MAX,
    Accepted,
    ChangeBatch,
    ChangeQuery,
    FirstChange,
    KnownRow,
    NewEvent,
    Page,
    PositionWrite,
    RaisedEvent,
    RowWrite,
    WaitingNotification,
)
from commerce_event.store.port import ChangesOutdatedError, ConfigChangedError, StoreUnavailableError
from commerce_event.store.postgres.cluster import Cluster
from commerce_event.store.postgres.conditions import Conditions
from commerce_event.store.postgres.executor import Executor
from commerce_event.store.postgres.journal import has_unclaimed, store_events
from commerce_event.store.postgres.retention import remember_last_id
from commerce_event.store.postgres.sql import (
    Connection,
    by_name,
    columns,
    execute,
    fetch,
    fetch_column,
    fetch_value,
)

_KEY_INDEX: Final = "change_key"


class PostgresChanges:
    """The changes. Their events are stored as the journal does, in the same transaction.

    Transactions lock rows in one order: positions, last known values, idempotency keys, waiting notifications, fields,
    then what the journal locks; each of these in the order of its keys. So no two wait for each other.
    """

    def __init__(self, executor: Executor, cluster: Cluster) -> None:
        self._executor = executor
        self._cluster = cluster

    async def known_rows(self, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], KnownRow]:
        asked = {RowId.of(*key): key for key in keys}
        wanted = columns(list(asked), 3)
        rows = await self._executor.read(lambda connection: fetch(connection, "change_rows", *wanted))
        return change_rows.known_rows(rows, asked)

    async def first_changes(self, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], FirstChange]:
        wanted = columns(keys, 2)
        rows = await self._executor.read(lambda connection: fetch(connection, "changes_by_key", *wanted))
        return {(row.client_id, row.idempotency_key): change_rows.first_change(row, row.event_ids) for row in rows}

    async def accept(
        self, batch: ChangeBatch, events: Sequence[NewEvent], *, config_version: int | None = None
    ) -> list[Accepted]:
        """When another node has locked rows for too long, raise StoreUnavailableError at once: no other batch waits."""

        async def work(connection: Connection) -> list[Accepted]:
            try:
                return await self._accept(connection, batch, events, config_version)
            except asyncpg.LockNotAvailableError:
                raise StoreUnavailableError("another node has locked these rows; try again in a moment") from None
            except asyncpg.UniqueViolationError as error:
                if error.constraint_name == _KEY_INDEX:
                    raise ChangesOutdatedError from None
                raise

        answers = await self._executor.write(work)
        if has_unclaimed(events):
            self._cluster.tell("work")
        return answers

    async def _accept(
        self, connection: Connection, batch: ChangeBatch, events: Sequence[NewEvent], config_version: int | None
    ) -> list[Accepted]:
        if config_version is not None and await fetch_value(connection, "meta", "config_version") != config_version:
            raise ConfigChangedError
        await _write_positions(connection, batch.positions)
        await _write_rows(connection, batch.rows)
        if batch.changes:
            await execute(connection, "insert_changes", *columns(change_rows.change_rows(batch.changes), 9))
        if batch.released:
            released = columns(change_rows.released_rows(batch.released), 4)
            check_count(await fetch_value(connection, "release_waiting", *released), len(batch.released))
        if batch.waiting:
            await execute(connection, "put_waiting", *columns(change_rows.merge_waiting(batch.waiting), 10))
        if batch.fields:
            await _add_fields(connection, batch)
        if not events:
            return []
        answers = await store_events(connection, events, config_version=config_version, run_id=self._cluster.run_id)
        new_ids = frozenset([answer.id for answer in answers if answer.outcome == "new"])
        if raised := change_rows.raised_rows(batch.raised, new_ids):
            await execute(connection, "insert_raised", *columns(raised, 7))
        return answers

    async def due(self, *, now_ms: int, limit: int) -> list[WaitingNotification]:
        rows = await self._executor.read(lambda connection: fetch(connection, "due_waiting", now_ms, limit))
        return [change_rows.waiting(row) for row in rows]

    async def next_due_ms(self) -> int | None:
        found: int | None = await self._executor.read(lambda connection: fetch_value(connection, "next_waiting_ms"))
        return found

    async def end_waiting(self, setting_id: int, *, now_ms: int, limit: int) -> int:
        async def work(connection: Connection) -> int:
            return len(await fetch_column(connection, "end_waiting", setting_id, now_ms, limit))

        return await self._executor.write(work)

    async def waiting(self, pairs: Sequence[tuple[int, str]]) -> dict[tuple[int, str], WaitingNotification]:
        asked = {(setting_id, index_key(subject)): (setting_id, subject) for setting_id, subject in pairs}
        wanted = columns(list(asked), 2)
        rows = await self._executor.read(lambda connection: fetch(connection, "waiting", *wanted))
        return {asked[row.setting_id, row.subject]: change_rows.waiting(row) for row in rows}

    async def change(self, change_id: int, scope: Scope) -> StoredChange | None:
        rows = await self._executor.read(lambda connection: fetch(connection, "change", change_id))
        found = [change_rows.stored_change(row) for row in rows if scope.allows(row.client_id)]
        return found[0] if found else None

    async def changes(self, query: ChangeQuery, page: Page) -> list[StoredChange]:
        clients = query.scope.sorted_ids
        looks = [_listing(query, page, client_id) for client_id in ([None] if clients is None else clients)]

        async def work(connection: Connection) -> list[StoredChange]:
            rows = [row for sql, values in looks for row in by_name(await connection.fetch(sql, *values))]
            rows.sort(key=lambda row: row.id, reverse=page.after is None)
            return [change_rows.stored_change(row) for row in rows[: page.limit]]

        return await self._executor.read_snapshot(work)

    async def count_unmapped(self, scope: Scope, *, limit: int) -> int:
        where = Conditions()
        where.add_scope(scope, "client_id")
        place = where.place(limit)
        sql = f"SELECT count(*) FROM (SELECT FROM change WHERE entity IS NULL AND {where.sql} LIMIT {place}) AS found"
        return int(await self._executor.read(lambda connection: connection.fetchval(sql, *where.values)))

    async def raised_by(self, change_id: int, *, limit: int = RAISED_MAX) -> list[RaisedEvent]:
        rows = await self._executor.read(lambda connection: fetch(connection, "raised_by", change_id, limit))
        return [change_rows.raised(row) for row in rows]

    async def raised_for(self, setting_id: int, subject: str, change_id: int) -> RaisedEvent | None:
        return await self._raised("raised_for", setting_id, index_key(subject), change_id)

    async def raised(self, event_id: int) -> RaisedEvent | None:
        return await self._raised("raised", event_id)

    async def _raised(self, statement: str, *values: Any) -> RaisedEvent | None:
        rows = await self._executor.read(lambda connection: fetch(connection, statement, *values))
        return change_rows.raised(rows[0]) if rows else None

    async def fields(self, client_id: int, entity: str) -> list[str]:
        rows = await self._executor.read(lambda connection: fetch(connection, "change_fields", [client_id], [entity]))
        return [row.name for row in rows]

    async def oldest_ms(self) -> int | None:
        found: int | None = await self._executor.read(lambda connection: fetch_value(connection, "oldest_change_ms"))
        return found

    async def expire(self, *, before_ms: int, limit: int) -> int:
        async def work(connection: Connection) -> int:
            await remember_last_id(connection)
            return len(await fetch_column(connection, "delete_old_changes", ids.at_time(before_ms), limit))

        return await self._executor.write(work)

    async def forget_rows(self, client_id: int, entity: str, *, before_ms: int, limit: int) -> int:
        return await self._executor.write(
            lambda connection: _forget_rows(connection, client_id, entity, before_ms, limit)
        )

    async def row_entities(self) -> list[tuple[int, str]]:
        rows = await self._executor.read(lambda connection: fetch(connection, "row_entities"))
        return [(row.client_id, row.entity) for row in rows]


async def _write_positions(connection: Connection, positions: Sequence[PositionWrite]) -> None:
    if not positions:
        return
    ordered = sorted(positions, key=lambda each: each.source)
    sources = [each.source for each in ordered]
    stored = {row.source: row.position for row in await fetch(connection, "lock_source_positions", sources)}
    change_rows.check_positions(positions, stored)
    await execute(connection, "put_source_positions", sources, [each.position for each in ordered])


async def _write_rows(connection: Connection, rows: Sequence[RowWrite]) -> None:
    """Write rows, or raise ChangesOutdatedError.

    All rows that exist are locked before any is added: a transaction that adds a row waits for one that changes it, and
    must not be waited for by that one.
    """
    writes = RowWrites(rows)
    if writes.absent:
        check_count(len(await fetch(connection, "change_rows", *columns(writes.absent, 3))), 0)
    if writes.expected:
        locked = await fetch_value(connection, "lock_change_rows", *columns(writes.expected, 4))
        check_count(locked, len(writes.expected))
    if writes.added:
        check_count(await fetch_value(connection, "add_change_rows", *columns(writes.added, 6)), len(writes.added))
    if writes.changed:
        await execute(connection, "put_change_rows", *columns(writes.changed, 6))
    if writes.deleted:
        await execute(connection, "delete_change_rows", *columns(writes.deleted, 3))


async def _add_fields(connection: Connection, batch: ChangeBatch) -> None:
    pairs = list({field[:2] for field in batch.fields})
    added = change_rows.new_fields(batch, await fetch(connection, "change_fields", *columns(pairs, 2)))
    if added:
        await execute(connection, "insert_change_fields", *columns(added, 3))


async def _forget_rows(connection: Connection, client_id: int, entity: str, before_ms: int, limit: int) -> int:
    return len(await fetch_column(connection, "forget_change_rows", client_id, entity, before_ms, limit))


def _listing(query: ChangeQuery, page: Page, client_id: int | None) -> tuple[str, list[Any]]:
    """Return the statement for changes of one client, or of all, and its values."""
    where = Conditions()
    where.add_changes(query, page, client_id)
    order = "DESC" if page.after is None else "ASC"
    limit = where.place(page.limit)
    sql = f"SELECT {row_mapping.CHANGE} FROM change WHERE {where.sql} ORDER BY id {order} LIMIT {limit}"
    return sql, where.values
