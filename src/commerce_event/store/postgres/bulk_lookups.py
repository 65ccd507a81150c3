"""What a list shows beside its rows, read for all rows at once."""

from collections.abc import Sequence

from commerce_event.core.model import Attempt, DeliveryState, Event, Scope
from commerce_event.store import row_mapping
from commerce_event.store.port import DeliveryQuery, Page
from commerce_event.store.postgres import history
from commerce_event.store.postgres.sql import Connection, run


async def events_by_id(connection: Connection, event_ids: Sequence[int], scope: Scope) -> dict[int, Event]:
    return {event.id: event for event in await history.events_of(connection, event_ids, scope)}


async def delivery_states(
    connection: Connection, event_ids: Sequence[int], scope: Scope
) -> dict[int, dict[DeliveryState, int]]:
    return row_mapping.delivery_states(await run(connection, "delivery_states", list(event_ids)), scope)


async def last_attempts(connection: Connection, delivery_ids: Sequence[int]) -> dict[int, Attempt]:
    return row_mapping.last_attempts(await run(connection, "last_attempts", list(delivery_ids)))


async def count_deliveries(connection: Connection, query: DeliveryQuery, *, limit: int) -> int:
    where = history.delivery_conditions(query, Page(limit))
    most = where.place(limit)
    sql = f"SELECT count(*) FROM (SELECT FROM delivery AS d WHERE {where.sql} LIMIT {most}) AS found"  # noqa: S608
    return int(await connection.fetchval(sql, *where.values))


async def replays_with(connection: Connection, replay_ids: Sequence[int], state: DeliveryState) -> set[int]:
    return {row[0] for row in await run(connection, "replays_with", list(replay_ids), state)}
