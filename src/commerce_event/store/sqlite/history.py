"""Reading: events, deliveries, attempts, accounts. Every listing goes through a scope."""

from collections.abc import Sequence
from typing import Any, Final

import apsw
import msgspec
from msgspec.structs import replace

from commerce_event.core.model import Attempt, Delivery, Event, Replay, Scope
from commerce_event.store import reading, row_mapping, text_search
from commerce_event.store.conditions import ENDED
from commerce_event.store.port import DeadGroup, DeliveryCounts, DeliveryQuery, EventQuery, Page
from commerce_event.store.sqlite.conditions import Conditions, first_delivery, is_in, span
from commerce_event.store.sqlite.sql import as_json, only, run

_DELIVERY: Final = f"{row_mapping.DELIVERY}, d.lease IS NOT NULL"
_FEW: Final = 200_000  # pending deliveries that are sooner gathered than looked for among all events
_FEW_OF_SOME: Final = 50_000  # of an endpoint or a client, than looked for among all of theirs
# What can be told without reading the payload word by word: a letter that is none of ASCII may fold to one that is.
_MAY_HOLD: Final = (
    "(instr(lower(CAST(e.body AS TEXT)), {}) OR instr(CAST(e.body AS TEXT), '\\') "
    "OR length(CAST(e.body AS TEXT)) < length(e.body))"
)
_BY_ID: Final = "event AS e NOT INDEXED"  # but for the id, whatever else is asked for


def event(connection: apsw.Connection, event_id: int, scope: Scope) -> Event | None:
    where = Conditions()
    where.add_equal("e.id", event_id)
    where.add_scope(scope, "e.client_id")
    return next(
        _events(connection, f"SELECT {row_mapping.EVENT} FROM event AS e WHERE {where.sql}", where.values), None
    )


def events(connection: apsw.Connection, query: EventQuery, page: Page) -> list[Event]:
    if query.text is not None:
        return _search(connection, query, page)
    if query.state in ENDED:
        return _events_from_ended(connection, query, page)
    return _events_from_all(connection, query, page)


def _events_from_all(connection: apsw.Connection, query: EventQuery, page: Page) -> list[Event]:
    found: list[Event] = []
    for part in [query] if _starts_from_queue(connection, query) else query.parts():
        where = _event_conditions(connection, part, page)
        _add_state(connection, part, where)
        found += _list_events(connection, "event AS e", where, page.limit)
    return sorted(found, key=lambda each: each.id, reverse=True)[: page.limit]


def _events_from_ended(connection: apsw.Connection, query: EventQuery, page: Page) -> list[Event]:
    """Start from the deliveries that ended so: the history before one may be long.

    When many are looked at in vain, the other conditions are rarer than the state: go on from them.
    """
    found: list[Event] = []
    for _ in range(reading.STEPS):
        ids = _newest_ended(connection, query, page)
        some = _list_events(connection, _BY_ID, _these(connection, query, page, ids), page.limit)
        found += some
        if len(some) == page.limit or len(ids) < reading.ONE_BY_ONE:
            return found
        page = replace(page, limit=page.limit - len(some), before=ids[-1])
    return found + _events_from_all(connection, query, page)


def _newest_ended(connection: apsw.Connection, query: EventQuery, page: Page) -> list[int]:
    """Return the newest events, up to ``ONE_BY_ONE``, with a delivery that ended so."""
    at = span(connection, query.since_ms, query.until_ms)
    where = Conditions()
    if query.state is not None:
        where.add(is_in("state", query.state))
    where.add_scope(query.scope, "client_id")
    where.add_bounds("event_id", at.first, at.end)
    where.add_page(page, "event_id")
    index = "delivery_ended_client_event" if query.scope.is_one_client else "delivery_ended_event"
    sql = (
        f"SELECT DISTINCT event_id FROM delivery INDEXED BY {index} WHERE {where.sql} "
        f"ORDER BY event_id DESC LIMIT {reading.ONE_BY_ONE}"
    )
    return [row[0] for row in connection.execute(sql, where.values)]


