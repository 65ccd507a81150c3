"""Reading: events, deliveries, attempts, accounts. Every listing goes through a scope."""
# ruff: noqa: S608 - SQL put together from our own column lists and bound parameters

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from commerce_event.core.model import Attempt, Delivery, DeliveryState, Event, Replay, Scope
from commerce_event.store import reading, row_mapping, text_search
from commerce_event.store.conditions import ENDED
from commerce_event.store.port import DeadGroup, DeliveryCounts, DeliveryQuery, EventQuery, Page
from commerce_event.store.postgres.conditions import Conditions, first_delivery, span
from commerce_event.store.postgres.sql import Connection, only, run
from commerce_event.store.time_ranges import Span

_DELIVERY: Final = f"{row_mapping.DELIVERY}, d.leased"
_RARE: Final = ENDED | {"pending"}  # states with few deliveries beside those delivered
# LIMIT and LATERAL keep the planner to a look for each one, whatever it believes about the sizes.
_EVENT_OF_ID: Final = "CROSS JOIN LATERAL (SELECT * FROM event WHERE event.id = n.id LIMIT 1) AS e"
_TEXT_OF_ID: Final = "CROSS JOIN LATERAL (SELECT folded FROM event_text WHERE event_text.event_id = n.id LIMIT 1) AS t"
_LOOK: Final = 200  # events not indexed yet that are searched at a time


async def event(connection: Connection, event_id: int, scope: Scope) -> Event | None:
    where = Conditions()
    where.add_equal("e.id", event_id)
    where.add_scope(scope, "e.client_id")
    found = await _list_events(connection, "event AS e", where, 1)
    return found[0] if found else None


async def events(connection: Connection, query: EventQuery, page: Page) -> list[Event]:
    if query.text is not None:
        return await _search(connection, query, page)
    at = await span(connection, query.since_ms, query.until_ms)
    if query.state in _RARE:
        return await _events_from_rare(connection, query, page, at)
    return await _events_from_all(connection, query, page, at)


async def _events_from_all(connection: Connection, query: EventQuery, page: Page, at: Span) -> list[Event]:
    found: list[Event] = []
    for part in query.parts():
        where = _event_conditions(part, page, at)
        found += await _list_events(connection, f"event AS e {_in_state(part)}", where, page.limit)
    return sorted(found, key=lambda each: each.id, reverse=True)[: page.limit]


async def _events_from_rare(connection: Connection, query: EventQuery, page: Page, at: Span) -> list[Event]:
    """Start from the deliveries in the state: the history before one may be long.

    When many are looked at in vain, the other conditions are rarer than the state: go on from them.
    """
    found: list[Event] = []
    for _ in range(reading.STEPS):
        ids = await _newest(connection, query, page, at)
        where = _event_conditions(query, page, at)
        some = await _list_events(connection, f"{_each(ids, where)} {_EVENT_OF_ID}", where, page.limit)
        found += some
        if len(some) == page.limit or len(ids) < reading.ONE_BY_ONE:
            return found
        page = replace(page, limit=page.limit - len(some), before=ids[-1])
    return found + await _events_from_all(connection, query, page, at)


def _in_state(query: EventQuery) -> str:
    """Return the join that leaves the events with a delivery in the state."""
    if query.state is None:
        return ""
    return (
        "CROSS JOIN LATERAL "
        f"(SELECT 1 FROM delivery AS d WHERE d.event_id = e.id AND d.state = '{query.state}' LIMIT 1) AS d"
    )


async def _newest(connection: Connection, query: EventQuery, page: Page, at: Span) -> list[int]:
    """Return the newest events, up to ``ONE_BY_ONE``, in one of the few states, else of the client, else of all."""
    where = Conditions()
    table, column = "event", "id"
    if query.state in _RARE:
        table, column = ("queue" if query.state == "pending" else "finished"), "event_id"
    if query.state in ENDED:
        where.add(f"state = '{query.state}'")
    if query.state in _RARE or query.scope.is_one_client:
        where.add_scope(query.scope, "client_id")
    where.add_bounds(column, at.first, at.end)
    where.add_page(page, column)
    sql = f"SELECT DISTINCT {column} FROM {table} WHERE {where.sql} ORDER BY {column} DESC LIMIT {reading.ONE_BY_ONE}"
    return [row[0] for row in await connection.fetch(sql, *where.values)]


