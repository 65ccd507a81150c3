"""List deliveries: the planner knows no sizes, so the index to use is named."""

from typing import Any, Final

import apsw

from commerce_event.core.model import Delivery, Scope
from commerce_event.store import row_mapping
from commerce_event.store.conditions import ENDED
from commerce_event.store.model import DeadGroup, DeliveryQuery, Page
from commerce_event.store.row_mapping import build
from commerce_event.store.sqlite.conditions import Conditions, first_delivery, is_in, span
from commerce_event.store.sqlite.sql import by_name

_DELIVERY: Final = f"{row_mapping.DELIVERY}, d.run_id IS NOT NULL AS leased"
_FEW: Final = 50_000  # pending deliveries of an endpoint or a client that are faster to sort than to search for


def deliveries(connection: apsw.Connection, query: DeliveryQuery, page: Page) -> list[Delivery]:
    ids = span(connection, query.since_ms, query.until_ms)
    where = conditions_of(query, page)
    where.add_bounds("d.event_id", ids.first, ids.end)
    if ids.end is None or query.event_id is not None or query.replay_id is not None:
        where.add_bounds("d.id", None if ids.first is None else first_delivery(connection, ids.first), None)
        return _list(connection, query, where, page)
    later = where.split_late_deliveries(ids)
    found = _list(connection, query, where, page)
    found += _list(connection, query, later, page, index="delivery_later")
    return sorted(found, key=lambda each: each.id, reverse=page.after is None)[: page.limit]


def dead_groups(connection: apsw.Connection, scope: Scope, *, endpoint_id: int | None, limit: int) -> list[DeadGroup]:
    query = DeliveryQuery(scope=scope, endpoint_id=endpoint_id, state="dead")
    where, index = conditions_of(query, Page(limit)), _index_for(connection, query)
    newest = f"SELECT * FROM delivery AS d INDEXED BY {index} WHERE {where.sql} ORDER BY d.id DESC LIMIT ?"
    sql = (
        "SELECT n.endpoint_id AS endpoint_id, n.reason AS reason, a.error AS error, count(*) AS count, "
        "min(n.created_ms) AS oldest_ms, max(n.created_ms) AS newest_ms "
        f"FROM ({newest}) AS n LEFT JOIN attempt AS a ON a.delivery_id = n.id AND a.number = n.attempt_count "
        "GROUP BY n.endpoint_id, n.reason, a.error ORDER BY count(*) DESC, n.endpoint_id, a.error"
    )
    return [build(DeadGroup, row) for row in by_name(connection.execute(sql, (*where.values, limit)))]


def conditions_of(query: DeliveryQuery, page: Page) -> Conditions:
    where = Conditions()
    where.add_deliveries(query, page)
    if query.state is not None:
        where.add(is_in("d.state", query.state))
    return where


def _list(
    connection: apsw.Connection, query: DeliveryQuery, where: Conditions, page: Page, *, index: str | None = None
) -> list[Delivery]:
    index = index or _index_for(connection, query)
    if index == "delivery_due":  # it is sorted by endpoint: name those with pending deliveries
        where = where.copy()
        scope = where.inner()
        scope.add_scope(query.scope, "client_id")
        where.add(f"d.endpoint_id IN (SELECT endpoint_id FROM delivery_counts WHERE pending > 0 AND {scope.sql})")
    source = "delivery AS d" if index is None else f"delivery AS d INDEXED BY {index}"
    direction = "DESC" if page.after is None else "ASC"
    sql = f"SELECT {_DELIVERY} FROM {source} WHERE {where.sql} ORDER BY d.id {direction} LIMIT ?"
    values: tuple[Any, ...] = (*where.values, page.limit)
    return [row_mapping.delivery(row) for row in by_name(connection.execute(sql, values))]


def _index_for(connection: apsw.Connection, query: DeliveryQuery) -> str | None:
    """Return the index to walk; None leaves the choice to the planner."""
    if query.event_id is not None or query.replay_id is not None:
        return None
    if query.state in ENDED:
        if query.endpoint_id is not None:
            return "delivery_ended_endpoint"
        return "delivery_ended_client" if query.scope.is_one_client else "delivery_ended"
    if query.state == "pending" and _pending_count(connection, query) < _FEW:
        return "delivery_due"
    if query.endpoint_id is not None:
        return "delivery_endpoint"
    return None


def _pending_count(connection: apsw.Connection, query: DeliveryQuery) -> int:
    where = Conditions()
    where.add_scope(query.scope, "client_id")
    where.add_equal("endpoint_id", query.endpoint_id)
    return int(connection.execute(f"SELECT total(pending) FROM delivery_counts WHERE {where.sql}", where.values).get)
