"""Accepting: events and their deliveries in one transaction, each client's sequence without gaps."""

from collections import Counter
from collections.abc import Iterable, Sequence

from commerce_event.store.insert_rows import (
    First,
    Keyed,
    Numbered,
    Turn,
    assign_sequences,
    delivery_row,
    event_row,
    turns_of,
)
from commerce_event.store.port import Accepted, ConfigChangedError, NewDelivery, NewEvent
from commerce_event.store.postgres.locks import lock_turns
from commerce_event.store.postgres.sql import Connection, columns, run


async def accept(
    connection: Connection, events: Sequence[NewEvent], *, config_version: int | None, run_id: int, slot: int
) -> list[Accepted]:
    """Store the events that are new and answer for each, in order. Raises ConfigChangedError."""
    if not events:
        return []
    await lock_turns(connection, turns_of(delivery for event in events for delivery in event.deliveries))
    ends = await _take_sequences(connection, Counter(event.client_id for event in events), config_version)
    known = await _known_keys(connection, events)
    answers, fresh = assign_sequences(events, known, ends)
    if len(fresh) < len(events):
        unused = Counter(event.client_id for event in events) - Counter(event.client_id for event, _ in fresh)
        await run(connection, "return_sequences", list(unused), list(unused.values()))
    await _write(connection, fresh, run_id=run_id, slot=slot)
    return answers


async def held_clients(connection: Connection, clients: Iterable[int]) -> set[int]:
    """Return those of the clients whose rows somebody holds at this moment."""
    clients = set(clients)
    return clients - {row[0] for row in await run(connection, "free_clients", list(clients))}


async def _take_sequences(connection: Connection, wanted: Counter[int], config_version: int | None) -> dict[int, int]:
    """Take so many numbers for each client, and return the last number given before them. Raises ConfigChangedError."""
    clients = sorted(wanted)
    rows = await run(connection, "take_sequences", clients, [wanted[client_id] for client_id in clients])
    if config_version is not None and rows[0][2] != config_version:
        raise ConfigChangedError
    return {client_id: last - wanted[client_id] for client_id, last, _ in rows}


async def _known_keys(connection: Connection, events: Sequence[NewEvent]) -> dict[Keyed, First]:
    """Return the first event of each key, read while the clients are locked: nobody else can be about to store one."""
    wanted = [(event.client_id, event.idempotency_key) for event in events if event.idempotency_key is not None]
    if not wanted:
        return {}
    return {(row[0], row[1]): row[2:] for row in await run(connection, "events_by_key", *columns(wanted, 2))}


async def _write(connection: Connection, fresh: Sequence[Numbered], *, run_id: int, slot: int) -> None:
    if not fresh:
        return
    await run(connection, "insert_events", *columns([event_row(event, sequence) for event, sequence in fresh], 11))
    pairs = [(delivery, event, sequence) for event, sequence in fresh for delivery in event.deliveries]
    if not pairs:
        return
    taken = await turns_taken(connection, [delivery for delivery, _, _ in pairs])
    rows = [(*delivery_row(delivery, event, taken, run_id=run_id), sequence) for delivery, event, sequence in pairs]
    await run(connection, "insert_deliveries", *columns(rows, 13))
    await open_books(connection, [(delivery.endpoint_id, event.client_id) for delivery, event, _ in pairs], slot=slot)


async def turns_taken(connection: Connection, deliveries: Iterable[NewDelivery]) -> set[Turn]:
    """Return the turns of these that already have an unfinished delivery; all of them are locked."""
    wanted = turns_of(deliveries)
    if not wanted:
        return set()
    return {(row[0], row[1]) for row in await run(connection, "order_key_waits", *columns(list(wanted), 2))}


async def open_books(connection: Connection, pairs: Iterable[tuple[int, int]], *, slot: int) -> None:
    """Enter new deliveries, given as (endpoint, client), into the accounts."""
    pairs = list(pairs)
    clients = dict(pairs)
    counts = Counter(endpoint_id for endpoint_id, _ in pairs)
    rows = [(endpoint_id, clients[endpoint_id], n, 0, 0, 0, n) for endpoint_id, n in sorted(counts.items())]
    await run(connection, "enter_in_books", slot, *columns(rows, 7))
