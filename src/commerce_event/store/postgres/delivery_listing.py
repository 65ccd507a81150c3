"""List deliveries."""

from typing import Final

from commerce_event.core.model import Delivery, Scope
from commerce_event.store import row_mapping
from commerce_event.store.model import DeadGroup, DeliveryQuery, Page
from commerce_event.store.postgres.conditions import Conditions, first_delivery, span
from commerce_event.store.postgres.sql import Connection, by_name
from commerce_event.store.row_mapping import build

_DELIVERY: Final = f"{row_mapping.DELIVERY}, d.leased"


async def deliveries(connection: Connection, query: DeliveryQuery, page: Page) -> list[Delivery]:
    ids = await span(connection, query.since_ms, query.until_ms)
    where = conditions_of(query, page)
    where.add_bounds("d.event_id", ids.first, ids.end)
    if ids.end is None or query.event_id is not None or query.replay_id is not None:
        where.add_bounds("d.id", None if ids.first is None else await first_delivery(connection, ids.first), None)
        return await _list(connection, where, page)
    later = where.split_late_deliveries(ids)
    found = await _list(connection, where, page)
    found += await _list(connection, later, page)
    return sorted(found, key=lambda each: each.id, reverse=page.after is None)[: page.limit]


async def dead_groups(connection: Connection, scope: Scope, *, endpoint_id: int | None, limit: int) -> list[DeadGroup]:
    query = DeliveryQuery(scope=scope, endpoint_id=endpoint_id, state="dead")
    where = conditions_of(query, Page(limit))
    most = where.place(limit)
    sql = (
        "SELECT n.endpoint_id, n.reason, a.error, count(*) AS count, min(n.created_ms) AS oldest_ms, "
        "max(n.created_ms) AS newest_ms "
        f"FROM (SELECT * FROM finished AS d WHERE {where.sql} ORDER BY d.id DESC LIMIT {most}) AS n "
        "LEFT JOIN LATERAL (SELECT error FROM attempt WHERE attempt.delivery_id = n.id "
        "AND attempt.number = n.attempt_count AND attempt.event_id = n.event_id LIMIT 1) AS a ON true "
        "GROUP BY n.endpoint_id, n.reason, a.error ORDER BY count(*) DESC, n.endpoint_id, a.error"
    )
    return [build(DeadGroup, row) for row in by_name(await connection.fetch(sql, *where.values))]


def conditions_of(query: DeliveryQuery, page: Page) -> Conditions:
    where = Conditions()
    where.add_deliveries(query, page)
    if query.state is not None:  # a literal, so that the partial indexes are used
        where.add(f"d.state = '{query.state}'")
    return where


async def _list(connection: Connection, where: Conditions, page: Page) -> list[Delivery]:
    direction = "DESC" if page.after is None else "ASC"
    limit = where.place(page.limit)
    sql = f"SELECT {_DELIVERY} FROM delivery AS d WHERE {where.sql} ORDER BY d.id {direction} LIMIT {limit}"
    return [row_mapping.delivery(row) for row in by_name(await connection.fetch(sql, *where.values))]
