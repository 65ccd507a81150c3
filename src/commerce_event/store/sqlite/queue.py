"""The queue: claim deliveries under a lease, and requeue, cancel and replay them.

Results are recorded only while the claim holds (fencing by run_id).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import apsw
import msgspec

from commerce_event.core.health import FAILING_FROM
from commerce_event.core.model import DeliveryState, Replay
from commerce_event.store import row_mapping
from commerce_event.store.endpoint_health import SUCCESS_STEP_MS, health_changes
from commerce_event.store.insert_rows import must_wait, replayed_row
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
from commerce_event.store.row_mapping import Row
from commerce_event.store.sqlite.access import Access
from commerce_event.store.sqlite.journal import busy_order_keys, count_new_deliveries
from commerce_event.store.sqlite.sql import (
    as_json,
    execute,
    fetch,
    fetch_column,
    fetch_rows,
    fetch_value,
    write_rows,
)

_STATES: Final = ("delivered", "dead", "cancelled", "pending")  # in the order of the counts' columns


class SqliteQueue:
    """The queue."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def backlog(self) -> list[EndpointBacklog]:
        return await self._access.read_for_queue(
            lambda connection: list(map(row_mapping.backlog, fetch(connection, "backlog")))
        )

    async def claim(self, requests: Sequence[ClaimRequest], *, now_ms: int, lease_until_ms: int) -> list[Claimed]:
        limits: Counter[tuple[int, int]] = Counter()
        for request in requests:
            limits[request.endpoint_id, request.kind] += request.limit
        run_id = self._access.run_id

        def work(connection: apsw.Connection) -> list[Claimed]:
            rows: list[Row] = []
            for (endpoint_id, kind), limit in limits.items():
                rows += fetch(connection, "due", endpoint_id, int(kind), now_ms, limit)
            if damaged := [row.delivery_id for row in rows if row.event_id is None]:
                _finish(connection, damaged, state="dead", reason=DAMAGED, now_ms=now_ms)
                rows = [row for row in rows if row.event_id is not None]
            interrupted = [
                (row.delivery_id, row.number - 1, row.leased_ms) for row in rows if row.former_run_id is not None
            ]
            _record_interrupted(connection, interrupted, now_ms)
            ids = [(row.delivery_id,) for row in rows]
            write_rows(connection, "claim", ids, before=(run_id, lease_until_ms, now_ms))
            return [row_mapping.claimed(row, run_id=run_id, lease_until_ms=lease_until_ms) for row in rows]

        return await self._access.write(work)

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        def work(connection: apsw.Connection) -> list[bool]:
            held = _held_claims(connection, settlements)
            kept = [settlement for settlement, is_held in zip(settlements, held, strict=True) if is_held]
            attempts = [
                (settlement.delivery_id, settlement.attempt.number, *row_mapping.attempt_row(settlement.attempt))
                for settlement in kept
            ]
            results = [
                (
                    settlement.delivery_id,
                    settlement.state,
                    settlement.failure_count,
                    settlement.due_ms,
                    settlement.reason,
                    None if settlement.state == "pending" else settlement.attempt.ended_ms,
                )
                for settlement in kept
            ]
            write_rows(connection, "insert_attempts", attempts)
            write_rows(connection, "settle", results)
            finished = [settlement for settlement in kept if settlement.state != "pending"]
            _move_counts(connection, ((settlement.endpoint_id, "pending", settlement.state) for settlement in finished))
            if finished:
                ids = [settlement.delivery_id for settlement in finished]
                _release_next(connection, ids, max(settlement.attempt.ended_ms for settlement in finished))
            changes = [msgspec.structs.astuple(change) for change in health_changes(kept)]
            write_rows(connection, "record_health", changes, before=(FAILING_FROM, SUCCESS_STEP_MS))
            return held

        return await self._access.write(work)

    async def release_claims(self, claimed: Sequence[Claimed], *, now_ms: int) -> None:
        rows = [(delivery.delivery_id, delivery.run_id, delivery.number) for delivery in claimed]
        await self._access.write(lambda connection: write_rows(connection, "release_claims", rows, before=(now_ms,)))

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
        def work(connection: apsw.Connection) -> int:
            if revision is not None and fetch_value(connection, "endpoint_revision", endpoint_id) != revision:
                return 0
            ids = fetch_column(connection, "pending_of_endpoint", endpoint_id, now_ms, limit)
            return _finish(connection, ids, state=state, reason=reason, now_ms=now_ms)

        return await self._access.write(work)

    async def requeue(
        self,
        delivery_ids: Sequence[int],
        *,
        now_ms: int,
        replay: Replay | None = None,
        expected_cursor: int | None = None,
    ) -> int:
        def work(connection: apsw.Connection) -> int:
            if replay is not None and not _put_replay(connection, replay, expected_cursor):
                return 0
            rows = [
                row
                for row in _deliveries_by_id(connection, delivery_ids)
                if row.state != "delivered" and row.run_id is None
            ]
            finished = [NewDelivery(row.id, row.endpoint_id, row.order_key) for row in rows if row.state != "pending"]
            busy = busy_order_keys(connection, finished)
            due: list[tuple[int, int | None]] = [
                (delivery.id, None if must_wait(delivery, busy) else now_ms) for delivery in finished
            ]
            due += [(row.id, None if row.due_ms is None else now_ms) for row in rows if row.state == "pending"]
            write_rows(connection, "requeue", due, before=(None if replay is None else replay.id,))
            _move_counts(connection, ((row.endpoint_id, row.state, "pending") for row in rows))
            if replay is not None:
                _put_replay(connection, msgspec.structs.replace(replay, queued=replay.queued + len(rows)), None)
            return len(rows)

        return await self._access.write(work)

    async def cancel(self, delivery_ids: Sequence[int], *, reason: str, now_ms: int) -> int:
        return await self._access.write(
            lambda connection: _finish(connection, delivery_ids, state="cancelled", reason=reason, now_ms=now_ms)
        )

    async def add_deliveries(
        self,
        deliveries: Sequence[NewDelivery],
        event_ids: Sequence[int],
        *,
        replay: Replay,
        now_ms: int,
        expected_cursor: int | None = None,
    ) -> None:
        def work(connection: apsw.Connection) -> None:
            if not _put_replay(connection, replay, expected_cursor):
                return
            wanted = [(event_id,) for event_id in event_ids]
            existing = {row.id for row in fetch_rows(connection, "existing_events", wanted)}
            pairs = [
                (delivery, event_id)
                for delivery, event_id in zip(deliveries, event_ids, strict=True)
                if event_id in existing  # retention may have deleted some
            ]
            busy = busy_order_keys(connection, [delivery for delivery, _ in pairs])
            rows = [
                replayed_row(delivery, event_id, busy, replay=replay, now_ms=now_ms) for delivery, event_id in pairs
            ]
            write_rows(connection, "insert_deliveries", rows)
            count_new_deliveries(connection, [(delivery.endpoint_id, replay.client_id) for delivery, _ in pairs])

        await self._access.write(work)

    async def discard(self, delivery_ids: Sequence[int], *, reason: str, now_ms: int) -> int:
        def work(connection: apsw.Connection) -> int:
            rows = [row for row in _deliveries_by_id(connection, delivery_ids) if row.state == "dead"]
            write_rows(connection, "discard", [(row.id,) for row in rows], before=(reason, now_ms))
            _move_counts(connection, ((row.endpoint_id, "dead", "cancelled") for row in rows))
            return len(rows)

        return await self._access.write(work)

    async def finish_replay(self, replay_id: int, *, state: DeliveryState, reason: str, now_ms: int, limit: int) -> int:
        def work(connection: apsw.Connection) -> int:
            ids = fetch_column(connection, "pending_of_replay", replay_id, limit)
            return _finish(connection, ids, state=state, reason=reason, now_ms=now_ms)

        return await self._access.write(work)

    async def put_replay(self, replay: Replay, *, expected_cursor: int | None = None) -> bool:
        return await self._access.write(lambda connection: _put_replay(connection, replay, expected_cursor))


