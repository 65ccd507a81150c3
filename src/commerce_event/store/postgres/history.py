"""Reading: events, deliveries, attempts, accounts. Every listing goes through a scope."""
# ruff: noqa: S608 - SQL put together from our own column lists and bound parameters

from collections.abc import Iterable, Sequence
from typing import Final

import asyncpg
import msgspec

from commerce_event.core.model import Attempt, Delivery, DeliveryState, Event, Replay, Scope
from commerce_event.store import words
from commerce_event.store.port import Book, DeadGroup, DeliveryQuery, EventQuery, Page
from commerce_event.store.postgres.conditions import Conditions
from commerce_event.store.postgres.sql import Connection, run

_EVENT: Final = (
    "e.id, e.client_id, e.sequence, e.type, e.application_id, e.accepted_ms, e.config_version, e.match_count, "
    "e.idempotency_key, e.traceparent, e.body"
)
_DELIVERY: Final = (
    "d.id, d.event_id, d.endpoint_id, d.client_id, d.state, d.attempt_count, d.failure_count, d.due_ms, d.leased, "
    "d.order_key, d.replay_id, d.reason, d.created_ms, d.finished_ms"
)
_REPLAY: Final = (
    'id, client_id, endpoint_id, since_ms, until_ms, types, "only", state, cursor, looked_at, queued, created_ms, '
    "finished_ms"
)
_HEADERS: Final = msgspec.json.Decoder(tuple[tuple[str, str], ...])
_LOOK: Final = 200  # events not indexed yet that are searched at a time
_NEWEST: Final = 2_000  # indexed events that are searched without the index


async def event(connection: Connection, event_id: int, scope: Scope) -> Event | None:
    where = Conditions()
    where.add("e.id = {}", event_id)
    where.add_scope(scope, "e.client_id")
    found = await _list_events(connection, "event AS e", where, 1)
    return found[0] if found else None


async def events(connection: Connection, query: EventQuery, page: Page) -> list[Event]:
    if query.text is not None:
        return await _search(connection, query, page)
    if query.state == "pending":
        return await _pending_events(connection, query, page)
    return await _list_events(connection, "event AS e", _event_conditions(query, page.before), page.limit)


async def _pending_events(connection: Connection, query: EventQuery, page: Page) -> list[Event]:
    """Start from the queue: it is short, and the history before a pending event may be long."""
    where = _event_conditions(msgspec.structs.replace(query, state=None), None)
    before = where.place(2**63 - 1 if page.before is None else page.before)
    source = (
        f"(SELECT DISTINCT event_id FROM queue WHERE event_id < {before} ORDER BY event_id DESC) AS q "
        "CROSS JOIN LATERAL (SELECT * FROM event WHERE event.id = q.event_id LIMIT 1) AS e"
    )
    return await _list_events(connection, source, where, page.limit, order="q.event_id DESC")


async def events_after(connection: Connection, client_id: int, sequence: int, limit: int) -> list[Event]:
    sql = f"SELECT {_EVENT} FROM event AS e WHERE e.client_id = $1 AND e.sequence > $2 ORDER BY e.sequence LIMIT $3"
    return _events(await connection.fetch(sql, client_id, sequence, limit))


async def events_between(
    connection: Connection, client_id: int, *, after_id: int, until_ms: int, types: Sequence[str], limit: int
) -> list[Event]:
    where = Conditions()
    where.add("e.client_id = {} AND e.id > {} AND e.accepted_ms <= {}", client_id, after_id, until_ms)
    if types:
        where.add("e.type = ANY ({}::text[])", list(types))
    return await _list_events(connection, "event AS e", where, limit, order="e.id")


async def delivery(connection: Connection, delivery_id: int, scope: Scope) -> Delivery | None:
    where = Conditions()
    where.add("d.id = {}", delivery_id)
    where.add_scope(scope, "d.client_id")
    found = await _list_deliveries(connection, where, 1)
    return found[0] if found else None