def _these(connection: apsw.Connection, query: EventQuery, page: Page, ids: list[int]) -> Conditions:
    where = _event_conditions(connection, query, page)
    where.add("e.id IN (SELECT value FROM json_each({}))", as_json(ids))
    return where


def events_after(connection: apsw.Connection, client_id: int, sequence: int, limit: int) -> list[Event]:
    where = "e.client_id = ? AND e.sequence > ? ORDER BY e.sequence LIMIT ?"
    sql = f"SELECT {row_mapping.EVENT} FROM event AS e WHERE {where}"
    return list(_events(connection, sql, (client_id, sequence, limit)))


def events_between(
    connection: apsw.Connection, client_id: int, *, after_id: int, until_ms: int, types: Sequence[str], limit: int
) -> list[Event]:
    where = Conditions()
    where.add("e.client_id = {} AND e.id > {} AND e.accepted_ms <= {}", client_id, after_id, until_ms)
    where.add_bounds("e.id", None, span(connection, None, until_ms).end)
    if types:
        where.add_in("e.type", types)
    sql = f"SELECT {row_mapping.EVENT} FROM event AS e WHERE {where.sql} ORDER BY e.id LIMIT ?"
    return list(_events(connection, sql, (*where.values, limit)))


def delivery(connection: apsw.Connection, delivery_id: int, scope: Scope) -> Delivery | None:
    where = Conditions()
    where.add_equal("d.id", delivery_id)
    where.add_scope(scope, "d.client_id")
    found = _deliveries(connection, f"SELECT {_DELIVERY} FROM delivery AS d WHERE {where.sql}", where.values)
    return found[0] if found else None


def events_of(connection: apsw.Connection, event_ids: Sequence[int], scope: Scope) -> list[Event]:
    sql = f"SELECT {row_mapping.EVENT} FROM event AS e WHERE e.id IN (SELECT value FROM json_each(?))"
    return [event for event in _events(connection, sql, (as_json(event_ids),)) if scope.allows(event.client_id)]


def deliveries(connection: apsw.Connection, query: DeliveryQuery, page: Page) -> list[Delivery]:
    at = span(connection, query.since_ms, query.until_ms)
    where = delivery_conditions(query, page)
    where.add_bounds("d.event_id", at.first, at.end)
    if at.end is None or query.event_id is not None or query.replay_id is not None:
        where.add_bounds("d.id", None if at.first is None else first_delivery(connection, at.first), None)
        return _list_deliveries(connection, query, where, page)
    later = where.split_late_deliveries(at)
    found = _list_deliveries(connection, query, where, page)
    found += _list_deliveries(connection, query, later, page, index="delivery_later")
    return sorted(found, key=lambda each: each.id, reverse=page.after is None)[: page.limit]


def delivery_conditions(query: DeliveryQuery, page: Page) -> Conditions:
    where = Conditions()
    where.add_deliveries(query, page)
    if query.state is not None:
        where.add(is_in("d.state", query.state))
    return where


def _list_deliveries(
    connection: apsw.Connection, query: DeliveryQuery, where: Conditions, page: Page, *, index: str | None = None
) -> list[Delivery]:
    index = index or _index_for(connection, query)
    if index == "delivery_due":  # its order is another, and which endpoints have any is on their accounts
        where = where.copy()
        scope = where.inner()
        scope.add_scope(query.scope, "client_id")
        where.add(f"d.endpoint_id IN (SELECT endpoint_id FROM book WHERE pending > 0 AND {scope.sql})")
    source = "delivery AS d" if index is None else f"delivery AS d INDEXED BY {index}"
    direction = "DESC" if page.after is None else "ASC"
    sql = f"SELECT {_DELIVERY} FROM {source} WHERE {where.sql} ORDER BY d.id {direction} LIMIT ?"
    return _deliveries(connection, sql, (*where.values, page.limit))


