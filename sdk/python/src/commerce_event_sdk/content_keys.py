"""Names for events of senders that give none: what makes two bodies the same event."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

# Only types that happen once for each value of these properties. A price may change to the same value twice, so
# notifications have no content key: without a webhook-id each arrival is handled.
CONTENT_KEYS: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "InvoiceCaptureCompletedEvent": ("ClientId", "CapturedInvoiceId", "State"),
        "OrderCancelledEvent": ("ClientId", "OrderId"),
        "OrderConfirmedEvent": ("ClientId", "OrderId"),
        "OrderDeliveredEvent": ("ClientId", "OrderId"),
        "OrderReadyForPickupEvent": ("ClientId", "OrderId", "DropPointCode"),
        "OrderPaymentReceivedEvent": ("ClientId", "PaymentCode"),
        "OrderReceivedEvent": ("ClientId", "ApplicationId", "ClientOrderRef"),
        "JobCompletedEvent": ("ClientId", "JobId", "StatusId"),
    }
)


def content_key(event_type: str, data: Mapping[str, Any], keys: Mapping[str, Sequence[str]]) -> str | None:
    """Return a name that repeats of an event share: ``content:`` and a digest. None for a type that has no key."""
    names = keys.get(event_type)
    if names is None:
        return None
    values = "\0".join([event_type, *(repr(data.get(name)) for name in names)])
    return "content:" + hashlib.sha256(values.encode("utf-8", "backslashreplace")).hexdigest()[:40]
