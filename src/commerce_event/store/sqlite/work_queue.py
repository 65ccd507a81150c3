"""The queue: who waits, claiming under a lease, settling behind the fence, and what people do to deliveries."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import apsw
import msgspec

from commerce_event.core.model import DeliveryState, Replay
from commerce_event.store import row_mapping
from commerce_event.store.insert_rows import replayed_row, waits_or_goes_first
from commerce_event.store.port import (
    DAMAGED,
    INTERRUPTED,
    Claimed,
    ClaimRequest,
    EndpointBacklog,
    NewDelivery,
    Settlement,
)
from commerce_event.store.sqlite.journal import open_books, turns_taken
from commerce_event.store.sqlite.sql import only, run, run_rows, write_rows

_STATES: Final = ("delivered", "dead", "cancelled", "pending")  # in the order of the accounts' columns


def waiting(connection: apsw.Connection) -> list[EndpointBacklog]:
    return [
        EndpointBacklog(endpoint_id, bool(kind), due_ms) for endpoint_id, kind, due_ms in run(connection, "waiting")
    ]


def claim(
    connection: apsw.Connection, wants: Sequence[ClaimRequest], *, run_id: int, now_ms: int, lease_until_ms: int
) -> list[Claimed]:
    limits: Counter[tuple[int, bool]] = Counter()
    for want in wants:
        limits[want.endpoint_id, want.retrying] += want.limit
    rows = [
        row
        for (endpoint_id, retrying), limit in limits.items()
        for row in run(connection, "due", (endpoint_id, retrying, now_ms, limit))
    ]
    if damaged := [row[0] for row in rows if row[5] is None]:
        _end(connection, damaged, state="dead", reason=DAMAGED, now_ms=now_ms)
        rows = [row for row in rows if row[5] is not None]
    _record_interrupted(connection, [(row[0], row[2] - 1, row[13]) for row in rows if row[12] is not None], now_ms)
    write_rows(connection, "lease", [row[:1] for row in rows], before=(run_id, lease_until_ms, now_ms))
    return [row_mapping.claimed(row, run_id=run_id, lease_until_ms=lease_until_ms) for row in rows]


def take_back_former_leases(connection: apsw.Connection, now_ms: int) -> int:
    """What a former run was sending when it ended is on record as interrupted, and due now; return how many."""
    run(connection, "record_former_leases", (now_ms, INTERRUPTED))
    run(connection, "release_former_leases", (now_ms,))
    return connection.changes()


def settle(connection: apsw.Connection, settlements: Sequence[Settlement]) -> list[bool]:
    ours = _ours(connection, settlements)
    kept = [settlement for settlement, mine in zip(settlements, ours, strict=True) if mine]
    write_rows(connection, "insert_attempts", [_attempt_row(settlement) for settlement in kept])
    write_rows(connection, "settle", [_result_row(settlement) for settlement in kept])
    finished = [settlement for settlement in kept if settlement.state != "pending"]
    _move(connection, ((settlement.endpoint_id, "pending", settlement.state) for settlement in finished))
    _release(connection, [(s.delivery_id,) for s in finished], [s.attempt.ended_ms for s in finished])
    return ours


def release_claims(connection: apsw.Connection, claimed: Sequence[Claimed], *, now_ms: int) -> None:
    rows = [(delivery.delivery_id, delivery.run_id, delivery.number) for delivery in claimed]
    write_rows(connection, "release_claims", rows, before=(now_ms,))


def finish_pending(
    connection: apsw.Connection,
    endpoint_id: int,
    *,
    state: DeliveryState,
    reason: str,
    now_ms: int,
    limit: int,
    revision: int | None,
) -> int:
    if revision is not None and only(run(connection, "endpoint_revision", (endpoint_id,))) != revision:
        return 0
    ids = [row[0] for row in run(connection, "pending_of_endpoint", (endpoint_id, now_ms, limit))]
    return _end(connection, ids, state=state, reason=reason, now_ms=now_ms)


def cancel(connection: apsw.Connection, delivery_ids: Sequence[int], *, reason: str, now_ms: int) -> int:
    return _end(connection, delivery_ids, state="cancelled", reason=reason, now_ms=now_ms)


def requeue(connection: apsw.Connection, delivery_ids: Sequence[int], *, now_ms: int, replay_id: int | None) -> int:
    rows = [row for row in _states(connection, delivery_ids) if row[2] != "delivered" and row[5] is None]
    ended = [NewDelivery(row[0], row[1], row[7]) for row in rows if row[2] != "pending"]
    taken = turns_taken(connection, ended)
    due: list[tuple[int, int | None]] = [
        (delivery.id, None if waits_or_goes_first(delivery, taken) else now_ms) for delivery in ended
    ]
    due += [(row[0], None if row[4] is None else now_ms) for row in rows if row[2] == "pending"]
    write_rows(connection, "requeue", due, before=(replay_id,))
    _move(connection, ((row[1], row[2], "pending") for row in rows))
    return len(rows)


def add_deliveries(
    connection: apsw.Connection,
    deliveries: Sequence[NewDelivery],
    event_ids: Sequence[int],
    *,
    replay: Replay,
    now_ms: int,
) -> None:
    existing = {row[0] for row in run_rows(connection, "existing_events", [(event_id,) for event_id in event_ids])}
    pairs = [
        (delivery, event_id)
        for delivery, event_id in zip(deliveries, event_ids, strict=True)
        if event_id in existing  # retention may have been there first
    ]
    taken = turns_taken(connection, [delivery for delivery, _ in pairs])
    rows = [replayed_row(delivery, event_id, taken, replay=replay, now_ms=now_ms) for delivery, event_id in pairs]
    write_rows(connection, "insert_deliveries", rows)
    open_books(connection, [(delivery.endpoint_id, replay.client_id) for delivery, _ in pairs])


def _ours(connection: apsw.Connection, settlements: Sequence[Settlement]) -> list[bool]:
    """Tell for each settlement whether its lease still holds: one count when all do, one look each otherwise."""
    rows = [(s.delivery_id, s.run_id, s.attempt.number) for s in settlements]
    held = sum(row[0] for row in run_rows(connection, "held_leases", rows))
    if held == len(rows):
        return [True] * len(rows)
    return [next(run_rows(connection, "held_leases", [row]))[0] == 1 for row in rows]


def _attempt_row(settlement: Settlement) -> tuple[Any, ...]:
    attempt = settlement.attempt
    return (
        settlement.delivery_id,
        attempt.number,
        attempt.started_ms,
        attempt.duration_ms,
        attempt.status,
        attempt.error,
        msgspec.json.encode(attempt.response_headers).decode(),
        attempt.response_body,
    )


def _result_row(settlement: Settlement) -> tuple[Any, ...]:
    finished = None if settlement.state == "pending" else settlement.attempt.ended_ms
    return (
        settlement.delivery_id,
        settlement.state,
        settlement.failure_count,
        settlement.due_ms,
        settlement.reason,
        finished,
    )


def _states(connection: apsw.Connection, delivery_ids: Sequence[int]) -> list[tuple[Any, ...]]:
    """Return the deliveries in the order of their events, however they were named."""
    return list(run_rows(connection, "states", [(delivery_id,) for delivery_id in sorted(set(delivery_ids))]))


def _end(
    connection: apsw.Connection, delivery_ids: Sequence[int], *, state: DeliveryState, reason: str, now_ms: int
) -> int:
    """Finish those that are pending; an attempt under way is on record as interrupted."""
    rows = [row for row in _states(connection, delivery_ids) if row[2] == "pending"]
    _record_interrupted(connection, [(row[0], row[3], row[6]) for row in rows if row[5] is not None], now_ms)
    ids = [(row[0],) for row in rows]
    write_rows(connection, "finish", ids, before=(state, reason, now_ms))
    _move(connection, ((row[1], "pending", state) for row in rows))
    _release(connection, ids, [now_ms])
    return len(ids)


def _record_interrupted(connection: apsw.Connection, leases: Sequence[tuple[int, int, int]], now_ms: int) -> None:
    """Write an attempt row for (delivery, number, leased since) whose answer never came."""
    rows = [
        (delivery_id, number, since_ms, max(0, now_ms - since_ms), None, INTERRUPTED, "[]", b"")
        for delivery_id, number, since_ms in leases
    ]
    write_rows(connection, "insert_attempts", rows)


def _move(connection: apsw.Connection, moves: Iterable[tuple[int, DeliveryState, DeliveryState]]) -> None:
    """Move deliveries, given as (endpoint, from, to), in the accounts."""
    deltas: Counter[tuple[int, str]] = Counter()
    for endpoint_id, source, target in moves:
        deltas[endpoint_id, source] -= 1
        deltas[endpoint_id, target] += 1
    endpoints = {endpoint_id for endpoint_id, _ in deltas}
    rows = [(endpoint_id, *(deltas[endpoint_id, state] for state in _STATES)) for endpoint_id in endpoints]
    write_rows(connection, "move_in_book", rows)


def _release(connection: apsw.Connection, finished: Sequence[tuple[int]], times_ms: Sequence[int]) -> None:
    """Make the next delivery of each finished one's order key due."""
    for endpoint_id, order_key in list(run_rows(connection, "order_keys", finished)):
        run(connection, "release_next", (max(times_ms), endpoint_id, order_key))
