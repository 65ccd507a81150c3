"""Data changes, the last known values of their rows, and the notifications that they raise."""

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

import apsw
import msgspec

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
    RaisedEvent,
    RowWrite,
    WaitingNotification,
)
from commerce_event.store.port import ChangesOutdatedError
from commerce_event.store.sqlite.access import Access
from commerce_event.store.sqlite.conditions import Conditions
from commerce_event.store.sqlite.journal import SqliteJournal, check_config_version
from commerce_event.store.sqlite.maintenance import remember_last_id
from commerce_event.store.sqlite.sql import (
    by_name,
    fetch,
    fetch_column,
    fetch_rows,
    fetch_value,
    write_rows,
)

_event_ids: Final = msgspec.json.Decoder(list[int])


class SqliteChanges:
    """The changes. Their events are stored by the journal, in the same transaction."""

    def __init__(self, access: Access, journal: SqliteJournal) -> None:
        self._access = access
        self._journal = journal

    async def known_rows(self, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], KnownRow]:
        asked = {RowId.of(*key): key for key in keys}
        return await self._access.read(
            lambda connection: change_rows.known_rows(fetch_rows(connection, "change_rows", list(asked)), asked)
        )

    async def first_changes(self, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], FirstChange]:
        return await self._access.read(
            lambda connection: {
                (row.client_id, row.idempotency_key): change_rows.first_change(row, _event_ids.decode(row.event_ids))
                for row in fetch_rows(connection, "changes_by_key", keys)
            }
        )

    async def accept(
        self, batch: ChangeBatch, events: Sequence[NewEvent], *, config_version: int | None = None
    ) -> list[Accepted]:
        def work(connection: apsw.Connection) -> list[Accepted]:
            check_config_version(connection, config_version)
            _write_positions(connection, batch)
            _write_rows(connection, batch.rows)
            _insert_changes(connection, batch)
            _release(connection, batch.released)
            write_rows(connection, "put_waiting", change_rows.merge_waiting(batch.waiting))
            _add_fields(connection, batch)
            answers = self._journal.store_events(connection, events, None) if events else []
            new_ids = frozenset([answer.id for answer in answers if answer.outcome == "new"])
            write_rows(connection, "insert_raised", change_rows.raised_rows(batch.raised, new_ids))
            return answers

        return await self._access.write(work)

    async def due(self, *, now_ms: int, limit: int) -> list[WaitingNotification]:
        return await self._access.read(
            lambda connection: [change_rows.waiting(row) for row in fetch(connection, "due_waiting", now_ms, limit)]
        )

    async def next_due_ms(self) -> int | None:
        return await self._access.read(lambda connection: fetch_value(connection, "next_waiting_ms"))

    async def end_waiting(self, setting_id: int, *, now_ms: int, limit: int) -> int:
        return await self._access.write(
            lambda connection: len(fetch_column(connection, "end_waiting", now_ms, setting_id, now_ms, limit))
        )

    async def waiting(self, pairs: Sequence[tuple[int, str]]) -> dict[tuple[int, str], WaitingNotification]:
        asked = {(setting_id, index_key(subject)): (setting_id, subject) for setting_id, subject in pairs}
        return await self._access.read(
            lambda connection: {
                asked[row.setting_id, row.subject]: change_rows.waiting(row)
                for row in fetch_rows(connection, "waiting", list(asked))
            }
        )

    async def change(self, change_id: int, scope: Scope) -> StoredChange | None:
        def work(connection: apsw.Connection) -> StoredChange | None:
            found = [row for row in fetch(connection, "change", change_id) if scope.allows(row.client_id)]
            return change_rows.stored_change(found[0]) if found else None

        return await self._access.read(work)

    async def changes(self, query: ChangeQuery, page: Page) -> list[StoredChange]:
        return await self._access.read_snapshot(lambda connection: list_changes(connection, query, page))

    async def count_unmapped(self, scope: Scope, *, limit: int) -> int:
        where = Conditions()
        where.add_scope(scope, "client_id")
        sql = f"SELECT count(*) FROM (SELECT 1 FROM change WHERE entity IS NULL AND {where.sql} LIMIT ?)"
        values = (*where.values, limit)
        return await self._access.read(lambda connection: int(connection.execute(sql, values).get))

    async def raised_by(self, change_id: int, *, limit: int = RAISED_MAX) -> list[RaisedEvent]:
        return await self._access.read(
            lambda connection: [change_rows.raised(row) for row in fetch(connection, "raised_by", change_id, limit)]
        )

    async def raised_for(self, setting_id: int, subject: str, change_id: int) -> RaisedEvent | None:
        return await self._raised("raised_for", setting_id, index_key(subject), change_id)

    async def raised(self, event_id: int) -> RaisedEvent | None:
        return await self._raised("raised", event_id)

    async def _raised(self, statement: str, *values: Any) -> RaisedEvent | None:
        def work(connection: apsw.Connection) -> RaisedEvent | None:
            found = [change_rows.raised(row) for row in fetch(connection, statement, *values)]
            return found[0] if found else None

        return await self._access.read(work)

    async def fields(self, client_id: int, entity: str) -> list[str]:
        return await self._access.read(
            lambda connection: [row.name for row in fetch(connection, "change_fields", client_id, entity)]
        )

    async def oldest_ms(self) -> int | None:
        return await self._access.read(lambda connection: fetch_value(connection, "oldest_change_ms"))

    async def expire(self, *, before_ms: int, limit: int) -> int:
        def work(connection: apsw.Connection) -> int:
            remember_last_id(connection)
            return len(fetch_column(connection, "delete_old_changes", ids.at_time(before_ms), limit))

        return await self._access.write(work)

    async def forget_rows(self, client_id: int, entity: str, *, before_ms: int, limit: int) -> int:
        return await self._access.write(
            lambda connection: len(fetch_column(connection, "forget_change_rows", client_id, entity, before_ms, limit))
        )

    async def row_entities(self) -> list[tuple[int, str]]:
        return await self._access.read(
            lambda connection: [(row.client_id, row.entity) for row in fetch(connection, "row_entities")]
        )


