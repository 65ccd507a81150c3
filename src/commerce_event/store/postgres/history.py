"""Reading: events, deliveries, attempts, accounts. Every listing goes through a scope."""
# ruff: noqa: S608 - SQL put together from our own column lists and bound parameters

from collections.abc import Iterable, Sequence
from typing import Final

import asyncpg
import msgspec

from commerce_event.core.model import Attempt, Delivery, DeliveryState, Event, Replay, Scope
from commerce_event.store import words
from commerce_event.store.port import Book, DeadGroup, DeliveryQuery, EventQuery, Page
from commerce_event.store.postgres.conditions import Conditions, first_delivery, span
from commerce_event.store.postgres.sql import Connection, only, run
from commerce_event.store.times import LATER, Span

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
_ENDED: Final = frozenset({"dead", "cancelled"})
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
    at = await span(connection, query.since_ms, query.until_ms)
    if query.state == "pending":
        return await _pending_events(connection, query, page, at)
    found: list[Event] = []
    for part in [query] if query.state in _ENDED else query.parts():
        found += await _list_events(connection, _source(part), _event_conditions(part, page, at), page.limit)
    return sorted(found, key=lambda each: each.id, reverse=True)[: page.limit]


def _source(query: EventQuery) -> str:
    if query.state is None or query.state in _ENDED:
        return "event AS e"
    # LIMIT and LATERAL keep the planner to a look for each event, whatever it believes about the sizes.
    return (
        "event AS e CROSS JOIN LATERAL "
        f"(SELECT 1 FROM delivery AS d WHERE d.event_id = e.id AND d.state = '{query.state}' LIMIT 1) AS d"
    )


