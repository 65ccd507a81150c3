"""List and search events: the planner knows no sizes, so where to start is decided here."""

from collections.abc import Sequence
from typing import Final

import apsw
from msgspec.structs import replace

from commerce_event.core.model import Event, Scope
from commerce_event.store import conditions, row_mapping, text_search
from commerce_event.store.conditions import ENDED
from commerce_event.store.model import EventQuery, Page
from commerce_event.store.sqlite.conditions import Conditions, is_in, span
from commerce_event.store.sqlite.sql import as_json, by_name, fetch_value
from commerce_event.store.time_ranges import Span

_FEW: Final = 200_000  # pending deliveries that are faster to collect than to search for among all events
# Skip payloads that cannot hold the word, without reading them word by word. A non-ASCII letter may fold to ASCII.
_MAY_HOLD: Final = (
    "(instr(lower(CAST(e.body AS TEXT)), {}) OR instr(CAST(e.body AS TEXT), '\\') "
    "OR length(CAST(e.body AS TEXT)) < length(e.body))"
)
_BY_ID: Final = "event AS e NOT INDEXED"  # use the primary key, regardless of the other conditions


def events(connection: apsw.Connection, query: EventQuery, page: Page) -> list[Event]:
    if query.text is not None:
        return _search(connection, query, page)
    if query.state in ENDED:
        return _events_from_ended(connection, query, page)
    return _events_from_all(connection, query, page)


def events_between(
    connection: apsw.Connection, client_id: int, *, after_id: int, until_ms: int, types: Sequence[str], limit: int
) -> list[Event]:
    where = Conditions()
    where.add("e.client_id = {} AND e.id > {} AND e.accepted_ms <= {}", client_id, after_id, until_ms)
    where.add_bounds("e.id", None, span(connection, None, until_ms).end)
    if types:
        where.add_in("e.type", types)
    return _list(connection, "event AS e", where, limit, order="e.id")


def _events_from_all(connection: apsw.Connection, query: EventQuery, page: Page) -> list[Event]:
    found: list[Event] = []
    for part in [query] if _starts_from_queue(connection, query) else query.parts():
        where = _conditions_of(connection, part, page)
        _add_state(connection, part, where)
        found += _list(connection, "event AS e", where, page.limit)
    return sorted(found, key=lambda each: each.id, reverse=True)[: page.limit]


def _events_from_ended(connection: apsw.Connection, query: EventQuery, page: Page) -> list[Event]:
    """Start from dead or cancelled deliveries: there may be a long history before the first one.

    When many of them do not match, the other conditions are rarer than the state: continue from those.
    """
    found: list[Event] = []
    for _ in range(conditions.SCANS_MAX):
        ids = _newest_ended(connection, query, page)
        some = _list(connection, _BY_ID, _with_ids(connection, query, page, ids), page.limit)
        found += some
        if len(some) == page.limit or len(ids) < conditions.NEWEST_SCANNED:
            return found
        page = replace(page, limit=page.limit - len(some), before=ids[-1])
    return found + _events_from_all(connection, query, page)


def _newest_ended(connection: apsw.Connection, query: EventQuery, page: Page) -> list[int]:
    """Return the newest events, up to NEWEST_SCANNED, with a delivery in that state."""
    ids = span(connection, query.since_ms, query.until_ms)
    where = Conditions()
    if query.state is not None:
        where.add(is_in("state", query.state))
    where.add_scope(query.scope, "client_id")
    where.add_bounds("event_id", ids.first, ids.end)
    where.add_page(page, "event_id")
    index = "delivery_ended_client_event" if query.scope.is_one_client else "delivery_ended_event"
    sql = (
        f"SELECT DISTINCT event_id FROM delivery INDEXED BY {index} WHERE {where.sql} "
        f"ORDER BY event_id DESC LIMIT {conditions.NEWEST_SCANNED}"
    )
    return [event_id for (event_id,) in connection.execute(sql, where.values)]


def _with_ids(connection: apsw.Connection, query: EventQuery, page: Page, ids: list[int]) -> Conditions:
    where = _conditions_of(connection, query, page)
    where.add("e.id IN (SELECT value FROM json_each({}))", as_json(ids))
    return where


def _conditions_of(connection: apsw.Connection, query: EventQuery, page: Page) -> Conditions:
    where = Conditions()
    where.add_events(query, page, span(connection, query.since_ms, query.until_ms))
    if query.types and query.scope.client_ids is None:  # so that the index by client and type serves every client too
        where.add("e.client_id IN (SELECT client_id FROM client)")
    return where


def _add_state(connection: apsw.Connection, query: EventQuery, where: Conditions) -> None:
    if query.state is None:
        return
    if _starts_from_queue(connection, query):
        scope = where.inner()
        scope.add_scope(query.scope, "+client_id")
        where.add(f"e.id IN (SELECT event_id FROM delivery WHERE {is_in('state', query.state)} AND {scope.sql})")
    else:
        index = "INDEXED BY delivery_ended_event" if query.state in ENDED else ""
        state = is_in("d.state", query.state)
        where.add(f"EXISTS (SELECT 1 FROM delivery AS d {index} WHERE d.event_id = e.id AND {state})")


