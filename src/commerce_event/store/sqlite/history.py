"""Reads of events, deliveries, attempts, replays and counts."""

from collections.abc import Sequence
from typing import Final

import apsw
import msgspec

from commerce_event.core.model import Attempt, Delivery, DeliveryState, Event, Replay, Scope
from commerce_event.store import row_mapping
from commerce_event.store.model import (
    ATTEMPTS_MAX,
    PENDING_EXAMINED_MAX,
    DeadGroup,
    DeliveryCounts,
    DeliveryQuery,
    EndpointHealth,
    EventQuery,
    Page,
)
from commerce_event.store.row_mapping import Row, build
from commerce_event.store.sqlite import delivery_listing, event_listing
from commerce_event.store.sqlite.access import Access
from commerce_event.store.sqlite.conditions import Conditions
from commerce_event.store.sqlite.sql import as_json, by_name, fetch, fetch_column, fetch_value

_TYPES: Final = msgspec.json.Decoder(list[str])


class SqliteHistory:
    """The history."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def replay(self, replay_id: int) -> Replay | None:
        rows = await self._access.read(lambda connection: list(fetch(connection, "replay", replay_id)))
        return _replay(rows[0]) if rows else None

    async def replays(self, scope: Scope, page: Page, *, running: bool = False) -> list[Replay]:
        where = Conditions()
        where.add_scope(scope, "client_id")
        where.add_bounds("id", None, page.before)
        if running:
            where.add("state IN ('running', 'cancelling')")
        order = "ASC" if running else "DESC"
        sql = f"SELECT {row_mapping.REPLAY} FROM replay WHERE {where.sql} ORDER BY id {order} LIMIT ?"
        values = (*where.values, page.limit)
        return await self._access.read(
            lambda connection: [_replay(row) for row in by_name(connection.execute(sql, values))]
        )

    async def replay_states(self, replay_id: int) -> dict[DeliveryState, int]:
        return await self._access.read(
            lambda connection: {row.state: row.count for row in fetch(connection, "replay_states", replay_id)}
        )

    async def replay_ended_ms(self, replay_id: int) -> int | None:
        return await self._access.read(lambda connection: fetch_value(connection, "replay_ended_ms", replay_id))

    async def replays_with(self, replay_ids: Sequence[int], state: DeliveryState) -> set[int]:
        ids = as_json(replay_ids)
        return await self._access.read(lambda connection: set(fetch_column(connection, "replays_with", ids, state)))

    async def event(self, event_id: int, scope: Scope) -> Event | None:
        rows = await self._access.read(lambda connection: list(fetch(connection, "event", event_id)))
        return next((row_mapping.event(row) for row in rows if scope.allows(row.client_id)), None)

    async def events(self, query: EventQuery, page: Page) -> list[Event]:
        def work(connection: apsw.Connection) -> list[Event]:
            return event_listing.events(connection, query, page)

        return await (self._access.read(work) if query.text is None else self._access.search(query.scope, work))

    async def events_after(self, client_id: int, sequence: int, limit: int) -> list[Event]:
        return await self._access.read(
            lambda connection: [
                row_mapping.event(row) for row in fetch(connection, "events_after", client_id, sequence, limit)
            ]
        )

    async def last_sequences(self, client_ids: Sequence[int]) -> dict[int, int]:
        ids = as_json(client_ids)
        return await self._access.read(
            lambda connection: {row.client_id: row.last_sequence for row in fetch(connection, "last_sequences", ids)}
        )

    async def events_between(
        self, client_id: int, *, after_id: int, until_ms: int, types: Sequence[str], limit: int
    ) -> list[Event]:
        return await self._access.read(
            lambda connection: event_listing.events_between(
                connection, client_id, after_id=after_id, until_ms=until_ms, types=types, limit=limit
            )
        )

    async def events_by_id(self, event_ids: Sequence[int], scope: Scope) -> dict[int, Event]:
        def work(connection: apsw.Connection) -> dict[int, Event]:
            rows = fetch(connection, "events_by_id", as_json(event_ids))
            return {row.id: row_mapping.event(row) for row in rows if scope.allows(row.client_id)}

        return await self._access.read(work)

    async def delivery(self, delivery_id: int, scope: Scope) -> Delivery | None:
        return await self._access.read(lambda connection: _delivery(connection, delivery_id, scope))

    async def deliveries_with_attempts(
        self, delivery_ids: Sequence[int], scope: Scope
    ) -> list[tuple[Delivery, list[Attempt]]]:
        def work(connection: apsw.Connection) -> list[tuple[Delivery, list[Attempt]]]:
            found = [_delivery(connection, delivery_id, scope) for delivery_id in delivery_ids]
            return [(each, _attempts(connection, each.id)) for each in found if each is not None]

        return await self._access.read_snapshot(work)

    async def deliveries(self, query: DeliveryQuery, page: Page) -> list[Delivery]:
        return await self._access.read(lambda connection: delivery_listing.deliveries(connection, query, page))

    async def deliveries_with_last_attempts(
        self, query: DeliveryQuery, page: Page
    ) -> tuple[list[Delivery], dict[int, Attempt]]:
        def work(connection: apsw.Connection) -> tuple[list[Delivery], dict[int, Attempt]]:
            found = delivery_listing.deliveries(connection, query, page)
            rows = fetch(connection, "last_attempts", as_json([each.id for each in found]))
            return found, row_mapping.last_attempts(rows)

        return await self._access.read_snapshot(work)

    async def deliveries_of_events(
        self, event_ids: Sequence[int], scope: Scope, *, limit: int
    ) -> tuple[list[Delivery], dict[int, Attempt]]:
        def work(connection: apsw.Connection) -> tuple[list[Delivery], dict[int, Attempt]]:
            rows = fetch(connection, "deliveries_of_events", as_json(event_ids), limit)
            found = [row_mapping.delivery(row) for row in rows if scope.allows(row.client_id)]
            last = fetch(connection, "last_attempts", as_json([each.id for each in found]))
            return found, row_mapping.last_attempts(last)

        return await self._access.read_snapshot(work)

    async def oldest_pending(self, endpoint_ids: Sequence[int], *, limit: int) -> list[Delivery]:
        def work(connection: apsw.Connection) -> list[Delivery]:
            rows = fetch(connection, "oldest_pending", as_json(endpoint_ids), PENDING_EXAMINED_MAX, limit)
            return [row_mapping.delivery(row) for row in rows]

        return await self._access.read(work)

    async def count_deliveries(self, query: DeliveryQuery, *, limit: int) -> int:
        where = delivery_listing.conditions_of(query, Page(limit))
        sql = f"SELECT count(*) FROM (SELECT 1 FROM delivery AS d WHERE {where.sql} LIMIT ?)"
        return await self._access.read(lambda connection: int(connection.execute(sql, (*where.values, limit)).get))

    async def delivery_states(self, event_ids: Sequence[int], scope: Scope) -> dict[int, dict[DeliveryState, int]]:
        ids = as_json(event_ids)
        return await self._access.read(
            lambda connection: row_mapping.delivery_states(fetch(connection, "delivery_states", ids), scope)
        )

    async def events_with_delivery(self, endpoint_id: int, event_ids: Sequence[int]) -> set[int]:
        ids = as_json(event_ids)
        return await self._access.read(
            lambda connection: set(fetch_column(connection, "events_with_delivery", endpoint_id, ids))
        )

    async def dead_in_group(
        self, endpoint_id: int, *, reason: str | None, error: str | None, before: int | None, limit: int
    ) -> tuple[list[int], int | None]:
        end = 2**63 - 1 if before is None else before
        rows = await self._access.read(
            lambda connection: list(fetch(connection, "dead_with_errors", endpoint_id, end, limit))
        )
        return row_mapping.in_dead_group(rows, reason, error, limit)

    async def endpoint_health(self, scope: Scope) -> list[EndpointHealth]:
        return await self._access.read(
            lambda connection: [
                build(EndpointHealth, row)
                for row in fetch(connection, "endpoint_health")
                if scope.allows(row.client_id)
            ]
        )

    async def recent_attempts(self, endpoint_id: int, limit: int) -> list[Attempt]:
        return await self._access.read(
            lambda connection: [
                row_mapping.attempt(row) for row in fetch(connection, "recent_attempts", endpoint_id, limit)
            ]
        )

    async def dead_groups(self, scope: Scope, *, endpoint_id: int | None, limit: int) -> list[DeadGroup]:
        return await self._access.read(
            lambda connection: delivery_listing.dead_groups(connection, scope, endpoint_id=endpoint_id, limit=limit)
        )

    async def delivery_counts(self, scope: Scope, *, recount: bool = False) -> list[DeliveryCounts]:
        def work(connection: apsw.Connection) -> list[DeliveryCounts]:
            rows = [row for row in fetch(connection, "delivery_counts") if scope.allows(row.client_id)]
            if not recount:
                return [build(DeliveryCounts, row) for row in rows]
            counted = {row.endpoint_id: row.pending for row in fetch(connection, "count_pending")}
            return [build(DeliveryCounts, row, pending=counted.get(row.endpoint_id, 0)) for row in rows]

        return await self._access.read_snapshot(work)


def _delivery(connection: apsw.Connection, delivery_id: int, scope: Scope) -> Delivery | None:
    rows = list(fetch(connection, "delivery", delivery_id))
    return next((row_mapping.delivery(row) for row in rows if scope.allows(row.client_id)), None)


def _attempts(connection: apsw.Connection, delivery_id: int) -> list[Attempt]:
    return [row_mapping.attempt(row) for row in fetch(connection, "attempts", delivery_id, ATTEMPTS_MAX)][::-1]


def _replay(row: Row) -> Replay:
    return row_mapping.replay(row, _TYPES.decode(row.types))
