"""Store events with their deliveries in one transaction; number each client's events without gaps."""

from collections import Counter
from collections.abc import Sequence
from itertools import islice

import apsw

from commerce_event.store.insert_rows import (
    FirstEvent,
    OrderKey,
    assign_sequences,
    delivery_row,
    event_row,
    order_keys_of,
)
from commerce_event.store.model import Accepted, NewDelivery, NewEvent
from commerce_event.store.port import ConfigChangedError
from commerce_event.store.sqlite.access import Access
from commerce_event.store.sqlite.sql import execute, fetch_rows, fetch_value, write_rows


class SqliteJournal:
    """The journal. It remembers each client's last sequence until a transaction fails."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._sequences: dict[int, int] = {}

    def forget_sequences(self) -> None:
        """Forget the last sequences: the transaction that they come from was rolled back."""
        self._sequences.clear()

    async def accept(
        self, submissions: Sequence[Sequence[NewEvent]], *, config_version: int | None = None
    ) -> list[list[Accepted]]:
        events = [event for submission in submissions for event in submission]
        answers = iter(
            await self._access.write(lambda connection: self.store_events(connection, events, config_version))
        )
        return [list(islice(answers, len(submission))) for submission in submissions]

    async def check_writable(self) -> None:
        """Take the write lock; write a page as well if the last transaction was refused, for example by a full disk."""
        must_write = self._access.was_refused

        def work(connection: apsw.Connection) -> None:
            if must_write:
                execute(connection, "raise_meta", 0, "running")  # changes nothing

        await self._access.write(work)

    def store_events(
        self, connection: apsw.Connection, events: Sequence[NewEvent], config_version: int | None
    ) -> list[Accepted]:
        """Store events in the transaction of the caller; return an answer for each. Raises ConfigChangedError."""
        check_config_version(connection, config_version)
        keys = [(event.client_id, event.idempotency_key) for event in events if event.idempotency_key is not None]
        known = {
            (row.client_id, row.idempotency_key): FirstEvent.of(row)
            for row in fetch_rows(connection, "events_by_key", keys)
        }
        for client_id in {event.client_id for event in events} - self._sequences.keys():
            self._sequences[client_id] = fetch_value(connection, "last_sequence", client_id) or 0
        answers, fresh = assign_sequences(events, known, self._sequences)
        write_rows(connection, "insert_events", [event_row(event, sequence) for event, sequence in fresh])
        clients = {event.client_id for event, _ in fresh}
        write_rows(connection, "put_sequences", [(client_id, self._sequences[client_id]) for client_id in clients])
        pairs = [(delivery, event) for event, _ in fresh for delivery in event.deliveries]
        busy = busy_order_keys(connection, [delivery for delivery, _ in pairs])
        rows = [delivery_row(delivery, event, busy, run_id=self._access.run_id) for delivery, event in pairs]
        write_rows(connection, "insert_deliveries", rows)
        count_new_deliveries(connection, [(delivery.endpoint_id, event.client_id) for delivery, event in pairs])
        return answers


def check_config_version(connection: apsw.Connection, expected: int | None) -> None:
    """Raise ConfigChangedError when a config version is expected and is no longer current."""
    if expected is not None and fetch_value(connection, "meta", "config_version") != expected:
        raise ConfigChangedError


def busy_order_keys(connection: apsw.Connection, deliveries: Sequence[NewDelivery]) -> set[OrderKey]:
    """Return the order keys of these deliveries that have an unfinished delivery already."""
    wanted = list(order_keys_of(deliveries))
    return {(row.endpoint_id, row.order_key) for row in fetch_rows(connection, "busy_order_keys", wanted)}


def count_new_deliveries(connection: apsw.Connection, pairs: Sequence[tuple[int, int]]) -> None:
    """Add new deliveries, given as (endpoint, client), to the counts of their endpoints."""
    rows = [(endpoint_id, client_id, count) for (endpoint_id, client_id), count in Counter(pairs).items()]
    write_rows(connection, "count_new_deliveries", rows)
