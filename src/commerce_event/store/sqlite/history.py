"""Reading: events, deliveries, attempts, accounts. Every listing goes through a scope."""

from collections.abc import Sequence
from typing import Any, Final

import apsw
import msgspec

from commerce_event.core.model import Attempt, Delivery, DeliveryState, Event, Replay, Scope
from commerce_event.store.port import Book, DeadGroup, DeliveryQuery, EventQuery, Page
from commerce_event.store.sqlite.sql import only, run
from commerce_event.store.words import wanted

_EVENT: Final = (
    "e.id, e.client_id, e.sequence, e.type, e.application_id, e.accepted_ms, e.config_version, e.match_count, "
    "e.idempotency_key, e.traceparent, e.body"
)
_DELIVERY: Final = (
    "d.id, d.event_id, d.endpoint_id, d.client_id, d.state, d.attempt_count, d.failure_count, d.due_ms, "
    "d.lease IS NOT NULL, d.order_key, d.replay_id, d.reason, d.created_ms, d.finished_ms"
)
_REPLAY: Final = (
    "id, client_id, endpoint_id, since_ms, until_ms, types, only, state, cursor, looked_at, queued, created_ms, "
    "finished_ms"
)
_ENDED: Final = frozenset({"dead", "cancelled"})
_FEW: Final = 200_000  # pending deliveries that are sooner gathered than looked for among all events
_HEADERS: Final = msgspec.json.Decoder(tuple[tuple[str, str], ...])


class _Conditions:
    """WHERE terms and their values, side by side."""

    def __init__(self) -> None:
        self._terms: list[str] = ["true"]
        self.values: list[Any] = []

    def add(self, term: str, *values: Any) -> None:
        self._terms.append(term)
        self.values.extend(values)

    def add_scope(self, scope: Scope, column: str) -> None:
        if scope.client_ids is not None:
            ids = sorted(scope.client_ids)
            self.add(f"{column} IN ({','.join('?' * len(ids))})", *ids)

    def add_in(self, column: str, values: Sequence[Any]) -> None:
        if values:
            self.add(f"{column} IN ({','.join('?' * len(values))})", *values)

    def close(self) -> None:
        """End the sub-query that the term before opened."""
        self._terms[-1] += ")"

    @property
    def sql(self) -> str:
        return " AND ".join(self._terms)


def event(connection: apsw.Connection, event_id: int, scope: Scope) -> Event | None:
    where = _Conditions()
    where.add("e.id = ?", event_id)
    where.add_scope(scope, "e.client_id")
    return next(_events(connection, f"SELECT {_EVENT} FROM event AS e WHERE {where.sql}", where.values), None)


def events(connection: apsw.Connection, query: EventQuery, page: Page) -> list[Event]:
    if query.text is None:
        return _list_events(connection, "event AS e", _event_conditions(connection, query, page), page.limit)
    return _search(connection, query, page)


def events_after(connection: apsw.Connection, client_id: int, sequence: int, limit: int) -> list[Event]:
    sql = f"SELECT {_EVENT} FROM event AS e WHERE e.client_id = ? AND e.sequence > ? ORDER BY e.sequence LIMIT ?"
    return list(_events(connection, sql, (client_id, sequence, limit)))


def events_between(
    connection: apsw.Connection, client_id: int, *, after_id: int, until_ms: int, types: Sequence[str], limit: int
) -> list[Event]:
    where = _Conditions()
    where.add("e.client_id = ? AND e.id > ? AND e.accepted_ms <= ?", client_id, after_id, until_ms)
    where.add_in("e.type", types)
    sql = f"SELECT {_EVENT} FROM event AS e WHERE {where.sql} ORDER BY e.id LIMIT ?"
    return list(_events(connection, sql, (*where.values, limit)))


def delivery(connection: apsw.Connection, delivery_id: int, scope: Scope) -> Delivery | None:
    where = _Conditions()
    where.add("d.id = ?", delivery_id)
    where.add_scope(scope, "d.client_id")
    found = _deliveries(connection, f"SELECT {_DELIVERY} FROM delivery AS d WHERE {where.sql}", where.values)
    return found[0] if found else None


