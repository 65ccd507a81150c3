"""Accepting: events and their deliveries in one transaction, each client's sequence without gaps."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import apsw

from commerce_event.store.port import Accepted, ConfigChangedError, NewDelivery, NewEvent
from commerce_event.store.sqlite import directory
from commerce_event.store.sqlite.sql import only, run, run_rows, write_rows


class Journal:
    """Writes the journal. Holds each client's last sequence in memory, forgotten whenever a transaction fails."""

    def __init__(self, lease: int) -> None:
        self._lease = lease
        self._sequences: dict[int, int] = {}

    def forget(self) -> None:
        """Drop what was remembered: the transaction that it came from was undone."""
        self._sequences.clear()

    def accept(
        self, connection: apsw.Connection, events: Sequence[NewEvent], config_version: int | None
    ) -> list[Accepted]:
        """Store the events that are new and answer for each, in order. Raises ConfigChangedError."""
        if config_version is not None and directory.config_version(connection) != config_version:
            raise ConfigChangedError
        known = _known_keys(connection, events)
        answers: list[Accepted] = []
        fresh: list[tuple[NewEvent, int]] = []
        for event in events:
            key = (event.client_id, event.idempotency_key)
            first = known.get(key) if event.idempotency_key is not None else None
            if first is not None:
                answers.append(_answer_again(first, event))
                continue
            sequence = self._next_sequence(connection, event.client_id)
            fresh.append((event, sequence))
            answers.append(Accepted("new", event.id, sequence, len(event.deliveries)))
            if event.idempotency_key is not None:
                known[key] = (event.id, sequence, len(event.deliveries), event.type, event.body)
        self._write(connection, fresh)
        return answers

    def _next_sequence(self, connection: apsw.Connection, client_id: int) -> int:
        last = self._sequences.get(client_id)
        if last is None:
            last = only(run(connection, "last_sequence", (client_id,))) or 0
        self._sequences[client_id] = last + 1
        return last + 1

    def _write(self, connection: apsw.Connection, fresh: Sequence[tuple[NewEvent, int]]) -> None:
        if not fresh:
            return
        write_rows(connection, "insert_events", [_event_row(event, sequence) for event, sequence in fresh])
        clients = {event.client_id for event, _ in fresh}
        write_rows(connection, "put_sequence", [(client, self._sequences[client]) for client in clients])
        pairs = [(delivery, event) for event, _ in fresh for delivery in event.deliveries]
        waiting = keys_that_wait(connection, [delivery for delivery, _ in pairs])
        rows = [self._delivery_row(delivery, event, waiting) for delivery, event in pairs]
        write_rows(connection, "insert_deliveries", rows)
        open_books(connection, [(delivery.endpoint_id, event.client_id) for delivery, event in pairs])

    def _delivery_row(self, delivery: NewDelivery, event: NewEvent, waiting: set[tuple[int, str]]) -> tuple[Any, ...]:
        head = (delivery.id, event.id, delivery.endpoint_id, event.client_id)
        born = event.accepted_ms
        if delivery.lease_until_ms is not None:
            return (*head, 1, delivery.lease_until_ms, self._lease, born, delivery.order_key, None, 0, born)
        due = None if waits_or_goes_first(delivery, waiting) else born
        return (*head, 0, due, None, None, delivery.order_key, None, 0, born)


def keys_that_wait(connection: apsw.Connection, deliveries: Sequence[NewDelivery]) -> set[tuple[int, str]]:
    """Return the (endpoint, order key) pairs that already have an unfinished delivery."""
    wanted = list({(d.endpoint_id, d.order_key): None for d in deliveries if d.order_key is not None})
    return {(endpoint_id, key) for endpoint_id, key in run_rows(connection, "order_key_waits", wanted)}


def waits_or_goes_first(delivery: NewDelivery, waiting: set[tuple[int, str]]) -> bool:
    """Tell whether a delivery must wait behind an earlier one of its key, and note it as the last of its key."""
    if delivery.order_key is None:
        return False
    pair = (delivery.endpoint_id, delivery.order_key)
    waits = pair in waiting
    waiting.add(pair)
    return waits


def open_books(connection: apsw.Connection, pairs: Sequence[tuple[int, int]]) -> None:
    """Enter new deliveries, given as (endpoint, client), into the accounts."""
    counts = Counter(pairs)
    write_rows(connection, "open_book", [(endpoint, client, n) for (endpoint, client), n in counts.items()])


def _known_keys(connection: apsw.Connection, events: Sequence[NewEvent]) -> dict[tuple[int, str | None], Any]:
    wanted = [(event.client_id, event.idempotency_key) for event in events if event.idempotency_key is not None]
    return {(row[0], row[1]): row[2:] for row in run_rows(connection, "events_by_key", wanted)}


def _answer_again(first: tuple[int, int, int, str, bytes], event: NewEvent) -> Accepted:
    event_id, sequence, match_count, event_type, body = first
    same = event_type == event.type and body == event.body
    return Accepted("duplicate" if same else "conflict", event_id, sequence, match_count)


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