def _index_for(connection: apsw.Connection, query: DeliveryQuery) -> str | None:
    """Return the index to walk: the planner knows neither how many wait nor how few are dead."""
    if query.event_id is not None or query.replay_id is not None:
        return None
    if query.state in ENDED:
        if query.endpoint_id is not None:
            return "delivery_ended_endpoint"
        return "delivery_ended_client" if query.scope.is_one_client else "delivery_ended"
    if query.state == "pending" and _pending(connection, query) < _FEW_OF_SOME:
        return "delivery_due"
    if query.endpoint_id is not None:
        return "delivery_endpoint"
    return None


def _pending(connection: apsw.Connection, query: DeliveryQuery) -> int:
    where = Conditions()
    where.add_scope(query.scope, "client_id")
    where.add_equal("endpoint_id", query.endpoint_id)
    return int(only(connection.execute(f"SELECT total(pending) FROM book WHERE {where.sql}", where.values)))


def attempts(connection: apsw.Connection, delivery_id: int) -> list[Attempt]:
    return [row_mapping.attempt(row) for row in run(connection, "attempts", (delivery_id,))]


def recent_attempts(connection: apsw.Connection, endpoint_id: int, limit: int) -> list[Attempt]:
    return [row_mapping.attempt(row) for row in run(connection, "recent_attempts", (endpoint_id, limit))]


def dead_groups(connection: apsw.Connection, scope: Scope, *, endpoint_id: int | None, limit: int) -> list[DeadGroup]:
    query = DeliveryQuery(scope=scope, endpoint_id=endpoint_id, state="dead")
    where, index = delivery_conditions(query, Page(limit)), _index_for(connection, query)
    newest = f"SELECT * FROM delivery AS d INDEXED BY {index} WHERE {where.sql} ORDER BY d.id DESC LIMIT ?"
    sql = (
        "SELECT n.endpoint_id, n.reason, a.error, count(*), min(n.created_ms), max(n.created_ms) "
        f"FROM ({newest}) AS n LEFT JOIN attempt AS a ON a.delivery_id = n.id AND a.number = n.attempt_count "
        "GROUP BY n.endpoint_id, n.reason, a.error ORDER BY count(*) DESC, n.endpoint_id, a.error"
    )
    return [row_mapping.dead_group(row) for row in connection.execute(sql, (*where.values, limit))]


def books(connection: apsw.Connection, scope: Scope, *, recount: bool) -> list[DeliveryCounts]:
    with connection:  # one snapshot for the accounts and the count
        kept = [row_mapping.book(row) for row in run(connection, "books") if scope.allows(row[1])]
        counted = dict(run(connection, "count_pending")) if recount else {}
    if not recount:
        return kept
    return [msgspec.structs.replace(book, pending=counted.get(book.endpoint_id, 0)) for book in kept]


def replay(connection: apsw.Connection, replay_id: int) -> Replay | None:
    found = connection.execute(f"SELECT {row_mapping.REPLAY} FROM replay WHERE id = ?", (replay_id,))
    return next((_replay(row) for row in found), None)


def replays(connection: apsw.Connection, scope: Scope, page: Page, *, running: bool) -> list[Replay]:
    where = Conditions()
    where.add_scope(scope, "client_id")
    where.add_bounds("id", None, page.before)
    if running:
        where.add("state = 'running'")
    order = "ASC" if running else "DESC"
    sql = f"SELECT {row_mapping.REPLAY} FROM replay WHERE {where.sql} ORDER BY id {order} LIMIT ?"
    return [_replay(row) for row in connection.execute(sql, (*where.values, page.limit))]


def _event_conditions(connection: apsw.Connection, query: EventQuery, page: Page) -> Conditions:
    where = Conditions()
    where.add_events(query, page, span(connection, query.since_ms, query.until_ms))
    if query.types and query.scope.client_ids is None:  # so that the index by client and type serves everyone too
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
    """Tell whether the pending ones that are asked for are few among many."""
    return query.state == "pending" and only(run(connection, "pending_in_all")) < _FEW


