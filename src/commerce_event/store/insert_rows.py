"""New events and deliveries on their way into a store: repeats, numbers, turns, and the rows that are written."""

from collections.abc import Iterable, Sequence
from typing import Any

from commerce_event.core.model import Replay
from commerce_event.store.port import Accepted, NewDelivery, NewEvent

Keyed = tuple[int, str | None]  # client, idempotency key
First = tuple[int, int, int, str, bytes]  # id, sequence, match count, type and body of the first event of a key
Turn = tuple[int, str]  # endpoint, order key
Numbered = tuple[NewEvent, int]  # with its sequence


def assign_sequences(
    events: Sequence[NewEvent], known: dict[Keyed, First], last: dict[int, int]
) -> tuple[list[Accepted], list[Numbered]]:
    """Give the new events their numbers and the repeats their first event's answer; return all answers, and the new.

    ``known`` are the first events of the keys, ``last`` the last sequence of each client; both learn of the new ones.
    """
    answers: list[Accepted] = []
    fresh: list[Numbered] = []
    for event in events:
        key = (event.client_id, event.idempotency_key)
        first = None if event.idempotency_key is None else known.get(key)
        if first is not None:
            answers.append(_answer_again(first, event))
            continue
        sequence = last[event.client_id] = last[event.client_id] + 1
        fresh.append((event, sequence))
        answers.append(Accepted("new", event.id, sequence, len(event.deliveries)))
        if event.idempotency_key is not None:
            known[key] = (event.id, sequence, len(event.deliveries), event.type, event.body)
    return answers, fresh


def _answer_again(first: First, event: NewEvent) -> Accepted:
    event_id, sequence, match_count, event_type, body = first
    same = event_type == event.type and body == event.body
    return Accepted("duplicate" if same else "conflict", event_id, sequence, match_count)


def turns_of(deliveries: Iterable[NewDelivery]) -> set[Turn]:
    """Return the turns of those that have an order key."""
    return {(delivery.endpoint_id, delivery.order_key) for delivery in deliveries if delivery.order_key is not None}


def waits_or_goes_first(delivery: NewDelivery, taken: set[Turn]) -> bool:
    """Tell whether a delivery must wait behind an earlier one of its key, and note it as the last of its key."""
    if delivery.order_key is None:
        return False
    turn = (delivery.endpoint_id, delivery.order_key)
    waits = turn in taken
    taken.add(turn)
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
    )


def delivery_row(delivery: NewDelivery, event: NewEvent, taken: set[Turn], *, run_id: int) -> tuple[Any, ...]:
    """Return the row of a delivery that is born with its event."""
    head = (delivery.id, event.id, delivery.endpoint_id, event.client_id)
    born = event.accepted_ms
    if delivery.lease_until_ms is not None:
        return (*head, 1, delivery.lease_until_ms, run_id, born, delivery.order_key, None, False, born)
    due = None if waits_or_goes_first(delivery, taken) else born
    return (*head, 0, due, None, None, delivery.order_key, None, False, born)


def replayed_row(
    delivery: NewDelivery, event_id: int, taken: set[Turn], *, replay: Replay, now_ms: int
) -> tuple[Any, ...]:
    """Return the row of a delivery that a replay makes of a past event."""
    due = None if waits_or_goes_first(delivery, taken) else now_ms
    head = (delivery.id, event_id, delivery.endpoint_id, replay.client_id)
    return (*head, 0, due, None, None, delivery.order_key, replay.id, True, now_ms)