async def deliveries(connection: Connection, query: DeliveryQuery, page: Page) -> list[Delivery]:
    where = Conditions()
    where.add_scope(query.scope, "d.client_id")
    for column in ("event_id", "endpoint_id", "replay_id", "state"):
        wanted = getattr(query, column)
        if wanted is not None:
            where.add(f"d.{column} = {{}}", wanted)
    if page.before is not None:
        where.add("d.id < {}", page.before)
    if page.after is not None:
        where.add("d.id > {}", page.after)
    if query.types or query.since_ms is not None or query.until_ms is not None:
        opened = len(where)
        where.add("EXISTS (SELECT FROM event AS e WHERE e.id = d.event_id")
        where.add_event_terms(query)
        where.close(opened)
    return await _list_deliveries(connection, where, page.limit, "DESC" if page.after is None else "ASC")


async def attempts(connection: Connection, delivery_id: int) -> list[Attempt]:
    return [_attempt(row) for row in await run(connection, "attempts", delivery_id)]


async def recent_attempts(connection: Connection, endpoint_id: int, limit: int) -> list[Attempt]:
    return [_attempt(row) for row in await run(connection, "recent_attempts", endpoint_id, limit)]


async def dead_groups(connection: Connection, scope: Scope, *, endpoint_id: int | None, limit: int) -> list[DeadGroup]:
    clients = None if scope.client_ids is None else sorted(scope.client_ids)
    return [
        DeadGroup(endpoint_id=row[0], reason=row[1], error=row[2], count=row[3], oldest_ms=row[4], newest_ms=row[5])
        for row in await run(connection, "dead_groups", endpoint_id, clients, limit)
    ]


async def books(connection: Connection, scope: Scope, *, recount: bool) -> list[Book]:
    return [
        Book(
            endpoint_id=row[0],
            client_id=row[1],
            matched=row[2],
            delivered=row[3],
            dead=row[4],
            cancelled=row[5],
            pending=row[6],
            oldest_due_ms=row[7],
        )
        for row in await run(connection, "books", recount)
        if scope.allows(row[1])
    ]


async def replay(connection: Connection, replay_id: int) -> Replay | None:
    row = await connection.fetchrow(f"SELECT {_REPLAY} FROM replay WHERE id = $1", replay_id)
    return None if row is None else _replay(row)


async def replays(connection: Connection, scope: Scope, page: Page, *, running: bool) -> list[Replay]:
    where = Conditions()
    where.add_scope(scope, "client_id")
    if page.before is not None:
        where.add("id < {}", page.before)
    if running:
        where.add("state = 'running'")
    limit, order = where.place(page.limit), "ASC" if running else "DESC"
    sql = f"SELECT {_REPLAY} FROM replay WHERE {where.sql} ORDER BY id {order} LIMIT {limit}"
    return [_replay(row) for row in await connection.fetch(sql, *where.values)]


async def replay_states(connection: Connection, replay_id: int) -> dict[DeliveryState, int]:
    return {row[0]: row[1] for row in await run(connection, "replay_states", replay_id)}


def _event_conditions(query: EventQuery, before: int | None) -> Conditions:
    where = Conditions()
    where.add_scope(query.scope, "e.client_id")
    where.add_event_terms(query)
    if query.application_id is not None:
        where.add("e.application_id = {}", query.application_id)
    if before is not None:
        where.add("e.id < {}", before)
    if query.state in {"dead", "cancelled"}:  # few among many: start from them
        where.add("e.id IN (SELECT event_id FROM finished WHERE state = {})", query.state)
    elif query.state == "pending":
        where.add("e.id IN (SELECT event_id FROM queue)")
    elif query.state is not None:
        where.add("EXISTS (SELECT FROM delivery AS d WHERE d.event_id = e.id AND d.state = {})", query.state)
    return where


async def _search(connection: Connection, query: EventQuery, page: Page) -> list[Event]:
    """Look in the events that are not indexed yet, one by one, and in the text index; one snapshot for both."""
    wanted = words.wanted(query.text or "")
    if not wanted:
        return []
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        found = await _search_new(connection, query, page, wanted)
        found += await _search_indexed(connection, query, page, wanted)
    found.sort(key=lambda each: each.id, reverse=True)
    return found[: page.limit]