def release_former_claims(connection: apsw.Connection, now_ms: int) -> int:
    """Record the attempts of former runs as interrupted, and make their deliveries due now; return how many."""
    execute(connection, "record_interrupted", now_ms, INTERRUPTED)
    execute(connection, "release_former_claims", now_ms)
    return connection.changes()


def _put_replay(connection: apsw.Connection, replay: Replay, expected_cursor: int | None) -> bool:
    """Store a replay. Return False, with nothing stored, when another step was first: see ``put_replay``."""
    if expected_cursor is not None:
        present = next(fetch(connection, "replay_progress", replay.id), None)
        if present is None or present.cursor != expected_cursor or not may_follow(present.state, replay.state):
            return False
    values = msgspec.structs.asdict(replay) | {"types": as_json(replay.types)}
    execute(connection, "put_replay", *values.values())
    return True


def _held_claims(connection: apsw.Connection, settlements: Sequence[Settlement]) -> list[bool]:
    """Tell for each settlement whether its claim still holds: one count when all do, else one query each."""
    rows = [(each.delivery_id, each.run_id, each.attempt.number) for each in settlements]

    def count(some: Sequence[tuple[int, int, int]]) -> int:
        return sum(row.held for row in fetch_rows(connection, "count_held_claims", some))

    return [True] * len(rows) if count(rows) == len(rows) else [count([row]) == 1 for row in rows]


