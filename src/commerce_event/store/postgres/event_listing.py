"""List and search events."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from commerce_event.core.model import Event
from commerce_event.store import conditions, row_mapping, text_search
from commerce_event.store.conditions import ENDED
from commerce_event.store.model import EventQuery, Page
from commerce_event.store.postgres.conditions import Conditions, span
from commerce_event.store.postgres.sql import Connection, by_name, fetch_column, fetch_value
from commerce_event.store.time_ranges import Span

_RARE: Final = ENDED | {"pending"}  # states with few deliveries compared to those delivered
# LIMIT and LATERAL keep the planner to one lookup for each row, regardless of its size estimates.
_EVENT_OF_ID: Final = "CROSS JOIN LATERAL (SELECT * FROM event WHERE event.id = n.id LIMIT 1) AS e"
_TEXT_OF_ID: Final = (
    "CROSS JOIN LATERAL (SELECT folded, word_rule FROM event_text WHERE event_text.event_id = n.id LIMIT 1) AS t"
)
_UNINDEXED_STEP: Final = 200  # events that are not indexed yet, searched at a time


async def events(connection: Connection, query: EventQuery, page: Page) -> list[Event]:
    if query.text is not None:
        return await _search(connection, query, page)
    ids = await span(connection, query.since_ms, query.until_ms)
    if query.state in _RARE:
        return await _events_from_rare(connection, query, page, ids)
    return await _events_from_all(connection, query, page, ids)


async def events_between(
    connection: Connection, client_id: int, *, after_id: int, until_ms: int, types: Sequence[str], limit: int
) -> list[Event]:
    where = Conditions()
    where.add("e.client_id = {} AND e.id > {} AND e.accepted_ms <= {}", client_id, after_id, until_ms)
    where.add_bounds("e.id", None, (await span(connection, None, until_ms)).end)
    if types:
        where.add_in("e.type", types)
    return await _list(connection, "event AS e", where, limit, order="e.id")


async def _events_from_all(connection: Connection, query: EventQuery, page: Page, ids: Span) -> list[Event]:
    found: list[Event] = []
    for part in query.parts():
        where = _conditions_of(part, page, ids)
        found += await _list(connection, f"event AS e {_in_state(part)}", where, page.limit)
    return sorted(found, key=lambda each: each.id, reverse=True)[: page.limit]


async def _events_from_rare(connection: Connection, query: EventQuery, page: Page, ids: Span) -> list[Event]:
    """Start from the deliveries in the state: there may be a long history before the first one.

    When many of them do not match, the other conditions are rarer than the state: continue from those.
    """
    found: list[Event] = []
    for _ in range(conditions.SCANS_MAX):
        newest = await _newest(connection, query, page, ids)
        where = _conditions_of(query, page, ids)
        some = await _list(connection, f"{_each(newest, where)} {_EVENT_OF_ID}", where, page.limit)
        found += some
        if len(some) == page.limit or len(newest) < conditions.NEWEST_SCANNED:
            return found
        page = replace(page, limit=page.limit - len(some), before=newest[-1])
    return found + await _events_from_all(connection, query, page, ids)


def _in_state(query: EventQuery) -> str:
    """Return the join that keeps the events with a delivery in the state."""
    if query.state is None:
        return ""
    return (
        "CROSS JOIN LATERAL "
        f"(SELECT 1 FROM delivery AS d WHERE d.event_id = e.id AND d.state = '{query.state}' LIMIT 1) AS d"
    )


async def _newest(connection: Connection, query: EventQuery, page: Page, ids: Span) -> list[int]:
    """Return the newest events, up to NEWEST_SCANNED, in one of the rare states, else of the client, else of all."""
    where = Conditions()
    table, column = "event", "id"
    if query.state in _RARE:
        table, column = ("queue" if query.state == "pending" else "finished"), "event_id"
    if query.state in ENDED:
        where.add(f"state = '{query.state}'")
    if query.state in _RARE or query.scope.is_one_client:
        where.add_scope(query.scope, "client_id")
    where.add_bounds(column, ids.first, ids.end)
    where.add_page(page, column)
    sql = (
        f"SELECT DISTINCT {column} FROM {table} WHERE {where.sql} "
        f"ORDER BY {column} DESC LIMIT {conditions.NEWEST_SCANNED}"
    )
    return [event_id for (event_id,) in await connection.fetch(sql, *where.values)]


def _each(ids: list[int], where: Conditions) -> str:
    return f"unnest({where.place(ids)}::bigint[]) AS n (id)"


def _conditions_of(query: EventQuery, page: Page, ids: Span) -> Conditions:
    where = Conditions()
    where.add_events(query, page, ids)
    return where


async def _search(connection: Connection, query: EventQuery, page: Page) -> list[Event]:
    """Scan the events that are not indexed yet, and use the text index; both from one snapshot."""
    wanted = text_search.wanted_by(query)
    if not wanted:
        return []
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        text_search.check_unindexed(await fetch_value(connection, "count_unindexed", text_search.UNINDEXED_MAX + 1))
        ids = await span(connection, query.since_ms, query.until_ms)
        found = await _search_unindexed(connection, query, page, ids, wanted)
        found += await _search_indexed(connection, query, page, ids, wanted)
    found.sort(key=lambda each: each.id, reverse=True)
    return found[: page.limit]


async def _search_unindexed(
    connection: Connection, query: EventQuery, page: Page, ids: Span, wanted: str
) -> list[Event]:
    found: list[Event] = []
    before = 2**63 - 1 if page.before is None else page.before
    while len(found) < page.limit:
        unindexed = await fetch_column(connection, "unindexed_events", before, _UNINDEXED_STEP)
        if not unindexed:
            break
        before = unindexed[-1]
        where = _conditions_of(query, page, ids)
        where.add("e.id = ANY ({}::bigint[])", unindexed)
        some = await _list(connection, f"event AS e {_in_state(query)}", where, _UNINDEXED_STEP)
        found += [each for each in some if wanted in text_search.entry(each.body)]
    return found


async def _search_indexed(connection: Connection, query: EventQuery, page: Page, ids: Span, wanted: str) -> list[Event]:
    """Scan the newest texts, which finds frequent words; then use the text index, which finds rare ones."""
    former_to = await fetch_value(connection, "former_text")
    former = text_search.former_wanted(query.text or "") if former_to is not None else None
    found: list[Event] = []
    for _ in range(conditions.SCANS_MAX):
        newest = await _newest(connection, query, page, ids)
        where = _conditions_of(query, page, ids)
        _add_text(where, "t", wanted, former)
        source = f"{_each(newest, where)} {_TEXT_OF_ID} {_EVENT_OF_ID} {_in_state(query)}"
        some = await _list(connection, source, where, page.limit)
        found += some
        if len(some) == page.limit or len(newest) < conditions.NEWEST_SCANNED:
            return found
        page = replace(page, limit=page.limit - len(some), before=newest[-1])
        if len(some) * conditions.SCANS_MAX < page.limit:  # the words are rare
            break
    return found + await _search_by_index(connection, query, page, ids, wanted, former)


async def _search_by_index(
    connection: Connection, query: EventQuery, page: Page, ids: Span, wanted: str, former: str | None
) -> list[Event]:
    where = _conditions_of(query, page, ids)
    texts = where.inner()
    clients: Sequence[int] = query.scope.sorted_ids or ()
    if former is not None and clients and await fetch_value(connection, "texts_without_client"):
        clients = ()
    lexemes = text_search.index_query([wanted, former] if former else [wanted], clients)
    texts.add("words @@ ({}::text)::tsquery", lexemes)
    _add_text(texts, "event_text", wanted, former)
    texts.add_bounds("event_id", ids.first, ids.end)
    texts.add_page(page, "event_id")
    # MATERIALIZED, so that the planner starts from the words, and looks up no more events than are returned.
    matches = (
        f"(WITH found AS MATERIALIZED (SELECT event_id AS id FROM event_text WHERE {texts.sql}) "
        "SELECT id FROM found ORDER BY id DESC OFFSET 0) AS n"
    )
    source = f"{matches} {_EVENT_OF_ID} {_in_state(query)}"
    return await _list(connection, source, where, page.limit, order="n.id DESC")


def _add_text(where: Conditions, texts: str, wanted: str, former: str | None) -> None:
    """Require the words; in texts of older versions, those that these cut the query into will do."""
    if former:
        where.add(
            f"({texts}.folded LIKE {{}} OR {texts}.word_rule = 1 AND {texts}.folded LIKE {{}})",
            f"%{wanted}%",
            f"%{former}%",
        )
    else:
        where.add(f"{texts}.folded LIKE {{}}", f"%{wanted}%")


async def _list(
    connection: Connection, source: str, where: Conditions, limit: int, *, order: str = "e.id DESC"
) -> list[Event]:
    most = where.place(limit)
    sql = f"SELECT {row_mapping.EVENT} FROM {source} WHERE {where.sql} ORDER BY {order} LIMIT {most}"
    return [row_mapping.event(row) for row in by_name(await connection.fetch(sql, *where.values))]