def _starts_from_queue(connection: apsw.Connection, query: EventQuery) -> bool:
    """Tell whether to collect the pending deliveries first, because there are few."""
    return query.state == "pending" and fetch_value(connection, "pending_count") < _FEW


def _search(connection: apsw.Connection, query: EventQuery, page: Page) -> list[Event]:
    """Scan the newest events, which finds frequent words; then use the text index, which finds rare ones."""
    wanted = text_search.wanted_by(query)
    if not wanted:
        return []
    if query.state in ENDED:
        ids = _newest_ended(connection, query, page)
        found = _search_bodies(connection, _BY_ID, _with_ids(connection, query, page, ids), page.limit, wanted)
        if len(found) == page.limit or len(ids) < conditions.NEWEST_SCANNED:
            return found
    indexed_to = fetch_value(connection, "meta", "text_indexed_to")
    text_search.check_unindexed(fetch_value(connection, "count_unindexed", indexed_to, text_search.UNINDEXED_MAX + 1))
    scanned_to = min(indexed_to, _event_below_newest(connection, query, page))
    recent = _conditions_of(connection, query, page)
    _add_state(connection, query, recent)
    recent.add("e.id > {}", scanned_to)
    found = _search_bodies(connection, "event AS e", recent, page.limit, wanted)
    former_to = fetch_value(connection, "meta", "text_former_to") or 0
    rest = replace(page, limit=page.limit - len(found))
    found += _search_index(connection, query, rest, "event_text", [wanted], Span(former_to + 1, scanned_to + 1))
    if former_to:
        phrases = [wanted, query.text or ""]  # it cuts the text into words as older versions did
        former = Span(None, min(former_to, scanned_to) + 1)
        rest = replace(page, limit=page.limit - len(found))
        found += _search_index(connection, query, rest, "event_text_former", phrases, former)
    return found


def _search_index(
    connection: apsw.Connection, query: EventQuery, page: Page, table: str, phrases: Sequence[str], ids: Span
) -> list[Event]:
    """Search the events of that range in a text index for any of the phrases."""
    if page.limit == 0:
        return []
    where = _conditions_of(connection, query, page)
    _add_state(connection, query, where)
    where.add(f"{table} MATCH {{}}", _match(query.scope, phrases))
    where.add_bounds("t.rowid", ids.first, ids.end)
    where.add_page(page, "t.rowid")
    bounds = span(connection, query.since_ms, query.until_ms)
    where.add_bounds("t.rowid", bounds.first, bounds.end)
    return _list(
        connection, f"{table} AS t CROSS JOIN event AS e ON e.id = t.rowid", where, page.limit, order="t.rowid DESC"
    )


def _search_bodies(connection: apsw.Connection, source: str, where: Conditions, limit: int, wanted: str) -> list[Event]:
    where.add(_MAY_HOLD, text_search.longest_word(wanted))
    where.add("instr(words(e.body), {})", wanted)
    return _list(connection, source, where, limit)


def _event_below_newest(connection: apsw.Connection, query: EventQuery, page: Page) -> int:
    """Return the event behind the newest NEWEST_SCANNED of the client, or of all clients; 0 when there is none."""
    ids = span(connection, query.since_ms, query.until_ms)
    where = Conditions()
    if query.scope.is_one_client:
        where.add_scope(query.scope, "client_id")
    where.add_bounds("id", ids.first, ids.end)
    where.add_page(page, "id")
    sql = f"SELECT id FROM event WHERE {where.sql} ORDER BY id DESC LIMIT 1 OFFSET {conditions.NEWEST_SCANNED}"
    return int(connection.execute(sql, where.values).get or 0)


def _match(scope: Scope, phrases: Sequence[str]) -> str:
    """Return the index query for texts with any of the phrases: all words in that order, the last one as a prefix."""
    # The index stops reading at U+0000.
    quoted = [
        '"' + phrase.replace('"', '""').replace("\0", " ") + ('"' if phrase.endswith(" ") else '" *')
        for phrase in phrases
    ]
    words = f"value : ({' OR '.join(quoted)})"
    ids = scope.sorted_ids
    if ids is None:
        return words
    clients = " OR ".join(f'"{client_id}"' for client_id in ids) or '""'
    return f"client : ({clients}) AND {words}"


def _list(
    connection: apsw.Connection, source: str, where: Conditions, limit: int, *, order: str = "e.id DESC"
) -> list[Event]:
    sql = f"SELECT {row_mapping.EVENT} FROM {source} WHERE {where.sql} ORDER BY {order} LIMIT ?"
    return [row_mapping.event(row) for row in by_name(connection.execute(sql, (*where.values, limit)))]