def deliveries(connection: apsw.Connection, query: DeliveryQuery, page: Page) -> list[Delivery]:
    where = _Conditions()
    where.add_scope(query.scope, "d.client_id")
    for column in ("event_id", "endpoint_id", "replay_id"):
        wanted = getattr(query, column)
        if wanted is not None:
            where.add(f"d.{column} = ?", wanted)
    if query.state is not None:
        where.add(_is("d.state", query.state))
    if page.before is not None:
        where.add("d.id < ?", page.before)
    if page.after is not None:
        where.add("d.id > ?", page.after)
    if query.types or query.since_ms is not None or query.until_ms is not None:
        where.add("EXISTS (SELECT 1 FROM event AS e WHERE e.id = d.event_id")
        _add_event_terms(where, query)
        where.close()
    direction = "DESC" if page.after is None else "ASC"
    sql = f"SELECT {_DELIVERY} FROM delivery AS d WHERE {where.sql} ORDER BY d.id {direction} LIMIT ?"
    return _deliveries(connection, sql, (*where.values, page.limit))


def attempts(connection: apsw.Connection, delivery_id: int) -> list[Attempt]:
    return [_attempt(row) for row in run(connection, "attempts", (delivery_id,))]


def recent_attempts(connection: apsw.Connection, endpoint_id: int, limit: int) -> list[Attempt]:
    return [_attempt(row) for row in run(connection, "recent_attempts", (endpoint_id, limit))]


def dead_groups(connection: apsw.Connection, scope: Scope, *, endpoint_id: int | None, limit: int) -> list[DeadGroup]:
    clients = None if scope.client_ids is None else msgspec.json.encode(sorted(scope.client_ids)).decode()
    return [
        DeadGroup(endpoint_id=row[0], reason=row[1], error=row[2], count=row[3], oldest_ms=row[4], newest_ms=row[5])
        for row in run(connection, "dead_groups", (endpoint_id, clients, limit))
    ]


def books(connection: apsw.Connection, scope: Scope, *, recount: bool) -> list[Book]:
    with connection:  # one snapshot for the accounts and the count
        rows = [row for row in run(connection, "books") if scope.allows(row[1])]
        counted = dict(run(connection, "count_pending")) if recount else {}
    return [
        Book(
            endpoint_id=row[0],
            client_id=row[1],
            matched=row[2],
            delivered=row[3],
            dead=row[4],
            cancelled=row[5],
            pending=counted.get(row[0], 0) if recount else row[6],
            oldest_due_ms=row[7],
        )
        for row in rows
    ]


def replay(connection: apsw.Connection, replay_id: int) -> Replay | None:
    rows = connection.execute(f"SELECT {_REPLAY} FROM replay WHERE id = ?", (replay_id,))
    return next((_replay(row) for row in rows), None)


def replays(connection: apsw.Connection, scope: Scope, page: Page, *, running: bool) -> list[Replay]:
    where = _Conditions()
    where.add_scope(scope, "client_id")
    if page.before is not None:
        where.add("id < ?", page.before)
    if running:
        where.add("state = 'running'")
    order = "ASC" if running else "DESC"
    sql = f"SELECT {_REPLAY} FROM replay WHERE {where.sql} ORDER BY id {order} LIMIT ?"
    return [_replay(row) for row in connection.execute(sql, (*where.values, page.limit))]


def _event_conditions(connection: apsw.Connection, query: EventQuery, page: Page) -> _Conditions:
    where = _Conditions()
    where.add_scope(query.scope, "e.client_id")
    _add_event_terms(where, query)
    if query.application_id is not None:
        where.add("e.application_id = ?", query.application_id)
    if page.before is not None:
        where.add("e.id < ?", page.before)
    if query.types and query.scope.client_ids is None:  # so that the index by client and type serves everyone too
        where.add("e.client_id IN (SELECT client_id FROM client)")
    if query.state in _ENDED or (query.state == "pending" and _few_pending(connection)):  # start from them
        where.add(f"e.id IN (SELECT event_id FROM delivery WHERE {_is('state', query.state)})")
    elif query.state is not None:
        where.add(f"EXISTS (SELECT 1 FROM delivery AS d WHERE d.event_id = e.id AND {_is('d.state', query.state)})")
    return where