def _each(ids: list[int], where: Conditions) -> str:
    return f"unnest({where.place(ids)}::bigint[]) AS n (id)"


async def events_after(connection: Connection, client_id: int, sequence: int, limit: int) -> list[Event]:
    where = Conditions()
    where.add("e.client_id = {} AND e.sequence > {}", client_id, sequence)
    return await _list_events(connection, "event AS e", where, limit, order="e.sequence")


async def events_between(
    connection: Connection, client_id: int, *, after_id: int, until_ms: int, types: Sequence[str], limit: int
) -> list[Event]:
    where = Conditions()
    where.add("e.client_id = {} AND e.id > {} AND e.accepted_ms <= {}", client_id, after_id, until_ms)
    where.add_bounds("e.id", None, (await span(connection, None, until_ms)).end)
    if types:
        where.add_in("e.type", types)
    return await _list_events(connection, "event AS e", where, limit, order="e.id")


async def delivery(connection: Connection, delivery_id: int, scope: Scope) -> Delivery | None:
    where = Conditions()
    where.add_equal("d.id", delivery_id)
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
    later = where.split_late_deliveries(at)
    found = await _list_deliveries(connection, where, page)
    found += await _list_deliveries(connection, later, page)
    return sorted(found, key=lambda each: each.id, reverse=page.after is None)[: page.limit]


def delivery_conditions(query: DeliveryQuery, page: Page) -> Conditions:
    where = Conditions()
    where.add_deliveries(query, page)
    if query.state is not None:  # a literal, so that the partial indexes serve
        where.add(f"d.state = '{query.state}'")
    return where


async def attempts(connection: Connection, delivery_id: int) -> list[Attempt]:
    return [row_mapping.attempt(row) for row in await run(connection, "attempts", delivery_id)]


async def recent_attempts(connection: Connection, endpoint_id: int, limit: int) -> list[Attempt]:
    return [row_mapping.attempt(row) for row in await run(connection, "recent_attempts", endpoint_id, limit)]


async def dead_groups(connection: Connection, scope: Scope, *, endpoint_id: int | None, limit: int) -> list[DeadGroup]:
    query = DeliveryQuery(scope=scope, endpoint_id=endpoint_id, state="dead")
    where = delivery_conditions(query, Page(limit))
    most = where.place(limit)
    sql = (
        "SELECT n.endpoint_id, n.reason, a.error, count(*), min(n.created_ms), max(n.created_ms) "
        f"FROM (SELECT * FROM finished AS d WHERE {where.sql} ORDER BY d.id DESC LIMIT {most}) AS n "
        "LEFT JOIN LATERAL (SELECT error FROM attempt WHERE attempt.delivery_id = n.id "
        "AND attempt.number = n.attempt_count AND attempt.event_id = n.event_id LIMIT 1) AS a ON true "
        "GROUP BY n.endpoint_id, n.reason, a.error ORDER BY count(*) DESC, n.endpoint_id, a.error"
    )
    return [row_mapping.dead_group(row) for row in await connection.fetch(sql, *where.values)]


async def books(connection: Connection, scope: Scope, *, recount: bool) -> list[DeliveryCounts]:
    return [row_mapping.book(row) for row in await run(connection, "books", recount) if scope.allows(row[1])]


async def replay(connection: Connection, replay_id: int) -> Replay | None:
    row = await connection.fetchrow(f"SELECT {row_mapping.REPLAY} FROM replay WHERE id = $1", replay_id)
    return None if row is None else row_mapping.replay(row, row[5])


async def replays(connection: Connection, scope: Scope, page: Page, *, running: bool) -> list[Replay]:
    where = Conditions()
    where.add_scope(scope, "client_id")
    where.add_bounds("id", None, page.before)
    if running:
        where.add("state = 'running'")
    limit, order = where.place(page.limit), "ASC" if running else "DESC"
    sql = f"SELECT {row_mapping.REPLAY} FROM replay WHERE {where.sql} ORDER BY id {order} LIMIT {limit}"
    return [row_mapping.replay(row, row[5]) for row in await connection.fetch(sql, *where.values)]


async def replay_states(connection: Connection, replay_id: int) -> dict[DeliveryState, int]:
    return {row[0]: row[1] for row in await run(connection, "replay_states", replay_id)}