def _deliveries_by_id(connection: apsw.Connection, delivery_ids: Sequence[int]) -> list[Row]:
    """Return the deliveries in the order of their events, independent of the order of the ids."""
    wanted = [(delivery_id,) for delivery_id in sorted(set(delivery_ids))]
    return list(fetch_rows(connection, "deliveries_by_id", wanted))


def _finish(
    connection: apsw.Connection, delivery_ids: Sequence[int], *, state: DeliveryState, reason: str, now_ms: int
) -> int:
    """Finish those that are pending, and record attempts under way as interrupted; return how many."""
    rows = [row for row in _deliveries_by_id(connection, delivery_ids) if row.state == "pending"]
    interrupted = [(row.id, row.attempt_count, row.leased_ms) for row in rows if row.run_id is not None]
    _record_interrupted(connection, interrupted, now_ms)
    write_rows(connection, "finish", [(row.id,) for row in rows], before=(state, reason, now_ms))
    _move_counts(connection, ((row.endpoint_id, "pending", state) for row in rows))
    _release_next(connection, [row.id for row in rows], now_ms)
    return len(rows)


def _record_interrupted(connection: apsw.Connection, claims: Sequence[tuple[int, int, int]], now_ms: int) -> None:
    """Write an attempt for each (delivery, number, leased since) that was never answered."""
    rows = [
        (delivery_id, number, since_ms, max(0, now_ms - since_ms), None, INTERRUPTED, "[]", b"", None)
        for delivery_id, number, since_ms in claims
    ]
    write_rows(connection, "insert_attempts", rows)


def _move_counts(connection: apsw.Connection, moves: Iterable[tuple[int, DeliveryState, DeliveryState]]) -> None:
    """Update the counts of endpoints for deliveries given as (endpoint, from, to)."""
    deltas: Counter[tuple[int, str]] = Counter()
    for endpoint_id, source, target in moves:
        deltas[endpoint_id, source] -= 1
        deltas[endpoint_id, target] += 1
    endpoints = {endpoint_id for endpoint_id, _ in deltas}
    rows = [(endpoint_id, *(deltas[endpoint_id, state] for state in _STATES)) for endpoint_id in endpoints]
    write_rows(connection, "move_counts", rows)


def _release_next(connection: apsw.Connection, finished_ids: Sequence[int], now_ms: int) -> None:
    """Make the next delivery of each finished one's order key due."""
    wanted = [(delivery_id,) for delivery_id in finished_ids]
    for row in list(fetch_rows(connection, "order_keys", wanted)):
        execute(connection, "release_next", now_ms, row.endpoint_id, row.order_key)
