"""The queue: who waits, claiming under a lease, settling behind the fence, and what people do to deliveries.

Everybody locks in one order: the endpoint or the replay, turns of order keys, deliveries by id, accounts by endpoint.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from commerce_event.core.model import DeliveryState, Replay
from commerce_event.store import row_mapping
from commerce_event.store.insert_rows import Turn, replayed_row, turns_of, waits_or_goes_first
from commerce_event.store.port import (
    DAMAGED,
    INTERRUPTED,
    Claimed,
    ClaimRequest,
    EndpointBacklog,
    NewDelivery,
    Settlement,
)
from commerce_event.store.postgres import registry
from commerce_event.store.postgres.journal import open_books, turns_taken
from commerce_event.store.postgres.locks import lock_turns
from commerce_event.store.postgres.sql import Connection, columns, only, run

_STATES: Final = ("delivered", "dead", "cancelled", "pending")  # in the order of the accounts' columns
_ENDING_TRIES: Final = 10

Lease = tuple[int, int, int, int]  # delivery, run, attempt number, end


async def waiting(connection: Connection) -> list[EndpointBacklog]:
    return [EndpointBacklog(*row) for row in await run(connection, "waiting")]


async def claim(
    connection: Connection, wants: Sequence[ClaimRequest], *, run_id: int, now_ms: int, lease_until_ms: int
) -> tuple[list[Claimed], list[Lease]]:
    """Lease what is due; also return the leases of deliveries whose events are lost."""
    limits: Counter[tuple[int, bool]] = Counter()
    for want in wants:
        limits[want.endpoint_id, want.retrying] += want.limit
    wanted = [(endpoint_id, retrying, limit) for (endpoint_id, retrying), limit in limits.items()]
    rows = await run(connection, "claim", *columns(wanted, 3), now_ms, run_id, lease_until_ms, INTERRUPTED)
    claimed = [
        row_mapping.claimed(row, run_id=run_id, lease_until_ms=lease_until_ms) for row in rows if row[5] is not None
    ]
    return claimed, [(row[0], run_id, row[2], lease_until_ms) for row in rows if row[5] is None]


async def end_damaged(connection: Connection, leases: Sequence[Lease], *, now_ms: int, slot: int) -> None:
    """Finish deliveries whose events are lost: there is nothing to send."""
    ids = [delivery_id for delivery_id, *_ in leases]
    await lock_turns(connection, await _turns(connection, ids))
    await run(connection, "release_claims", now_ms, *columns(sorted(leases), 4))
    await _finish(connection, ids, state="dead", reason=DAMAGED, now_ms=now_ms, slot=slot, leased=False)


async def settle(connection: Connection, settlements: Sequence[Settlement], *, slot: int) -> tuple[list[bool], bool]:
    """Record what is still ours; also tell whether a delivery that waited has its turn now."""
    if not settlements:
        return [], False
    await lock_turns(connection, await _turns_of_ending(connection, settlements))
    rows = [_result_row(settlement) for settlement in sorted(settlements, key=lambda each: each.delivery_id)]
    held = await run(connection, "settle", slot, *columns(rows, 14))
    ours = {(row[0], row[1], row[2]) for row in held}
    finished_ms = max(each.attempt.ended_ms for each in settlements)
    released = await _release(connection, [(row[3], row[4]) for row in held if row[3] is not None], finished_ms)
    return [(each.delivery_id, each.attempt.number, each.run_id) in ours for each in settlements], released


async def release_claims(connection: Connection, claimed: Sequence[Claimed], *, now_ms: int) -> None:
    rows = sorted((each.delivery_id, each.run_id, each.number, each.lease_until_ms) for each in claimed)
    await run(connection, "release_claims", now_ms, *columns(rows, 4))


async def finish_pending(
    connection: Connection,
    endpoint_id: int,
    *,
    state: DeliveryState,
    reason: str,
    now_ms: int,
    limit: int,
    revision: int | None,
    slot: int,
) -> int:
    if revision is not None and await only(connection, "endpoint_revision_kept", endpoint_id) != revision:
        return 0
    for _ in range(_ENDING_TRIES):  # others may claim them all between the look and the lock
        ids = [row[0] for row in await run(connection, "pending_of_endpoint", endpoint_id, now_ms, limit)]
        ended = await _finish(connection, ids, state=state, reason=reason, now_ms=now_ms, slot=slot, leased=False)
        if ended or not ids:
            return ended
    return 0


async def cancel(connection: Connection, delivery_ids: Sequence[int], *, reason: str, now_ms: int, slot: int) -> int:
    return await _finish(
        connection, delivery_ids, state="cancelled", reason=reason, now_ms=now_ms, slot=slot, leased=True
    )


async def requeue(
    connection: Connection, delivery_ids: Sequence[int], *, now_ms: int, replay_id: int | None, slot: int
) -> int:
    await lock_turns(connection, await _turns(connection, delivery_ids))
    pending = await run(connection, "reopen_pending", delivery_ids, now_ms, replay_id)
    events = await run(connection, "events_of_finished", delivery_ids)
    if not events:
        return len(pending)
    await run(connection, "keep_events", [row[0] for row in events])
    ended = sorted(await run(connection, "reopenable", delivery_ids), key=lambda row: (row[5], row[0]))
    again = [NewDelivery(row[0], row[1], row[3]) for row in ended]
    taken = await turns_taken(connection, again)
    due = [(each.id, None if waits_or_goes_first(each, taken) else now_ms) for each in again]
    await run(connection, "reopen_finished", *columns(due, 2), replay_id)
    await _move(connection, ((row[1], row[2], row[4], "pending") for row in ended), slot=slot)
    return len(pending) + len(ended)


async def add_deliveries(
    connection: Connection,
    deliveries: Sequence[NewDelivery],
    event_ids: Sequence[int],
    *,
    replay: Replay,
    now_ms: int,
    read: int | None,
    slot: int,
) -> None:
    if not await registry.put_replay(connection, replay, read=read):
        return
    await lock_turns(connection, turns_of(deliveries))
    existing = {row[0] for row in await run(connection, "keep_events", list(set(event_ids)))}
    pairs = [
        (delivery, event_id)
        for delivery, event_id in zip(deliveries, event_ids, strict=True)
        if event_id in existing  # retention may have been there first
    ]
    taken = await turns_taken(connection, [delivery for delivery, _ in pairs])
    turn = await only(connection, "last_sequence", replay.client_id)  # behind all that the client has sent so far
    rows = [
        (*replayed_row(delivery, event_id, taken, replay=replay, now_ms=now_ms), turn) for delivery, event_id in pairs
    ]
    await run(connection, "insert_deliveries", *columns(rows, 13))
    await open_books(connection, [(delivery.endpoint_id, replay.client_id) for delivery, _ in pairs], slot=slot)


async def take_back(connection: Connection, runs: Sequence[int], now_ms: int) -> bool:
    """What those runs were sending when they ended is on record as interrupted, and due now. False: nothing was."""
    return await only(connection, "take_back", runs, now_ms, INTERRUPTED) is not None


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
        attempt.started_ms,
        attempt.duration_ms,
        attempt.status,
        attempt.error,
        msgspec.json.encode(attempt.response_headers).decode(),
        attempt.response_body,
    )


async def _turns(connection: Connection, delivery_ids: Sequence[int]) -> set[Turn]:
    return {(row[0], row[1]) for row in await run(connection, "order_keys", delivery_ids)}


async def _turns_of_ending(connection: Connection, settlements: Sequence[Settlement]) -> set[Turn]:
    ending = [each for each in settlements if each.state != "pending"]
    ids, endpoints = [each.delivery_id for each in ending], list({each.endpoint_id for each in ending})
    return {(row[0], row[1]) for row in await run(connection, "pending_order_keys", ids, endpoints)}


async def _finish(
    connection: Connection,
    delivery_ids: Sequence[int],
    *,
    state: DeliveryState,
    reason: str,
    now_ms: int,
    slot: int,
    leased: bool,
) -> int:
    await lock_turns(connection, await _turns(connection, delivery_ids))
    held = await run(connection, "finish", slot, delivery_ids, state, reason, now_ms, leased, INTERRUPTED)
    await _release(connection, [(row[0], row[1]) for row in held], now_ms)
    return len(held)


async def _move(
    connection: Connection, moves: Iterable[tuple[int, int, DeliveryState, DeliveryState]], *, slot: int
) -> None:
    """Move deliveries, given as (endpoint, client, from, to), in the accounts."""
    deltas: Counter[tuple[int, str]] = Counter()
    clients: dict[int, int] = {}
    for endpoint_id, client_id, source, target in moves:
        clients[endpoint_id] = client_id
        deltas[endpoint_id, source] -= 1
        deltas[endpoint_id, target] += 1
    rows = [
        (endpoint_id, client_id, 0, *(deltas[endpoint_id, state] for state in _STATES))
        for endpoint_id, client_id in sorted(clients.items())
    ]
    await run(connection, "enter_in_books", slot, *columns(rows, 7))


async def _release(connection: Connection, ended: Iterable[tuple[int, str | None]], now_ms: int) -> bool:
    """Make the next delivery of each finished one's order key due, and tell whether any has a key; turns are locked."""
    turns = sorted({(endpoint_id, key) for endpoint_id, key in ended if key is not None})
    if not turns:
        return False
    await run(connection, "release_next", now_ms, *columns(turns, 2))
    return True