def _list_events(
    connection: apsw.Connection, source: str, where: Conditions, limit: int, *, order: str = "e.id DESC"
) -> list[Event]:
    sql = f"SELECT {row_mapping.EVENT} FROM {source} WHERE {where.sql} ORDER BY {order} LIMIT ?"
    return list(_events(connection, sql, (*where.values, limit)))


def _search(connection: apsw.Connection, query: EventQuery, page: Page) -> list[Event]:
    """Look in the newest events one by one, where a word that many have is found; then in the text index."""
    text = (query.text or "").replace("\0", " ")  # the index would stop reading there
    wanted = text_search.wanted(text)
    if not wanted:
        return []
    if query.state in ENDED:
        ids = _newest_ended(connection, query, page)
        found = _search_bodies(connection, _BY_ID, _these(connection, query, page, ids), page.limit, wanted)
        if len(found) == page.limit or len(ids) < reading.ONE_BY_ONE:
            return found
    indexed_to = only(run(connection, "meta", ("text_indexed_to",)))
    text_search.check_unindexed(only(run(connection, "unindexed", (indexed_to, text_search.UNINDEXED_MAX + 1))))
    looked_to = min(indexed_to, _below_newest(connection, query, page))
    recent = _event_conditions(connection, query, page)
    _add_state(connection, query, recent)
    recent.add("e.id > {}", looked_to)
    found = _search_bodies(connection, "event AS e", recent, page.limit, wanted)
    missing = page.limit - len(found)
    if missing:
        older = _event_conditions(connection, query, page)
        _add_state(connection, query, older)
        older.add("event_text MATCH {}", _match(query.scope, text))
        older.add("t.rowid <= {}", looked_to)
        older.add_page(page, "t.rowid")
        at = span(connection, query.since_ms, query.until_ms)
        older.add_bounds("t.rowid", at.first, at.end)
        source = "event_text AS t CROSS JOIN event AS e ON e.id = t.rowid"
        found += _list_events(connection, source, older, missing, order="t.rowid DESC")
    return found


def _search_bodies(connection: apsw.Connection, source: str, where: Conditions, limit: int, wanted: str) -> list[Event]:
    where.add(_MAY_HOLD, wanted.split(maxsplit=1)[0])
    where.add("instr(words(e.body), {})", wanted)
    return _list_events(connection, source, where, limit)


def _below_newest(connection: apsw.Connection, query: EventQuery, page: Page) -> int:
    """Return the event behind the newest ``ONE_BY_ONE`` of the client, or of all; 0 when there is none."""
    at = span(connection, query.since_ms, query.until_ms)
    where = Conditions()
    if query.scope.is_one_client:
        where.add_scope(query.scope, "client_id")
    where.add_bounds("id", at.first, at.end)
    where.add_page(page, "id")
    sql = f"SELECT id FROM event WHERE {where.sql} ORDER BY id DESC LIMIT 1 OFFSET {reading.ONE_BY_ONE}"
    return int(only(connection.execute(sql, where.values)) or 0)


def _match(scope: Scope, text: str) -> str:
    """Return the index query for a person's words: all of them in that order, the last one as a beginning."""
    text_search = 'value : "' + text.replace('"', '""') + '" *'
    ids = scope.sorted_ids
    if ids is None:
        return text_search
    clients = " OR ".join(f'"{client_id}"' for client_id in ids) or '""'
    return f"client : ({clients}) AND {text_search}"


def _events(connection: apsw.Connection, sql: str, values: Sequence[Any]) -> "map[Event]":
    return map(row_mapping.event, connection.execute(sql, values))


def _deliveries(connection: apsw.Connection, sql: str, values: Sequence[Any]) -> list[Delivery]:
    return [row_mapping.delivery(row) for row in connection.execute(sql, values)]


def _replay(row: row_mapping.Row) -> Replay:
    return row_mapping.replay(row, msgspec.json.decode(row[5], type=list[str]))