def _event_conditions(query: EventQuery, page: Page, at: Span) -> Conditions:
    where = Conditions()
    where.add_events(query, page, at)
    return where


async def _search(connection: Connection, query: EventQuery, page: Page) -> list[Event]:
    """Look in the events that are not indexed yet, one by one, and in the text index; one snapshot for both."""
    wanted = text_search.wanted(query.text or "")
    if not wanted:
        return []
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        text_search.check_unindexed(await only(connection, "unindexed", text_search.UNINDEXED_MAX + 1))
        at = await span(connection, query.since_ms, query.until_ms)
        found = await _search_new(connection, query, page, at, wanted)
        found += await _search_indexed(connection, query, page, at, wanted)
    found.sort(key=lambda each: each.id, reverse=True)
    return found[: page.limit]


async def _search_new(connection: Connection, query: EventQuery, page: Page, at: Span, wanted: str) -> list[Event]:
    found: list[Event] = []
    before = 2**63 - 1 if page.before is None else page.before
    while len(found) < page.limit and (rows := await run(connection, "new_texts", before, _LOOK)):
        before = rows[-1][0]
        where = _event_conditions(query, page, at)
        where.add("e.id = ANY ({}::bigint[])", [row[0] for row in rows])
        some = await _list_events(connection, f"event AS e {_in_state(query)}", where, _LOOK)
        found += [each for each in some if wanted in text_search.entry(each.body)]
    return found


async def _search_indexed(connection: Connection, query: EventQuery, page: Page, at: Span, wanted: str) -> list[Event]:
    """Look in the newest ones, where a word that many have is found; then by the index, for one that few have."""
    found: list[Event] = []
    for _ in range(reading.STEPS):
        ids = await _newest(connection, query, page, at)
        where = _event_conditions(query, page, at)
        where.add("t.folded LIKE {}", f"%{wanted}%")
        source = f"{_each(ids, where)} {_TEXT_OF_ID} {_EVENT_OF_ID} {_in_state(query)}"
        some = await _list_events(connection, source, where, page.limit)
        found += some
        if len(some) == page.limit or len(ids) < reading.ONE_BY_ONE:
            return found
        page = replace(page, limit=page.limit - len(some), before=ids[-1])
        if len(some) * reading.STEPS < page.limit:  # too few have it
            break
    return found + await _search_by_index(connection, query, page, at, wanted)


async def _search_by_index(connection: Connection, query: EventQuery, page: Page, at: Span, wanted: str) -> list[Event]:
    older = await only(connection, "texts_without_client")
    where = _event_conditions(query, page, at)
    texts = where.inner()
    clients = () if older else query.scope.sorted_ids or ()
    texts.add("words @@ ({}::text)::tsquery", text_search.index_query(wanted, clients))
    texts.add("folded LIKE {}", f"%{wanted}%")
    texts.add_bounds("event_id", at.first, at.end)
    texts.add_page(page, "event_id")
    # MATERIALIZED, so that the planner goes by the words, and looks up no more events than are shown.
    ids = (
        f"(WITH found AS MATERIALIZED (SELECT event_id AS id FROM event_text WHERE {texts.sql}) "
        "SELECT id FROM found ORDER BY id DESC OFFSET 0) AS n"
    )
    source = f"{ids} {_EVENT_OF_ID} {_in_state(query)}"
    return await _list_events(connection, source, where, page.limit, order="n.id DESC")


async def _list_events(
    connection: Connection, source: str, where: Conditions, limit: int, *, order: str = "e.id DESC"
) -> list[Event]:
    most = where.place(limit)
    sql = f"SELECT {row_mapping.EVENT} FROM {source} WHERE {where.sql} ORDER BY {order} LIMIT {most}"
    return [row_mapping.event(row) for row in await connection.fetch(sql, *where.values)]


async def _list_deliveries(connection: Connection, where: Conditions, page: Page) -> list[Delivery]:
    direction = "DESC" if page.after is None else "ASC"
    most = where.place(page.limit)
    sql = f"SELECT {_DELIVERY} FROM delivery AS d WHERE {where.sql} ORDER BY d.id {direction} LIMIT {most}"
    return [row_mapping.delivery(row) for row in await connection.fetch(sql, *where.values)]
