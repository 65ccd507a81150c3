"""Records made of rows: the columns that a statement reads, in their order, and what becomes of them."""

from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol

import msgspec

from commerce_event.core.model import Attempt, Delivery, DeliveryState, Event, Key, Replay, Scope
from commerce_event.store.port import Activity, Claimed, DeadGroup, DeliveryCounts, EndpointRow

EVENT: Final = (
    "e.id, e.client_id, e.sequence, e.type, e.application_id, e.accepted_ms, e.config_version, e.match_count, "
    "e.idempotency_key, e.traceparent, e.body"
)
DELIVERY: Final = (  # behind them comes whether it is leased
    "d.id, d.event_id, d.endpoint_id, d.client_id, d.state, d.attempt_count, d.failure_count, d.due_ms, d.order_key, "
    "d.replay_id, d.reason, d.created_ms, d.finished_ms"
)
REPLAY: Final = (
    'id, client_id, endpoint_id, since_ms, until_ms, types, "only", state, cursor, looked_at, queued, created_ms, '
    "finished_ms"
)
_HEADERS: Final = msgspec.json.Decoder(tuple[tuple[str, str], ...])


class Row(Protocol):
    """A row as either engine gives it."""

    def __getitem__(self, column: int, /) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...


def event(row: Row) -> Event:
    return Event(
        id=row[0],
        client_id=row[1],
        sequence=row[2],
        type=row[3],
        application_id=row[4],
        accepted_ms=row[5],
        config_version=row[6],
        match_count=row[7],
        idempotency_key=row[8],
        traceparent=row[9],
        body=row[10],
    )


def delivery(row: Row) -> Delivery:
    return Delivery(
        id=row[0],
        event_id=row[1],
        endpoint_id=row[2],
        client_id=row[3],
        state=row[4],
        attempt_count=row[5],
        failure_count=row[6],
        due_ms=row[7],
        order_key=row[8],
        replay_id=row[9],
        reason=row[10],
        created_ms=row[11],
        finished_ms=row[12],
        leased=bool(row[13]),
    )


def attempt(row: Row) -> Attempt:
    return Attempt(
        number=row[0],
        started_ms=row[1],
        duration_ms=row[2],
        status=row[3],
        error=row[4],
        response_headers=_HEADERS.decode(row[5] or "[]"),
        response_body=row[6] or b"",
    )


def last_attempts(rows: Iterable[Row]) -> dict[int, Attempt]:
    """Return an attempt for each delivery, without what was answered."""
    return {
        row[0]: Attempt(number=row[1], started_ms=row[2], duration_ms=row[3], status=row[4], error=row[5])
        for row in rows
    }


def delivery_states(rows: Iterable[Row], scope: Scope) -> dict[int, dict[DeliveryState, int]]:
    """Return the counts by state of each event in the scope."""
    found: dict[int, dict[DeliveryState, int]] = {}
    for event_id, client_id, state, count in rows:
        if scope.allows(client_id):
            found.setdefault(event_id, {})[state] = count
    return found


def claimed(row: Row, *, run_id: int, lease_until_ms: int) -> Claimed:
    return Claimed(
        delivery_id=row[0],
        endpoint_id=row[1],
        number=row[2],
        failure_count=row[3],
        run_id=run_id,
        lease_until_ms=lease_until_ms,
        replay_id=row[4],
        event_id=row[5],
        client_id=row[6],
        sequence=row[7],
        type=row[8],
        traceparent=row[9],
        body=row[10],
        has_order_key=bool(row[11]),
    )


def dead_group(row: Row) -> DeadGroup:
    return DeadGroup(endpoint_id=row[0], reason=row[1], error=row[2], count=row[3], oldest_ms=row[4], newest_ms=row[5])


def book(row: Row) -> DeliveryCounts:
    return DeliveryCounts(
        endpoint_id=row[0],
        client_id=row[1],
        matched=row[2],
        delivered=row[3],
        dead=row[4],
        cancelled=row[5],
        pending=row[6],
        oldest_due_ms=row[7],
    )


def replay(row: Row, types: Iterable[str]) -> Replay:
    """Return a replay; its types are stored in each engine's own way."""
    return Replay(
        id=row[0],
        client_id=row[1],
        endpoint_id=row[2],
        since_ms=row[3],
        until_ms=row[4],
        types=tuple(types),
        only=row[6],
        state=row[7],
        cursor=row[8],
        looked_at=row[9],
        queued=row[10],
        created_ms=row[11],
        finished_ms=row[12],
    )


def endpoint(row: Row) -> EndpointRow:
    return EndpointRow(
        id=row[0],
        client_id=row[1],
        revision=row[2],
        created_ms=row[3],
        updated_ms=row[4],
        deleted_ms=row[5],
        config=row[6].encode(),
        sealed=row[7],
    )


def key(row: Row, client_ids: Iterable[int] | None) -> Key:
    """Return a key; its clients are stored in each engine's own way."""
    return Key(
        id=row[0],
        role=row[1],
        client_ids=None if client_ids is None else tuple(client_ids),
        name=row[3],
        digest=row[4],
        created_ms=row[5],
        revoked_ms=row[6],
    )


def activity(row: Row, *, endpoint_id: int) -> Activity:
    """Return the counts of a step, over all clients that were asked for."""
    start_ms, accepted, delivered, failed, dead, *latency, pending, dead_letters, oldest_ms = row
    return Activity(
        start_ms=start_ms,
        client_id=0,
        endpoint_id=endpoint_id,
        accepted=accepted,
        delivered=delivered,
        failed=failed,
        dead=dead,
        latency=tuple(latency),
        pending=pending,
        dead_letters=dead_letters,
        oldest_ms=oldest_ms,
    )


def endpoint_activity(row: Row, *, since_ms: int) -> Activity:
    """Return the counts of an endpoint since then."""
    endpoint_id, client_id, accepted, delivered, failed, dead, *latency = row
    return Activity(
        start_ms=since_ms,
        client_id=client_id,
        endpoint_id=endpoint_id,
        accepted=accepted,
        delivered=delivered,
        failed=failed,
        dead=dead,
        latency=tuple(latency),
    )


def of_activity(counts: Activity) -> tuple[int, ...]:
    """Return the row of what is to be added."""
    head = (counts.start_ms, counts.client_id, counts.endpoint_id)
    sums = (counts.accepted, counts.delivered, counts.failed, counts.dead, *counts.latency)
    return (*head, *sums, counts.pending, counts.dead_letters, counts.oldest_ms)
