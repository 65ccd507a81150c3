"""Build the rows of new events and deliveries.

Deduplicate by idempotency key, assign sequences, keep the order of a key.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Self

import msgspec

from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core.model import Replay
from commerce_event.store.model import Accepted, NewDelivery, NewEvent
from commerce_event.store.row_mapping import Row

IdempotencyKey = tuple[int, str | None]  # client, key
OrderKey = tuple[int, str]  # endpoint, key
Numbered = tuple[NewEvent, int]  # with its sequence


class FirstEvent(msgspec.Struct, frozen=True):
    """The first event that was stored under an idempotency key."""

    id: int
    sequence: int
    match_count: int
    type: str
    body: bytes

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(row.id, row.sequence, row.match_count, row.type, row.body)


def assign_sequences(
    events: Sequence[NewEvent], known: dict[IdempotencyKey, FirstEvent], last: dict[int, int]
) -> tuple[list[Accepted], list[Numbered]]:
    """Number the new events, and answer repeats with their first event; return all answers, and the new events.

    ``known`` are the first events of the keys, ``last`` the last sequence of each client; new events are added to both.
    """
    answers: list[Accepted] = []
    fresh: list[Numbered] = []
    for event in events:
        key = (event.client_id, event.idempotency_key)
        first = None if event.idempotency_key is None else known.get(key)
        if first is not None:
            same = first.type == event.type and is_same_event(event.type, first.body, event.body)
            answers.append(Accepted("duplicate" if same else "conflict", first.id, first.sequence, first.match_count))
            continue
        sequence = last[event.client_id] = last[event.client_id] + 1
        fresh.append((event, sequence))
        answers.append(Accepted("new", event.id, sequence, len(event.deliveries)))
        if event.idempotency_key is not None:
            known[key] = FirstEvent(event.id, sequence, len(event.deliveries), event.type, event.body)
    return answers, fresh


def is_same_event(event_type: str, one: bytes, other: bytes) -> bool:
    """Tell whether two bodies hold the same JSON values, however they are written.

    The order of names, spaces and escapes do not matter. Both bodies are decoded and encoded natively, because a
    publisher may send many of them in one commit.
    """
    if one == other:
        return True
    try:
        return _canonical(event_type, one) == _canonical(event_type, other)
    except (ValueError, OverflowError, RecursionError):
        return False


def _canonical(event_type: str, body: bytes) -> bytes:
    """Return the values of a body in one form: names in order, and doubles of the contract as such."""
    data = msgspec.json.decode(body)
    known = EVENT_TYPES.get(event_type)
    if known is not None and type(data) is dict:
        for field in known.fields:
            if field.format == "double" and type(data.get(field.name)) is int:
                data[field.name] = float(data[field.name])  # 100 and 100.0 are one amount
    return msgspec.json.encode(data, order="deterministic")


def order_keys_of(deliveries: Iterable[NewDelivery]) -> set[OrderKey]:
    return {(delivery.endpoint_id, delivery.order_key) for delivery in deliveries if delivery.order_key is not None}


def must_wait(delivery: NewDelivery, busy: set[OrderKey]) -> bool:
    """Tell whether a delivery waits behind an earlier one of its order key; add its key to the ``busy`` ones."""
    if delivery.order_key is None:
        return False
    key = (delivery.endpoint_id, delivery.order_key)
    waits = key in busy
    busy.add(key)
    return waits


def event_row(event: NewEvent, sequence: int) -> tuple[Any, ...]:
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
        msgspec.json.encode(event.warnings).decode() if event.warnings else None,
    )


def delivery_row(delivery: NewDelivery, event: NewEvent, busy: set[OrderKey], *, run_id: int) -> tuple[Any, ...]:
    """Return the row of a delivery that is stored together with its event."""
    head = (delivery.id, event.id, delivery.endpoint_id, event.client_id)
    created_ms = event.accepted_ms
    claim: tuple[int, int | None, int | None, int | None]
    if delivery.lease_until_ms is not None:
        claim = (1, delivery.lease_until_ms, run_id, created_ms)
    else:
        claim = (0, None if must_wait(delivery, busy) else created_ms, None, None)
    return (*head, *claim, delivery.order_key, None, False, created_ms, delivery.bulk)


def replayed_row(
    delivery: NewDelivery, event_id: int, busy: set[OrderKey], *, replay: Replay, now_ms: int
) -> tuple[Any, ...]:
    """Return the row of a delivery that a replay makes of a past event."""
    due_ms = None if must_wait(delivery, busy) else now_ms
    head = (delivery.id, event_id, delivery.endpoint_id, replay.client_id)
    return (*head, 0, due_ms, None, None, delivery.order_key, replay.id, True, now_ms, delivery.bulk)