async def _pending_events(connection: Connection, query: EventQuery, page: Page, at: Span) -> list[Event]:
    """Start from the queue: it is short, and the history before a pending event may be long."""
    where = _event_conditions(query, page, at)
    waiting = Conditions(where.values)
    waiting.add_scope(query.scope, "client_id")
    waiting.add_bounds("event_id", at.first, at.end)
    waiting.add_page(page, "event_id")
    source = (
        f"(SELECT DISTINCT event_id FROM queue WHERE {waiting.sql} ORDER BY event_id DESC) AS q "
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
    where.add_bounds("e.id", None, (await span(connection, None, until_ms)).end)
    if types:
        where.add_in("e.type", "text", types)
    return await _list_events(connection, "event AS e", where, limit, order="e.id")


async def delivery(connection: Connection, delivery_id: int, scope: Scope) -> Delivery | None:
    where = Conditions()
    where.add("d.id = {}", delivery_id)
    where.add_scope(scope, "d.client_id")
    found = await _list_deliveries(connection, where, Page(1))
    return found[0] if found else None


async def events_of(connection: Connection, event_ids: Sequence[int], scope: Scope) -> list[Event]:
    where = Conditions()
    where.add("e.id = ANY ({}::bigint[])", list(event_ids))
    where.add_scope(scope, "e.client_id")
    return await _list_events(connection, "event AS e", where, len(event_ids))


async def deliveries(connection: Connection, query: DeliveryQuery, page: Page) -> list[Delivery]:
    at = await span(connection, query.since_ms, query.until_ms)
    where = delivery_conditions(query, page)
    where.add_bounds("d.event_id", at.first, at.end)
    if at.end is None or query.event_id is not None or query.replay_id is not None:
        where.add_bounds("d.id", None if at.first is None else await first_delivery(connection, at.first), None)
        return await _list_deliveries(connection, where, page)
    later = where.copy()
    later.add(LATER)
    where.add(f"NOT ({LATER})")
    where.add_bounds("d.id", at.first, at.deliveries_end)
    found = await _list_deliveries(connection, where, page)
    found += await _list_deliveries(connection, later, page)
    return sorted(found, key=lambda each: each.id, reverse=page.after is None)[: page.limit]


def delivery_conditions(query: DeliveryQuery, page: Page) -> Conditions:
    where = Conditions()
    where.add_scope(query.scope, "d.client_id")
    for column in ("event_id", "endpoint_id", "replay_id", "state"):
        wanted = getattr(query, column)
        if wanted is not None:
            where.add(f"d.{column} = {{}}", wanted)
    if query.due_after_ms is not None:
        where.add("d.due_ms > {}", query.due_after_ms)
    where.add_page(page, "d.id")
    if query.types or query.since_ms is not None or query.until_ms is not None:
        opened = len(where)
        where.add("EXISTS (SELECT FROM event AS e WHERE e.id = d.event_id")
        where.add_event_terms(query)
        where.close(opened)
    return where


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


def _event_conditions(query: EventQuery, page: Page, at: Span) -> Conditions:
    where = Conditions()
    where.add_scope(query.scope, "e.client_id")
    where.add_event_terms(query)
    where.add_bounds("e.id", at.first, at.end)
    where.add_page(page, "e.id")
    if query.application_id is not None:
        where.add("e.application_id = {}", query.application_id)
    if query.state in _ENDED:  # few among many: start from them
        where.add("e.id IN (SELECT event_id FROM finished WHERE state = {})", query.state)
    return where


async def _search(connection: Connection, query: EventQuery, page: Page) -> list[Event]:
    """Look in the events that are not indexed yet, one by one, and in the text index; one snapshot for both."""
    wanted = words.wanted(query.text or "")
    if not wanted:
        return []
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        words.check_unindexed(await only(connection, "unindexed", words.UNINDEXED_MAX + 1))
        at = await span(connection, query.since_ms, query.until_ms)
        found = await _search_new(connection, query, page, at, wanted)
        found += await _search_indexed(connection, query, page, at, wanted)
    found.sort(key=lambda each: each.id, reverse=True)
    return found[: page.limit]


def _search_conditions(query: EventQuery, page: Page, at: Span) -> Conditions:
    where = _event_conditions(query, page, at)
    if query.state == "pending":
        where.add("e.id IN (SELECT event_id FROM queue)")
    elif query.state == "delivered":
        where.add("EXISTS (SELECT FROM delivery AS d WHERE d.event_id = e.id AND d.state = 'delivered')")
    return where


async def _search_new(connection: Connection, query: EventQuery, page: Page, at: Span, wanted: str) -> list[Event]:
    found: list[Event] = []
    before = 2**63 - 1 if page.before is None else page.before
    while len(found) < page.limit and (rows := await run(connection, "new_texts", before, _LOOK)):
        before = rows[-1][0]
        where = _search_conditions(query, page, at)
        where.add("e.id = ANY ({}::bigint[])", [row[0] for row in rows])
        some = await _list_events(connection, "event AS e", where, _LOOK)
        found += [each for each in some if wanted in words.entry(each.body)]
    return found


async def _search_indexed(connection: Connection, query: EventQuery, page: Page, at: Span, wanted: str) -> list[Event]:
    pattern = f"%{wanted}%"
    # A word that many have is found among the newest; only one that few have is worth the index.
    newest = _search_conditions(query, page, at)
    newest.add("t.folded LIKE {}", pattern)
    before = newest.place(2**63 - 1 if page.before is None else page.before)
    texts = f"SELECT * FROM event_text WHERE event_id < {before} ORDER BY event_id DESC LIMIT {_NEWEST}"
    found = await _list_events(connection, f"({texts}) AS t JOIN event AS e ON e.id = t.event_id", newest, page.limit)
    if len(found) == page.limit:
        return found
    where = _search_conditions(query, page, at)
    where.add("t.words @@ ({}::text)::tsquery AND t.folded LIKE {}", words.index_query(wanted), pattern)
    return await _list_events(connection, "event_text AS t JOIN event AS e ON e.id = t.event_id", where, page.limit)


async def _list_events(
    connection: Connection, source: str, where: Conditions, limit: int, *, order: str = "e.id DESC"
) -> list[Event]:
    most = where.place(limit)
    sql = f"SELECT {_EVENT} FROM {source} WHERE {where.sql} ORDER BY {order} LIMIT {most}"
    return _events(await connection.fetch(sql, *where.values))


async def _list_deliveries(connection: Connection, where: Conditions, page: Page) -> list[Delivery]:
    direction = "DESC" if page.after is None else "ASC"
    most = where.place(page.limit)
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