def _write_positions(connection: apsw.Connection, batch: ChangeBatch) -> None:
    sources = [(each.source,) for each in batch.positions]
    stored = {row.source: row.position for row in fetch_rows(connection, "source_positions", sources)}
    change_rows.check_positions(batch.positions, stored)
    write_rows(connection, "put_source_positions", [(each.source, each.position) for each in batch.positions])


def _write_rows(connection: apsw.Connection, rows: Sequence[RowWrite]) -> None:
    writes = RowWrites(rows)
    none_yet = [*writes.absent, *[row[:3] for row in writes.added]]
    check_count(_count(connection, "count_change_rows", none_yet), 0)
    check_count(_count(connection, "count_expected_change_rows", writes.expected), len(writes.expected))
    write_rows(connection, "put_change_rows", [*writes.added, *writes.changed])
    write_rows(connection, "delete_change_rows", writes.deleted)


def _insert_changes(connection: apsw.Connection, batch: ChangeBatch) -> None:
    try:
        write_rows(connection, "insert_changes", change_rows.change_rows(batch.changes))
    except apsw.ConstraintError as error:
        if getattr(error, "extendedresult", 0) == apsw.SQLITE_CONSTRAINT_UNIQUE:  # ids are another constraint
            raise ChangesOutdatedError from None
        raise


def _release(connection: apsw.Connection, released: Sequence[WaitingNotification]) -> None:
    rows = change_rows.released_rows(released)
    check_count(_count(connection, "count_expected_waiting", rows), len(rows))
    write_rows(connection, "delete_waiting", rows)


def _add_fields(connection: apsw.Connection, batch: ChangeBatch) -> None:
    pairs = list({field[:2] for field in batch.fields})
    known = fetch_rows(connection, "change_fields", pairs)
    write_rows(connection, "insert_change_fields", change_rows.new_fields(batch, known))


def _count(connection: apsw.Connection, statement: str, rows: Sequence[Sequence[Any]]) -> int:
    return sum(row.count for row in fetch_rows(connection, statement, rows))


def list_changes(connection: apsw.Connection, query: ChangeQuery, page: Page) -> list[StoredChange]:
    """Return changes by id: each client's page is read from an index, then they are merged."""
    clients = query.scope.sorted_ids
    looks = [_listing(query, page, client_id) for client_id in ([None] if clients is None else clients)]
    rows = list(chain.from_iterable(by_name(connection.execute(sql, values)) for sql, values in looks))
    rows.sort(key=lambda row: row.id, reverse=page.after is None)
    return [change_rows.stored_change(row) for row in rows[: page.limit]]


def _listing(query: ChangeQuery, page: Page, client_id: int | None) -> tuple[str, tuple[Any, ...]]:
    """Return the statement for changes of one client, or of all, and its values."""
    where = Conditions()
    where.add_changes(query, page, client_id)
    order = "DESC" if page.after is None else "ASC"
    index = _index(query, client_id)
    sql = f"SELECT {row_mapping.CHANGE} FROM change {index} WHERE {where.sql} ORDER BY id {order} LIMIT ?"
    return sql, (*where.values, page.limit)


def _index(query: ChangeQuery, client_id: int | None) -> str:
    """Name the index that has the wanted changes in the order of their ids: the planner knows no sizes."""
    if query.unmapped:
        return f"INDEXED BY change_unmapped{'' if client_id is None else '_client'}"
    if query.entity is not None:
        return f"INDEXED BY change_{'' if client_id is None else 'client_'}entity"
    if client_id is not None:
        return "INDEXED BY change_client"
    return "NOT INDEXED" if query.source is None else "INDEXED BY change_by_source"
