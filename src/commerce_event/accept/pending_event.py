"""A draft: an event that passed its checks and is to be stored."""

from collections.abc import Mapping
from typing import Any

import msgspec

from commerce_event.contract.catalogue import EventType


class PendingEvent(msgspec.Struct, frozen=True):
    """An event that passed its checks and is to be stored."""

    client_id: int
    type: EventType
    application_id: int | None
    data: Mapping[str, Any]
    body: bytes
    idempotency_key: str | None = None
    traceparent: str | None = None
