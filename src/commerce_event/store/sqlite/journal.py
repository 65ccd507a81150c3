"""Accepting: events and their deliveries in one transaction, each client's sequence without gaps."""

from collections import Counter
from collections.abc import Sequence

import apsw

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
from commerce_event.store.sqlite import registry
from commerce_event.store.sqlite.sql import only, run, run_rows, write_rows


class Journal:
    """Writes the journal. Holds each client's last sequence in memory, forgotten whenever a transaction fails."""

    def __init__(self, run_id: int) -> None:
        self._run_id = run_id
        self._sequences: dict[int, int] = {}

    def forget(self) -> None:
        """Drop what was remembered: the transaction that it came from was undone."""
        self._sequences.clear()

    def accept(
        self, connection: apsw.Connection, events: Sequence[NewEvent], config_version: int | None
    ) -> list[Accepted]:
        """Store the events that are new and answer for each, in order. Raises ConfigChangedError."""
        if config_version is not None and registry.config_version(connection) != config_version:
            raise ConfigChangedError
        known = _known_keys(connection, events)
        self._read_sequences(connection, {event.client_id for event in events})
        answers, fresh = assign_sequences(events, known, self._sequences)
        self._write(connection, fresh)
        return answers

    def _read_sequences(self, connection: apsw.Connection, clients: set[int]) -> None:
        for client_id in clients - self._sequences.keys():
            self._sequences[client_id] = only(run(connection, "last_sequence", (client_id,))) or 0

    def _write(self, connection: apsw.Connection, fresh: Sequence[Numbered]) -> None:
        if not fresh:
            return
        write_rows(connection, "insert_events", [event_row(event, sequence) for event, sequence in fresh])
        clients = {event.client_id for event, _ in fresh}
        write_rows(connection, "put_sequence", [(client, self._sequences[client]) for client in clients])
        pairs = [(delivery, event) for event, _ in fresh for delivery in event.deliveries]
        taken = turns_taken(connection, [delivery for delivery, _ in pairs])
        rows = [delivery_row(delivery, event, taken, run_id=self._run_id) for delivery, event in pairs]
        write_rows(connection, "insert_deliveries", rows)
        open_books(connection, [(delivery.endpoint_id, event.client_id) for delivery, event in pairs])


def turns_taken(connection: apsw.Connection, deliveries: Sequence[NewDelivery]) -> set[Turn]:
    """Return the turns of these that already have an unfinished delivery."""
    wanted = list(turns_of(deliveries))
    return {(endpoint_id, key) for endpoint_id, key in run_rows(connection, "order_key_waits", wanted)}


def open_books(connection: apsw.Connection, pairs: Sequence[tuple[int, int]]) -> None:
    """Enter new deliveries, given as (endpoint, client), into the accounts."""
    counts = Counter(pairs)
    write_rows(connection, "open_book", [(endpoint, client, n) for (endpoint, client), n in counts.items()])


def _known_keys(connection: apsw.Connection, events: Sequence[NewEvent]) -> dict[Keyed, First]:
    wanted = [(event.client_id, event.idempotency_key) for event in events if event.idempotency_key is not None]
    return {(row[0], row[1]): row[2:] for row in run_rows(connection, "events_by_key", wanted)}
