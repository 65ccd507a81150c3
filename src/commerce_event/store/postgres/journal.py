"""Store events with their deliveries in one transaction; number each client's events without gaps."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterable, Sequence
from itertools import islice

import asyncpg

from commerce_event.store.insert_rows import (
    FirstEvent,
    OrderKey,
    assign_sequences,
    delivery_row,
    event_row,
    order_keys_of,
)
from commerce_event.store.model import Accepted, NewDelivery, NewEvent
from commerce_event.store.port import ConfigChangedError, StoreUnavailableError
from commerce_event.store.postgres.cluster import Cluster
from commerce_event.store.postgres.counts import count_new_deliveries
from commerce_event.store.postgres.executor import Executor
from commerce_event.store.postgres.locked_clients import LockedClients, RowsLockedError, clients_of, must_wait
from commerce_event.store.postgres.locks import lock_order_keys
from commerce_event.store.postgres.sql import Connection, columns, execute, fetch, fetch_column


class PostgresJournal:
    """The journal. Submissions of clients whose rows another node has locked are stored later, by LockedClients."""

    def __init__(self, executor: Executor, cluster: Cluster) -> None:
        self._executor = executor
        self._cluster = cluster
        self._locked = LockedClients(executor, self._store)

    async def close(self) -> None:
        """Fail the submissions that are not stored yet. The executor is closed."""
        await self._locked.close()

    async def accept(
        self, submissions: Sequence[Sequence[NewEvent]], *, config_version: int | None = None
    ) -> list[list[Accepted] | Awaitable[list[Accepted]]]:
        started_at = asyncio.get_running_loop().time()
        clients = [clients_of(each) for each in submissions]
        locked = self._locked.clients
        while True:
            late = must_wait(clients, locked)
            ready = [each for each, waits in zip(submissions, late, strict=True) if not waits]
            try:
                stored = iter(await self._store([event for each in ready for event in each], config_version))
                break
            except RowsLockedError:
                locked |= await self._locked_clients(clients_of([event for each in ready for event in each]))
        return [
            self._locked.add(each, config_version, started_at) if waits else list(islice(stored, len(each)))
            for each, waits in zip(submissions, late, strict=True)
        ]

    async def _store(self, events: Sequence[NewEvent], config_version: int | None) -> list[Accepted]:
        """Store events in one transaction. Raises RowsLockedError when another node has locked rows for too long."""

        if not events:
            return []

        async def work(connection: Connection) -> list[Accepted]:
            try:
                return await _accept(connection, events, config_version=config_version, run_id=self._cluster.run_id)
            except asyncpg.LockNotAvailableError:
                raise RowsLockedError from None

        answers = await self._executor.write(work)
        if any(delivery.lease_until_ms is None for event in events for delivery in event.deliveries):
            self._cluster.tell("work")
        return answers

    async def _locked_clients(self, clients: frozenset[int]) -> frozenset[int]:
        """Return the clients whose rows are locked now, all when none is: the lock may be on other rows."""
        unlocked = await self._executor.run(
            lambda connection: fetch_column(connection, "unlocked_clients", list(clients))
        )
        return clients.difference(unlocked) or clients

    async def check_writable(self) -> None:
        read_only = "SELECT current_setting('transaction_read_only')"
        if await self._executor.run(lambda connection: connection.fetchval(read_only)) == "on":
            raise StoreUnavailableError("the database server takes no writes now; name the primary in --store")


async def _accept(
    connection: Connection, events: Sequence[NewEvent], *, config_version: int | None, run_id: int
) -> list[Accepted]:
    await lock_order_keys(connection, order_keys_of(delivery for event in events for delivery in event.deliveries))
    # Take as many numbers as there are events of each client. From here to the commit the clients are locked.
    wanted = Counter(event.client_id for event in events)
    clients = sorted(wanted)
    taken = await fetch(connection, "take_sequences", clients, [wanted[client_id] for client_id in clients])
    if config_version is not None and taken[0].config_version != config_version:
        raise ConfigChangedError
    last = {row.client_id: row.last_sequence - wanted[row.client_id] for row in taken}
    keys = [(event.client_id, event.idempotency_key) for event in events if event.idempotency_key is not None]
    rows = await fetch(connection, "events_by_key", *columns(keys, 2)) if keys else []
    known = {(row.client_id, row.idempotency_key): FirstEvent.of(row) for row in rows}
    answers, fresh = assign_sequences(events, known, last)
    if len(fresh) < len(events):
        unused = wanted - Counter(event.client_id for event, _ in fresh)
        await execute(connection, "return_sequences", list(unused), list(unused.values()))
    if not fresh:
        return answers
    await execute(connection, "insert_events", *columns([event_row(event, sequence) for event, sequence in fresh], 12))
    new = [(delivery, event, sequence) for event, sequence in fresh for delivery in event.deliveries]
    if new:
        busy = await busy_order_keys(connection, [delivery for delivery, _, _ in new])
        deliveries = [
            (*delivery_row(delivery, event, busy, run_id=run_id), sequence) for delivery, event, sequence in new
        ]
        await execute(connection, "insert_deliveries", *columns(deliveries, 14))
        pairs = [(delivery.endpoint_id, event.client_id) for delivery, event, _ in new]
        await count_new_deliveries(connection, pairs, run_id=run_id)
    return answers


async def busy_order_keys(connection: Connection, deliveries: Iterable[NewDelivery]) -> set[OrderKey]:
    """Return the order keys of these deliveries that have an unfinished delivery already; all of them are locked."""
    wanted = order_keys_of(deliveries)
    if not wanted:
        return set()
    rows = await fetch(connection, "busy_order_keys", *columns(list(wanted), 2))
    return {(row.endpoint_id, row.order_key) for row in rows}
