"""Counts of deliveries by endpoint.

An endpoint's counts are the sum of several rows, its slots. Accepting and finishing use different slots, and so do
different nodes, so that they do not wait for each other's row locks.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from commerce_event.core.model import DeliveryState
from commerce_event.store.postgres.sql import Connection, columns, execute

_STATES: Final = ("delivered", "dead", "cancelled", "pending")  # in the order of the columns
_NODES: Final = 8  # an endpoint has at most twice as many rows


def accepting_slot(run_id: int) -> int:
    return run_id % _NODES * 2


def finishing_slot(run_id: int) -> int:
    return accepting_slot(run_id) + 1


async def count_new_deliveries(connection: Connection, pairs: Iterable[tuple[int, int]], *, run_id: int) -> None:
    """Add new deliveries, given as (endpoint, client), to the counts of their endpoints."""
    pairs = list(pairs)
    clients = dict(pairs)
    counts = Counter(endpoint_id for endpoint_id, _ in pairs)
    rows = [(endpoint_id, clients[endpoint_id], count, 0, 0, 0, count) for endpoint_id, count in sorted(counts.items())]
    await execute(connection, "add_counts", accepting_slot(run_id), *columns(rows, 7))


async def count_requeued(
    connection: Connection, requeued: Iterable[tuple[int, int, DeliveryState]], *, run_id: int
) -> None:
    """Update the counts of endpoints for requeued deliveries, given as (endpoint, client, former state)."""
    deltas: Counter[tuple[int, str]] = Counter()
    clients: dict[int, int] = {}
    for endpoint_id, client_id, state in requeued:
        clients[endpoint_id] = client_id
        deltas[endpoint_id, state] -= 1
        deltas[endpoint_id, "pending"] += 1
    rows = [
        (endpoint_id, client_id, 0, *(deltas[endpoint_id, state] for state in _STATES))
        for endpoint_id, client_id in sorted(clients.items())
    ]
    await execute(connection, "add_counts", accepting_slot(run_id), *columns(rows, 7))
