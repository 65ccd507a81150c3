"""Own event types: from the row in the store to the type, and back."""

from typing import Any, cast

import msgspec
import structlog

from commerce_event.contract.catalogue import EventType, Kind
from commerce_event.contract.own_types import InvalidTypeError, own_type
from commerce_event.store.model import OwnTypeRow

log = structlog.get_logger(__name__)


class OwnType(msgspec.Struct, frozen=True, kw_only=True):
    """An own event type, and when it was created and changed."""

    event_type: EventType
    revision: int = 0
    created_ms: int
    updated_ms: int


def to_row(own: OwnType) -> OwnTypeRow:
    kind = own.event_type
    return OwnTypeRow(
        name=kind.name,
        category=kind.category,
        kind=kind.kind,
        description=kind.description,
        schema=msgspec.json.encode(kind.own_schema).decode(),
        example=msgspec.json.encode(kind.example).decode(),
        revision=own.revision,
        created_ms=own.created_ms,
        updated_ms=own.updated_ms,
    )


def from_row(row: OwnTypeRow) -> OwnType | None:
    """Return the type of a row; None, with an error in the log, when this version does not allow its schema."""
    schema: dict[str, Any] = msgspec.json.decode(row.schema)
    try:
        event_type = own_type(
            row.name, row.category, cast("Kind", row.kind), row.description, schema, msgspec.json.decode(row.example)
        )
    except InvalidTypeError as error:
        log.error("an event type cannot be used", name=row.name, error=str(error))
        return None
    return OwnType(event_type=event_type, revision=row.revision, created_ms=row.created_ms, updated_ms=row.updated_ms)
