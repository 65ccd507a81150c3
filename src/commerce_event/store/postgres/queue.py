"""The queue: claim deliveries under a lease, and requeue, cancel and replay them.

Results are recorded only while the claim holds (fencing by run_id).

Every transaction locks in the same order, so that no deadlock can arise: the endpoint or the replay, order keys,
deliveries by id, counts by endpoint, health by endpoint.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import compress
from typing import Any, Final

import msgspec

from commerce_event.core.health import FAILING_FROM
from commerce_event.core.model import DeliveryState, Replay
from commerce_event.store import row_mapping
from commerce_event.store.endpoint_health import SUCCESS_STEP_MS, health_changes
from commerce_event.store.insert_rows import OrderKey, must_wait, order_keys_of, replayed_row
from commerce_event.store.model import (
    DAMAGED,
    INTERRUPTED,
    Claimed,
    ClaimRequest,
    EndpointBacklog,
    NewDelivery,
    Settlement,
    may_follow,
)
from commerce_event.store.port import StoreUnavailableError
from commerce_event.store.postgres.cluster import Cluster
from commerce_event.store.postgres.counts import count_new_deliveries, count_requeued, finishing_slot
from commerce_event.store.postgres.executor import Executor
from commerce_event.store.postgres.journal import busy_order_keys
from commerce_event.store.postgres.locks import lock_order_keys
from commerce_event.store.postgres.sql import Connection, columns, execute, fetch, fetch_column, fetch_value
from commerce_event.store.postgres.vacuum import QueueVacuum
from commerce_event.store.row_mapping import Row

_FINISH_TRIES: Final = 10


class PostgresQueue:
    """The queue."""

    def __init__(self, executor: Executor, cluster: Cluster) -> None:
        self._executor = executor
        self._cluster = cluster
        self._vacuum = QueueVacuum(executor)

    async def backlog(self) -> list[EndpointBacklog]:
        rows = await self._executor.run(lambda connection: fetch(connection, "backlog"))
        return list(map(row_mapping.backlog, rows))

    async def claim(self, requests: Sequence[ClaimRequest], *, now_ms: int, lease_until_ms: int) -> list[Claimed]:
        limits: Counter[tuple[int, int]] = Counter()
        for request in requests:
            limits[request.endpoint_id, request.kind] += request.limit
        wanted = columns([(endpoint_id, int(kind), limit) for (endpoint_id, kind), limit in limits.items()], 3)
        run_id = self._cluster.run_id
        rows = await self._executor.run(
            lambda connection: fetch(connection, "claim", *wanted, now_ms, run_id, lease_until_ms, INTERRUPTED)
        )
        damaged = [row for row in rows if row.event_id is None]
        if damaged:
            with suppress(StoreUnavailableError):  # the next claim finds them again
                await self._finish_damaged(damaged, now_ms=now_ms, lease_until_ms=lease_until_ms)
        return [
            row_mapping.claimed(row, run_id=run_id, lease_until_ms=lease_until_ms)
            for row in rows
            if row.event_id is not None
        ]

    async def _finish_damaged(self, rows: Sequence[Row], *, now_ms: int, lease_until_ms: int) -> None:
        """Finish claimed deliveries whose events are lost: there is nothing to send."""
        ids = [row.delivery_id for row in rows]
        run_id = self._cluster.run_id
        claims = sorted((row.delivery_id, run_id, row.number, lease_until_ms) for row in rows)

        async def work(connection: Connection) -> None:
            await lock_order_keys(connection, await _order_keys(connection, ids))
            await execute(connection, "release_claims", now_ms, *columns(claims, 4), [0])
            await self._finish(connection, ids, state="dead", reason=DAMAGED, now_ms=now_ms)

        await self._executor.write(work)

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        finishing = [each for each in settlements if each.state != "pending"]
        finishing_ids = [each.delivery_id for each in finishing]
        endpoints = list({each.endpoint_id for each in finishing})
        results = [_result_row(each) for each in sorted(settlements, key=lambda each: each.delivery_id)]
        finished_ms = max((each.attempt.ended_ms for each in settlements), default=0)
        slot = finishing_slot(self._cluster.run_id)

        async def work(connection: Connection) -> tuple[list[bool], bool]:
            if not settlements:
                return [], False
            with_order_key = await fetch(connection, "pending_order_keys", finishing_ids, endpoints)
            await lock_order_keys(connection, {(row.endpoint_id, row.order_key) for row in with_order_key})
            held = await fetch(connection, "settle", slot, *columns(results, 15))
            finished = [row for row in held if row.endpoint_id is not None]
            released = await _release_next(connection, finished, finished_ms)
            recorded = _recorded(settlements, held)
            await _record_health(connection, compress(settlements, recorded))
            return recorded, released

        recorded, released = await self._executor.write(work)
        self._vacuum.count_settled(len(settlements))
        if released:
            self._cluster.tell("work")
        return recorded

    async def release_claims(self, claimed: Sequence[Claimed], *, now_ms: int) -> None:
        claims = sorted((each.delivery_id, each.run_id, each.number, each.lease_until_ms) for each in claimed)
        shifts_ms = self._cluster.lease_shifts.sums_ms
        await self._executor.run(
            lambda connection: execute(connection, "release_claims", now_ms, *columns(claims, 4), shifts_ms)
        )
        self._cluster.tell("work")

    async def finish_pending(
        self,
        endpoint_id: int,
        *,
        state: DeliveryState,
        reason: str,
        now_ms: int,
        limit: int,
        revision: int | None = None,
    ) -> int:
        async def work(connection: Connection) -> int:
            if revision is not None:
                present = await fetch_value(connection, "endpoint_revision_for_share", endpoint_id)
                if present != revision:
                    return 0
            for _ in range(_FINISH_TRIES):  # other nodes may claim all of them before they are locked
                ids = await fetch_column(connection, "pending_of_endpoint", endpoint_id, now_ms, limit)
                finished = await self._finish(connection, ids, state=state, reason=reason, now_ms=now_ms)
                if finished or not ids:
                    return finished
            return 0

        return await self._executor.write(work)

    async def requeue(
        self,
        delivery_ids: Sequence[int],
        *,
        now_ms: int,
        replay: Replay | None = None,
        expected_cursor: int | None = None,
    ) -> int:
        replay_id = None if replay is None else replay.id

        async def work(connection: Connection) -> int:
            if replay is not None and not await _put_replay(connection, replay, expected_cursor):
                return 0
            await lock_order_keys(connection, await _order_keys(connection, delivery_ids))
            count = len(await fetch(connection, "requeue_pending", delivery_ids, now_ms, replay_id))
            event_ids = await fetch_column(connection, "events_of_finished", delivery_ids)
            if event_ids:
                await execute(connection, "lock_events_for_deliveries", event_ids)
                finished = await fetch(connection, "finished_to_requeue", delivery_ids)
                finished.sort(key=lambda row: (row.turn, row.id))
                again = [NewDelivery(row.id, row.endpoint_id, row.order_key) for row in finished]
                busy = await busy_order_keys(connection, again)
                due = [(each.id, None if must_wait(each, busy) else now_ms) for each in again]
                await execute(connection, "requeue_finished", *columns(due, 2), replay_id)
                moved = [(row.endpoint_id, row.client_id, row.state) for row in finished]
                await count_requeued(connection, moved, run_id=self._cluster.run_id)
                count += len(finished)
            if replay is not None:
                await _put_replay(connection, msgspec.structs.replace(replay, queued=replay.queued + count), None)
            return count

        count = await self._executor.write(work)
        self._cluster.tell("work")
        return count

    async def cancel(self, delivery_ids: Sequence[int], *, reason: str, now_ms: int) -> int:
        count = await self._executor.write(
            lambda connection: self._finish(
                connection, delivery_ids, state="cancelled", reason=reason, now_ms=now_ms, leased=True
            )
        )
        self._cluster.tell("work")
        return count

    async def add_deliveries(
        self,
        deliveries: Sequence[NewDelivery],
        event_ids: Sequence[int],
        *,
        replay: Replay,
        now_ms: int,
        expected_cursor: int | None = None,
    ) -> None:
        async def work(connection: Connection) -> None:
            if not await _put_replay(connection, replay, expected_cursor):
                return
            await lock_order_keys(connection, order_keys_of(deliveries))
            existing = set(await fetch_column(connection, "lock_events_for_deliveries", list(set(event_ids))))
            pairs = [
                (delivery, event_id)
                for delivery, event_id in zip(deliveries, event_ids, strict=True)
                if event_id in existing  # retention may have deleted some
            ]
            busy = await busy_order_keys(connection, [delivery for delivery, _ in pairs])
            turn = await fetch_value(
                connection, "last_sequence", replay.client_id
            )  # after all that the client has sent
            rows = [
                (*replayed_row(delivery, event_id, busy, replay=replay, now_ms=now_ms), turn)
                for delivery, event_id in pairs
            ]
            await execute(connection, "insert_deliveries", *columns(rows, 14))
            endpoints = [(delivery.endpoint_id, replay.client_id) for delivery, _ in pairs]
            await count_new_deliveries(connection, endpoints, run_id=self._cluster.run_id)

        await self._executor.write(work)
        self._cluster.tell("work")

    async def discard(self, delivery_ids: Sequence[int], *, reason: str, now_ms: int) -> int:
        slot = finishing_slot(self._cluster.run_id)
        return int(
            await self._executor.run(
                lambda connection: fetch_value(connection, "discard", slot, delivery_ids, reason, now_ms)
            )
        )

    async def finish_replay(self, replay_id: int, *, state: DeliveryState, reason: str, now_ms: int, limit: int) -> int:
        async def work(connection: Connection) -> int:
            ids = await fetch_column(connection, "pending_of_replay", replay_id, limit)
            return await self._finish(connection, ids, state=state, reason=reason, now_ms=now_ms, leased=True)

        count = await self._executor.write(work)
        self._cluster.tell("work")
        return count

    async def put_replay(self, replay: Replay, *, expected_cursor: int | None = None) -> bool:
        return await self._executor.write(lambda connection: _put_replay(connection, replay, expected_cursor))

    async def _finish(
        self,
        connection: Connection,
        delivery_ids: Sequence[int],
        *,
        state: DeliveryState,
        reason: str,
        now_ms: int,
        leased: bool = False,
    ) -> int:
        """Finish pending deliveries, also those that are ``leased``; return how many."""
        await lock_order_keys(connection, await _order_keys(connection, delivery_ids))
        slot = finishing_slot(self._cluster.run_id)
        held = await fetch(connection, "finish", slot, delivery_ids, state, reason, now_ms, leased, INTERRUPTED)
        await _release_next(connection, held, now_ms)
        return len(held)


def _result_row(settlement: Settlement) -> tuple[Any, ...]:
    attempt = settlement.attempt
    return (
        settlement.delivery_id,
        settlement.run_id,
        attempt.number,
        settlement.state,
        settlement.failure_count,
        settlement.due_ms,
        settlement.reason,
        None if settlement.state == "pending" else attempt.ended_ms,
        *row_mapping.attempt_row(attempt),
    )


def _recorded(settlements: Sequence[Settlement], held: Iterable[Row]) -> list[bool]:
    """Tell for each settlement whether its claim was held."""
    claims = {(row.id, row.number, row.run_id) for row in held}
    return [(each.delivery_id, each.attempt.number, each.run_id) in claims for each in settlements]


async def _record_health(connection: Connection, recorded: Iterable[Settlement]) -> None:
    """Update the health of endpoints, last in a transaction, so that other nodes wait only for its commit."""
    changes = [msgspec.structs.astuple(change) for change in health_changes(recorded)]
    if changes:
        await execute(connection, "record_health", FAILING_FROM, SUCCESS_STEP_MS, *columns(changes, 13))


async def _put_replay(connection: Connection, replay: Replay, expected_cursor: int | None) -> bool:
    """Store a replay. Return False, with nothing stored, when another step was first: see ``put_replay``."""
    if expected_cursor is not None:
        present = next(iter(await fetch(connection, "replay_progress", replay.id)), None)
        if present is None or present.cursor != expected_cursor or not may_follow(present.state, replay.state):
            return False
    await execute(connection, "put_replay", *msgspec.structs.astuple(replay))
    return True


async def _order_keys(connection: Connection, delivery_ids: Sequence[int]) -> set[OrderKey]:
    return {(row.endpoint_id, row.order_key) for row in await fetch(connection, "order_keys", delivery_ids)}


async def _release_next(connection: Connection, finished: Iterable[Row], now_ms: int) -> bool:
    """Make the next delivery of each finished one's order key due; tell whether there was a key. Keys are locked."""
    keys = sorted({(row.endpoint_id, row.order_key) for row in finished if row.order_key is not None})
    if keys:
        await execute(connection, "release_next", now_ms, *columns(keys, 2))
    return bool(keys)
