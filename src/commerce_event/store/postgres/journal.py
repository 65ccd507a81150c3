"""Accepting: events and their deliveries in one transaction, each client's sequence without gaps."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from commerce_event.store.port import Accepted, ConfigChangedError, NewDelivery, NewEvent
from commerce_event.store.postgres.locks import Turn, lock_turns
from commerce_event.store.postgres.sql import Connection, columns, run

Keyed = tuple[int, str]  # client, idempotency key


async def accept(
    connection: Connection, events: Sequence[NewEvent], *, config_version: int | None, lease: int, slot: int
) -> list[Accepted]:
    """Store the events that are new and answer for each, in order. Raises ConfigChangedError."""
    if not events:
        return []
    await lock_turns(connection, turns_of(delivery for event in events for delivery in event.deliveries))
    ends = await _take_sequences(connection, Counter(event.client_id for event in events), config_version)
    known = await _known_keys(connection, events)
    answers, fresh = _sort_out(events, known, ends)
    if len(fresh) < len(events):
        unused = Counter(event.client_id for event in events) - Counter(event.client_id for event, _ in fresh)
        await run(connection, "return_sequences", list(unused), list(unused.values()))
    await _write(connection, fresh, lease=lease, slot=slot)
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


async def _known_keys(connection: Connection, events: Sequence[NewEvent]) -> dict[Keyed, tuple[Any, ...]]:
    """Return the first event of each key, read while the clients are locked: nobody else can be about to store one."""
    wanted = [(event.client_id, event.idempotency_key) for event in events if event.idempotency_key is not None]
    if not wanted:
        return {}
    return {(row[0], row[1]): tuple(row)[2:] for row in await run(connection, "events_by_key", *columns(wanted, 2))}


def _sort_out(
    events: Sequence[NewEvent], known: dict[Keyed, tuple[Any, ...]], last: dict[int, int]
) -> tuple[list[Accepted], list[tuple[NewEvent, int]]]:
    """Give the new events their numbers and the repeats their first event's answer."""
    answers: list[Accepted] = []
    fresh: list[tuple[NewEvent, int]] = []
    for event in events:
        key = None if event.idempotency_key is None else (event.client_id, event.idempotency_key)
        if key is not None and key in known:
            answers.append(_answer_again(known[key], event))
            continue
        last[event.client_id] += 1
        sequence = last[event.client_id]
        fresh.append((event, sequence))
        answers.append(Accepted("new", event.id, sequence, len(event.deliveries)))
        if key is not None:
            known[key] = (event.id, sequence, len(event.deliveries), event.type, event.body)
    return answers, fresh


def _answer_again(first: tuple[Any, ...], event: NewEvent) -> Accepted:
    event_id, sequence, match_count, event_type, body = first
    same = event_type == event.type and body == event.body
    return Accepted("duplicate" if same else "conflict", event_id, sequence, match_count)


async def _write(connection: Connection, fresh: Sequence[tuple[NewEvent, int]], *, lease: int, slot: int) -> None:
    if not fresh:
        return
    await run(connection, "insert_events", *columns([_event_row(event, sequence) for event, sequence in fresh], 11))
    pairs = [(delivery, event, sequence) for event, sequence in fresh for delivery in event.deliveries]
    if not pairs:
        return
    waiting = await turns_taken(connection, [delivery for delivery, _, _ in pairs])
    rows = [_delivery_row(delivery, event, sequence, waiting, lease) for delivery, event, sequence in pairs]
    await run(connection, "insert_deliveries", *columns(rows, 13))
    await open_books(connection, [(delivery.endpoint_id, event.client_id) for delivery, event, _ in pairs], slot=slot)


def turns_of(deliveries: Iterable[NewDelivery]) -> set[Turn]:
    """Return the (endpoint, order key) pairs of those that have a key."""
    return {(delivery.endpoint_id, delivery.order_key) for delivery in deliveries if delivery.order_key is not None}


async def turns_taken(connection: Connection, deliveries: Iterable[NewDelivery]) -> set[Turn]:
    """Return the (endpoint, order key) pairs that already have an unfinished delivery; their turns are locked."""
    wanted = turns_of(deliveries)
    if not wanted:
        return set()
    return {(row[0], row[1]) for row in await run(connection, "order_key_waits", *columns(list(wanted), 2))}


def waits_or_goes_first(delivery: NewDelivery, waiting: set[Turn]) -> bool:
    """Tell whether a delivery must wait behind an earlier one of its key, and note it as the last of its key."""
    if delivery.order_key is None:
        return False
    turn = (delivery.endpoint_id, delivery.order_key)
    waits = turn in waiting
    waiting.add(turn)
    return waits


async def open_books(connection: Connection, pairs: Iterable[tuple[int, int]], *, slot: int) -> None:
    """Enter new deliveries, given as (endpoint, client), into the accounts."""
    pairs = list(pairs)
    clients = dict(pairs)
    counts = Counter(endpoint_id for endpoint_id, _ in pairs)
    rows = [(endpoint_id, clients[endpoint_id], n, 0, 0, 0, n) for endpoint_id, n in sorted(counts.items())]
    await run(connection, "enter_in_books", slot, *columns(rows, 7))


def _delivery_row(
    delivery: NewDelivery, event: NewEvent, sequence: int, waiting: set[Turn], lease: int
) -> tuple[Any, ...]:
    head = (delivery.id, event.id, delivery.endpoint_id, event.client_id)
    born = event.accepted_ms
    if delivery.lease_until_ms is not None:
        return (*head, 1, delivery.lease_until_ms, lease, born, delivery.order_key, None, False, sequence, born)
    due = None if waits_or_goes_first(delivery, waiting) else born
    return (*head, 0, due, None, None, delivery.order_key, None, False, sequence, born)


def _event_row(event: NewEvent, sequence: int) -> tuple[Any, ...]:
    return (
        event.id,
        event.client_id,
        sequence,
        event.type,
        event.application_id,
        event.accepted_ms,
        event.config_version,
        len(event.deliveries),
        event.idempotency_key,
        event.traceparent,
        event.body,
    )
