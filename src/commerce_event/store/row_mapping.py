"""Build records from rows. A row of either engine is a named tuple with its columns."""

import json
from collections import namedtuple
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from commerce_event.core.model import (
    Attempt,
    AttemptDetails,
    AuditEntry,
    Delivery,
    DeliveryKind,
    DeliveryState,
    Event,
    FieldChange,
    Key,
    Refusal,
    Replay,
    Scope,
)
from commerce_event.core.problems import Fault
from commerce_event.store.model import LATENCY_BOUNDS_MS, Activity, Claimed, EndpointBacklog, EndpointRow

# The columns of listings.
EVENT: Final = ", ".join(f"e.{name}" for name in Event.__struct_fields__)
DELIVERY: Final = ", ".join(f"d.{name}" for name in Delivery.__struct_fields__ if name != "leased")
AUDIT: Final = ", ".join(AuditEntry.__struct_fields__)
REPLAY: Final = ", ".join(json.dumps(name) for name in Replay.__struct_fields__)  # "only" is an SQL keyword
_REFUSAL: Final = tuple(name for name in Refusal.__struct_fields__ if name != "body")
REFUSAL: Final = ", ".join(_REFUSAL)  # without the body
CHANGE: Final = "id, client_id, entity, source, accepted_ms, config_version, idempotency_key, data, known"

T = TypeVar("T")
Row: TypeAlias = Any  # a named tuple

_HEADERS: Final = msgspec.json.Decoder(tuple[tuple[str, str], ...])
_FAULTS: Final = msgspec.json.Decoder(tuple[Fault, ...])
_DETAILS: Final = msgspec.json.Decoder(AttemptDetails)
_CHANGES: Final = msgspec.json.Decoder(tuple[FieldChange, ...])
_LATENCY: Final = tuple(f"latency_{n}" for n in range(len(LATENCY_BOUNDS_MS) + 1))


@lru_cache(maxsize=256)
def row_type(columns: tuple[str, ...]) -> Callable[[Iterable[Any]], Row]:
    """Return what turns the values of these columns into a row."""
    return partial(tuple.__new__, namedtuple("Row", columns))


def build(kind: type[T], row: Row, **others: Any) -> T:
    """Return a record whose fields are the columns of the row; ``others`` replace or add fields."""
    return kind(**(row._asdict() | others))


def event(row: Row) -> Event:
    return build(Event, row, warnings=() if row.warnings is None else _FAULTS.decode(row.warnings))


def delivery(row: Row) -> Delivery:
    return build(Delivery, row, leased=bool(row.leased))


def attempt(row: Row) -> Attempt:
    headers = _HEADERS.decode(row.response_headers or "[]")
    return build(
        Attempt, row, response_headers=headers, response_body=row.response_body or b"", details=_details(row.details)
    )


def attempt_row(attempt: Attempt) -> tuple[Any, ...]:
    """Return the columns of an attempt from its start on."""
    return (
        attempt.started_ms,
        attempt.duration_ms,
        attempt.status,
        attempt.error,
        msgspec.json.encode(attempt.response_headers).decode(),
        attempt.response_body,
        None if attempt.details is None else msgspec.json.encode(attempt.details).decode(),
    )


def _details(text: str | None) -> AttemptDetails | None:
    return None if text is None else _DETAILS.decode(text)


def last_attempts(rows: Iterable[Row]) -> dict[int, Attempt]:
    """Return an attempt for each delivery, without its response."""
    found = {}
    for row in rows:
        found[row.delivery_id] = Attempt(
            number=row.number,
            started_ms=row.started_ms,
            duration_ms=row.duration_ms,
            status=row.status,
            error=row.error,
            details=_details(row.details),
        )
    return found


def delivery_states(rows: Iterable[Row], scope: Scope) -> dict[int, dict[DeliveryState, int]]:
    """Return the counts by state of each event in the scope."""
    found: dict[int, dict[DeliveryState, int]] = {}
    for row in rows:
        if scope.allows(row.client_id):
            found.setdefault(row.event_id, {})[row.state] = row.count
    return found


def backlog(row: Row) -> EndpointBacklog:
    return EndpointBacklog(row.endpoint_id, DeliveryKind(row.kind), row.due_ms)


def claimed(row: Row, *, run_id: int, lease_until_ms: int) -> Claimed:
    return Claimed(
        delivery_id=row.delivery_id,
        endpoint_id=row.endpoint_id,
        number=row.number,
        failure_count=row.failure_count,
        run_id=run_id,
        lease_until_ms=lease_until_ms,
        replay_id=row.replay_id,
        event_id=row.event_id,
        client_id=row.client_id,
        sequence=row.sequence,
        type=row.type,
        traceparent=row.traceparent,
        body=row.body,
        has_order_key=bool(row.has_order_key),
        bulk=bool(row.bulk),
    )


def replay(row: Row, types: Iterable[str]) -> Replay:
    """Return a replay; each engine stores its types in its own way."""
    return build(Replay, row, types=tuple(types))


def endpoint(row: Row) -> EndpointRow:
    return build(EndpointRow, row, config=row.config.encode())


def key(row: Row, client_ids: Iterable[int] | None) -> Key:
    """Return a key; each engine stores its clients in its own way."""
    return build(Key, row, client_ids=None if client_ids is None else tuple(client_ids))


def audit_entry(row: Row) -> AuditEntry:
    return build(AuditEntry, row, changes=() if row.changes is None else _CHANGES.decode(row.changes))


def audit_entry_row(entry: AuditEntry) -> tuple[Any, ...]:
    """Return the row of an audit entry."""
    return (
        *msgspec.structs.astuple(entry)[:-1],
        msgspec.json.encode(entry.changes).decode() if entry.changes else None,
    )


def key_row(key: Key, client_ids: Any) -> tuple[Any, ...]:
    """Return the row of a key; each engine stores its clients in its own way."""
    return (key.id, key.role, client_ids, key.name, key.digest, key.created_ms, key.revoked_ms, key.expires_ms)


def in_dead_group(
    rows: Sequence[Row], reason: str | None, error: str | None, limit: int
) -> tuple[list[int], int | None]:
    """Return those of the dead deliveries that are in the group, and the id to continue below."""
    found = [row.id for row in rows if row.reason == reason and row.error == error]
    return found, rows[-1].id if len(rows) == limit else None


def refusal(row: Row, **others: Any) -> Refusal:
    return build(Refusal, row, faults=_FAULTS.decode(row.faults), **others)


def refusal_row(refusal: Refusal) -> tuple[Any, ...]:
    """Return the row of a refusal, its body last."""
    values = {name: getattr(refusal, name) for name in _REFUSAL}
    return (*(values | {"faults": msgspec.json.encode(refusal.faults).decode()}).values(), refusal.body)


def activity(row: Row, **others: int) -> Activity:
    """Return counts. ``others`` are the fields of Activity that the row does not have."""
    values = row._asdict() | others
    latency = tuple([values.pop(name) for name in _LATENCY])
    return Activity(latency=latency, **values)


def activity_row(counts: Activity) -> tuple[int, ...]:
    """Return the row of counts to add."""
    head = (counts.start_ms, counts.client_id, counts.endpoint_id)
    sums = (counts.accepted, counts.delivered, counts.failed, counts.dead, *counts.latency)
    return (*head, *sums, counts.pending, counts.dead_letters, counts.oldest_ms)
