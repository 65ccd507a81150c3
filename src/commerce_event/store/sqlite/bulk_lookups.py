"""What a list shows beside its rows, read for all rows at once."""

from collections.abc import Sequence

import apsw

from commerce_event.core.model import Attempt, DeliveryState, Event, Scope
from commerce_event.store import row_mapping
from commerce_event.store.port import DeliveryQuery, Page
from commerce_event.store.sqlite import history
from commerce_event.store.sqlite.sql import as_json, only, run


def events_by_id(connection: apsw.Connection, event_ids: Sequence[int], scope: Scope) -> dict[int, Event]:
    return {event.id: event for event in history.events_of(connection, event_ids, scope)}


def delivery_states(
    connection: apsw.Connection, event_ids: Sequence[int], scope: Scope
) -> dict[int, dict[DeliveryState, int]]:
    return row_mapping.delivery_states(run(connection, "delivery_states", (as_json(event_ids),)), scope)


def last_attempts(connection: apsw.Connection, delivery_ids: Sequence[int]) -> dict[int, Attempt]:
    return row_mapping.last_attempts(run(connection, "last_attempts", (as_json(delivery_ids),)))


def count_deliveries(connection: apsw.Connection, query: DeliveryQuery, *, limit: int) -> int:
    where = history.delivery_conditions(query, Page(limit))
    sql = f"SELECT count(*) FROM (SELECT 1 FROM delivery AS d WHERE {where.sql} LIMIT ?)"  # noqa: S608
    return int(only(connection.execute(sql, (*where.values, limit))))


def replays_with(connection: apsw.Connection, replay_ids: Sequence[int], state: DeliveryState) -> set[int]:
    return {row[0] for row in run(connection, "replays_with", (as_json(replay_ids), state))}