def _few_pending(connection: apsw.Connection) -> bool:
    return int(only(run(connection, "pending_in_all"))) < _FEW


def _is(column: str, state: DeliveryState) -> str:
    """Return the term for a state, with a literal and in the words of the partial indexes, so that they serve."""
    term = f"{column} = '{state}'"
    return f"{column} IN ('dead', 'cancelled') AND {term}" if state in _ENDED else term


def _add_event_terms(where: _Conditions, query: EventQuery | DeliveryQuery) -> None:
    where.add_in("e.type", query.types)
    if query.since_ms is not None:
        where.add("e.accepted_ms >= ?", query.since_ms)
    if query.until_ms is not None:
        where.add("e.accepted_ms <= ?", query.until_ms)


def _list_events(connection: apsw.Connection, source: str, where: _Conditions, limit: int) -> list[Event]:
    sql = f"SELECT {_EVENT} FROM {source} WHERE {where.sql} ORDER BY e.id DESC LIMIT ?"
    return list(_events(connection, sql, (*where.values, limit)))


def _search(connection: apsw.Connection, query: EventQuery, page: Page) -> list[Event]:
    """Look in the newest events, not indexed yet, one by one; then in the text index."""
    text = (query.text or "").replace("\0", " ")  # the index would stop reading there
    words = wanted(text)
    if not words:
        return []
    indexed_to = only(run(connection, "meta", ("text_indexed_to",)))
    recent = _event_conditions(connection, query, page)
    recent.add("e.id > ?", indexed_to)
    recent.add("instr(words(e.body), ?)", words)
    found = _list_events(connection, "event AS e", recent, page.limit)
    missing = page.limit - len(found)
    if missing:
        older = _event_conditions(connection, query, page)
        older.add("event_text MATCH ?", _match(query.scope, text))
        older.add("t.rowid <= ?", indexed_to)
        if page.before is not None:
            older.add("t.rowid < ?", page.before)
        sql = (
            f"SELECT {_EVENT} FROM event_text AS t CROSS JOIN event AS e ON e.id = t.rowid "
            f"WHERE {older.sql} ORDER BY t.rowid DESC LIMIT ?"
        )
        found += _events(connection, sql, (*older.values, missing))
    return found


def _match(scope: Scope, text: str) -> str:
    """Return the index query for a person's words: all of them in that order, the last one as a beginning."""
    words = 'value : "' + text.replace('"', '""') + '" *'
    if scope.client_ids is None:
        return words
    clients = " OR ".join(f'"{client_id}"' for client_id in sorted(scope.client_ids)) or '""'
    return f"client : ({clients}) AND {words}"


def _events(connection: apsw.Connection, sql: str, values: Sequence[Any]) -> "map[Event]":
    return map(_event, connection.execute(sql, values))


def _event(row: tuple[Any, ...]) -> Event:
    return Event(
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


def _deliveries(connection: apsw.Connection, sql: str, values: Sequence[Any]) -> list[Delivery]:
    return [
        Delivery(
            id=row[0],
            event_id=row[1],
            endpoint_id=row[2],
            client_id=row[3],
            state=row[4],
            attempt_count=row[5],
            failure_count=row[6],
            due_ms=row[7],
            leased=bool(row[8]),
            order_key=row[9],
            replay_id=row[10],
            reason=row[11],
            created_ms=row[12],
            finished_ms=row[13],
        )
        for row in connection.execute(sql, values)
    ]


def _attempt(row: tuple[Any, ...]) -> Attempt:
    return Attempt(
        number=row[0],
        started_ms=row[1],
        duration_ms=row[2],
        status=row[3],
        error=row[4],
        response_headers=_HEADERS.decode(row[5] or "[]"),
        response_body=row[6] or b"",
    )


def _replay(row: tuple[Any, ...]) -> Replay:
    return Replay(
        id=row[0],
        client_id=row[1],
        endpoint_id=row[2],
        since_ms=row[3],
        until_ms=row[4],
        types=tuple(msgspec.json.decode(row[5], type=list[str])),
        only=row[6],
        state=row[7],
        cursor=row[8],
        looked_at=row[9],
        queued=row[10],
        created_ms=row[11],
        finished_ms=row[12],
    )