async def _search_new(connection: Connection, query: EventQuery, page: Page, wanted: str) -> list[Event]:
    found: list[Event] = []
    before = 2**63 - 1 if page.before is None else page.before
    while len(found) < page.limit and (rows := await run(connection, "new_texts", before, _LOOK)):
        before = rows[-1][0]
        where = _event_conditions(query, None)
        where.add("e.id = ANY ({}::bigint[])", [row[0] for row in rows])
        some = await _list_events(connection, "event AS e", where, _LOOK)
        found += [each for each in some if wanted in words.entry(each.body)]
    return found


async def _search_indexed(connection: Connection, query: EventQuery, page: Page, wanted: str) -> list[Event]:
    pattern = f"%{wanted}%"
    # A word that many have is found among the newest; only one that few have is worth the index.
    newest = _event_conditions(query, page.before)
    newest.add("t.folded LIKE {}", pattern)
    before = newest.place(2**63 - 1 if page.before is None else page.before)
    texts = f"SELECT * FROM event_text WHERE event_id < {before} ORDER BY event_id DESC LIMIT {_NEWEST}"
    found = await _list_events(connection, f"({texts}) AS t JOIN event AS e ON e.id = t.event_id", newest, page.limit)
    if len(found) == page.limit:
        return found
    where = _event_conditions(query, page.before)
    where.add("t.words @@ ({}::text)::tsquery AND t.folded LIKE {}", words.index_query(wanted), pattern)
    return await _list_events(connection, "event_text AS t JOIN event AS e ON e.id = t.event_id", where, page.limit)


async def _list_events(
    connection: Connection, source: str, where: Conditions, limit: int, *, order: str = "e.id DESC"
) -> list[Event]:
    most = where.place(limit)
    sql = f"SELECT {_EVENT} FROM {source} WHERE {where.sql} ORDER BY {order} LIMIT {most}"
    return _events(await connection.fetch(sql, *where.values))


async def _list_deliveries(
    connection: Connection, where: Conditions, limit: int, direction: str = "DESC"
) -> list[Delivery]:
    most = where.place(limit)
    sql = f"SELECT {_DELIVERY} FROM delivery AS d WHERE {where.sql} ORDER BY d.id {direction} LIMIT {most}"
    return [_delivery(row) for row in await connection.fetch(sql, *where.values)]


def _events(rows: Iterable[asyncpg.Record]) -> list[Event]:
    return [
        Event(
            id=row[0],
            client_id=row[1],
            sequence=row[2],
            type=row[3],
            application_id=row[4],
            accepted_ms=row[5],
            config_version=row[6],
            match_count=row[7],
            idempotency_key=row[8],
            traceparent=row[9],
            body=row[10],
        )
        for row in rows
    ]


def _delivery(row: asyncpg.Record) -> Delivery:
    return Delivery(
        id=row[0],
        event_id=row[1],
        endpoint_id=row[2],
        client_id=row[3],
        state=row[4],
        attempt_count=row[5],
        failure_count=row[6],
        due_ms=row[7],
        leased=row[8],
        order_key=row[9],
        replay_id=row[10],
        reason=row[11],
        created_ms=row[12],
        finished_ms=row[13],
    )


def _attempt(row: asyncpg.Record) -> Attempt:
    return Attempt(
        number=row[0],
        started_ms=row[1],
        duration_ms=row[2],
        status=row[3],
        error=row[4],
        response_headers=_HEADERS.decode(row[5]),
        response_body=row[6],
    )


def _replay(row: asyncpg.Record) -> Replay:
    return Replay(
        id=row[0],
        client_id=row[1],
        endpoint_id=row[2],
        since_ms=row[3],
        until_ms=row[4],
        types=tuple(row[5]),
        only=row[6],
        state=row[7],
        cursor=row[8],
        looked_at=row[9],
        queued=row[10],
        created_ms=row[11],
        finished_ms=row[12],
    )
