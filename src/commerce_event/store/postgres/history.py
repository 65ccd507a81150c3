"""Reads of events, deliveries, attempts, replays and counts."""

from collections.abc import Sequence

from commerce_event.core.model import Attempt, Delivery, DeliveryState, Event, Replay, Scope
from commerce_event.store import row_mapping
from commerce_event.store.fair_slots import search_slots
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
from commerce_event.store.postgres import delivery_listing, event_listing
from commerce_event.store.postgres.conditions import Conditions
from commerce_event.store.postgres.executor import Executor
from commerce_event.store.postgres.sql import Connection, by_name, fetch, fetch_column, fetch_value
from commerce_event.store.row_mapping import build


class PostgresHistory:
    """The history."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._search_slots = search_slots()  # fewer than connections for reads

    async def replay(self, replay_id: int) -> Replay | None:
        rows = await self._executor.read(lambda connection: fetch(connection, "replay", replay_id))
        return row_mapping.replay(rows[0], rows[0].types) if rows else None

    async def replays(self, scope: Scope, page: Page, *, running: bool = False) -> list[Replay]:
        where = Conditions()
        where.add_scope(scope, "client_id")
        where.add_bounds("id", None, page.before)
        if running:
            where.add("state IN ('running', 'cancelling')")
        limit, order = where.place(page.limit), "ASC" if running else "DESC"
        sql = f"SELECT {row_mapping.REPLAY} FROM replay WHERE {where.sql} ORDER BY id {order} LIMIT {limit}"
        rows = by_name(await self._executor.read(lambda connection: connection.fetch(sql, *where.values)))
        return [row_mapping.replay(row, row.types) for row in rows]

    async def replay_states(self, replay_id: int) -> dict[DeliveryState, int]:
        rows = await self._executor.read(lambda connection: fetch(connection, "replay_states", replay_id))
        return {row.state: row.count for row in rows}

    async def replay_ended_ms(self, replay_id: int) -> int | None:
        ended_ms: int | None = await self._executor.read(
            lambda connection: fetch_value(connection, "replay_ended_ms", replay_id)
        )
        return ended_ms

    async def replays_with(self, replay_ids: Sequence[int], state: DeliveryState) -> set[int]:
        ids = list(replay_ids)
        return set(await self._executor.read(lambda connection: fetch_column(connection, "replays_with", ids, state)))

    async def event(self, event_id: int, scope: Scope) -> Event | None:
        rows = await self._executor.read(lambda connection: fetch(connection, "event", event_id))
        return next((row_mapping.event(row) for row in rows if scope.allows(row.client_id)), None)

    async def events(self, query: EventQuery, page: Page) -> list[Event]:
        if query.text is None:
            return await self._executor.read(lambda connection: event_listing.events(connection, query, page))
        async with self._search_slots.slot(query.scope.client_ids):
            return await self._executor.read(lambda connection: event_listing.events(connection, query, page))

    async def events_after(self, client_id: int, sequence: int, limit: int) -> list[Event]:
        rows = await self._executor.read(
            lambda connection: fetch(connection, "events_after", client_id, sequence, limit)
        )
        return [row_mapping.event(row) for row in rows]

    async def last_sequences(self, client_ids: Sequence[int]) -> dict[int, int]:
        ids = list(client_ids)
        rows = await self._executor.read(lambda connection: fetch(connection, "last_sequences", ids))
        return {row.client_id: row.last_sequence for row in rows}

    async def events_between(
        self, client_id: int, *, after_id: int, until_ms: int, types: Sequence[str], limit: int
    ) -> list[Event]:
        return await self._executor.read(
            lambda connection: event_listing.events_between(
                connection, client_id, after_id=after_id, until_ms=until_ms, types=types, limit=limit
            )
        )

    async def events_by_id(self, event_ids: Sequence[int], scope: Scope) -> dict[int, Event]:
        ids = list(event_ids)
        rows = await self._executor.read(lambda connection: fetch(connection, "events_by_id", ids))
        return {row.id: row_mapping.event(row) for row in rows if scope.allows(row.client_id)}

    async def delivery(self, delivery_id: int, scope: Scope) -> Delivery | None:
        return await self._executor.read(lambda connection: _delivery(connection, delivery_id, scope))

    async def deliveries_with_attempts(
        self, delivery_ids: Sequence[int], scope: Scope
    ) -> list[tuple[Delivery, list[Attempt]]]:
        async def work(connection: Connection) -> list[tuple[Delivery, list[Attempt]]]:
            found = [await _delivery(connection, delivery_id, scope) for delivery_id in delivery_ids]
            return [(each, await _attempts(connection, each.id)) for each in found if each is not None]

        return await self._executor.read_snapshot(work)

    async def deliveries(self, query: DeliveryQuery, page: Page) -> list[Delivery]:
        return await self._executor.read(lambda connection: delivery_listing.deliveries(connection, query, page))

    async def deliveries_with_last_attempts(
        self, query: DeliveryQuery, page: Page
    ) -> tuple[list[Delivery], dict[int, Attempt]]:
        async def work(connection: Connection) -> tuple[list[Delivery], dict[int, Attempt]]:
            found = await delivery_listing.deliveries(connection, query, page)
            rows = await fetch(connection, "last_attempts", [each.id for each in found])
            return found, row_mapping.last_attempts(rows)

        return await self._executor.read_snapshot(work)

    async def deliveries_of_events(
        self, event_ids: Sequence[int], scope: Scope, *, limit: int
    ) -> tuple[list[Delivery], dict[int, Attempt]]:
        ids = list(event_ids)

        async def work(connection: Connection) -> tuple[list[Delivery], dict[int, Attempt]]:
            rows = await fetch(connection, "deliveries_of_events", ids, limit)
            found = [row_mapping.delivery(row) for row in rows if scope.allows(row.client_id)]
            last = await fetch(connection, "last_attempts", [each.id for each in found])
            return found, row_mapping.last_attempts(last)

        return await self._executor.read_snapshot(work)

    async def oldest_pending(self, endpoint_ids: Sequence[int], *, limit: int) -> list[Delivery]:
        ids = list(endpoint_ids)
        rows = await self._executor.read(
            lambda connection: fetch(connection, "oldest_pending", ids, PENDING_EXAMINED_MAX, limit)
        )
        return [row_mapping.delivery(row) for row in rows]

    async def count_deliveries(self, query: DeliveryQuery, *, limit: int) -> int:
        where = delivery_listing.conditions_of(query, Page(limit))
        most = where.place(limit)
        sql = f"SELECT count(*) FROM (SELECT FROM delivery AS d WHERE {where.sql} LIMIT {most}) AS found"
        return int(await self._executor.read(lambda connection: connection.fetchval(sql, *where.values)))

    async def delivery_states(self, event_ids: Sequence[int], scope: Scope) -> dict[int, dict[DeliveryState, int]]:
        ids = list(event_ids)
        rows = await self._executor.read(lambda connection: fetch(connection, "delivery_states", ids))
        return row_mapping.delivery_states(rows, scope)

    async def events_with_delivery(self, endpoint_id: int, event_ids: Sequence[int]) -> set[int]:
        ids = list(event_ids)
        return set(
            await self._executor.read(
                lambda connection: fetch_column(connection, "events_with_delivery", endpoint_id, ids)
            )
        )

    async def dead_in_group(
        self, endpoint_id: int, *, reason: str | None, error: str | None, before: int | None, limit: int
    ) -> tuple[list[int], int | None]:
        end = 2**63 - 1 if before is None else before
        rows = await self._executor.read(
            lambda connection: fetch(connection, "dead_with_errors", endpoint_id, end, limit)
        )
        return row_mapping.in_dead_group(rows, reason, error, limit)

    async def endpoint_health(self, scope: Scope) -> list[EndpointHealth]:
        rows = await self._executor.read(lambda connection: fetch(connection, "endpoint_health"))
        return [build(EndpointHealth, row) for row in rows if scope.allows(row.client_id)]

    async def recent_attempts(self, endpoint_id: int, limit: int) -> list[Attempt]:
        rows = await self._executor.read(lambda connection: fetch(connection, "recent_attempts", endpoint_id, limit))
        return [row_mapping.attempt(row) for row in rows]

    async def dead_groups(self, scope: Scope, *, endpoint_id: int | None, limit: int) -> list[DeadGroup]:
        return await self._executor.read(
            lambda connection: delivery_listing.dead_groups(connection, scope, endpoint_id=endpoint_id, limit=limit)
        )

    async def delivery_counts(self, scope: Scope, *, recount: bool = False) -> list[DeliveryCounts]:
        rows = await self._executor.read(lambda connection: fetch(connection, "delivery_counts", recount))
        return [build(DeliveryCounts, row) for row in rows if scope.allows(row.client_id)]


async def _delivery(connection: Connection, delivery_id: int, scope: Scope) -> Delivery | None:
    rows = await fetch(connection, "delivery", delivery_id)
    return next((row_mapping.delivery(row) for row in rows if scope.allows(row.client_id)), None)


async def _attempts(connection: Connection, delivery_id: int) -> list[Attempt]:
    rows = await fetch(connection, "attempts", delivery_id, ATTEMPTS_MAX)
    return [row_mapping.attempt(row) for row in rows[::-1]]
