"""What makes two bodies the same event (the content key), and what an event is about (the business key)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from commerce_event_sdk.models import MODELS

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
_KEY_MAX: Final = 200  # characters; databases index a key


def content_key(event_type: str, data: Mapping[str, Any], keys: Mapping[str, Sequence[str]]) -> str | None:
    """Return a name that repeats of an event share: ``content:`` and a digest.

    None for a type that has no key, and for a body in which one of its properties is an object or an array.
    """
    names = keys.get(event_type)
    if names is None:
        return None
    values = [data.get(name) for name in names]
    if any(isinstance(value, (dict, list)) for value in values):
        return None
    return "content:" + _digest("\0".join([event_type, *map(repr, values)]))


def business_key(event_type: str, data: Mapping[str, Any]) -> str | None:
    """Return what an event is about, such as ``order:884211``; None when that is not known.

    It is the ``business_key`` of the event class, in a form that every database can index: a long one, or one with
    control characters, is replaced by a digest.
    """
    model = MODELS.get(event_type)
    if model is None:
        return None
    values = (data.get(name) for name in model.key_properties)
    value = next((each for each in values if isinstance(each, (str, int))), None)
    if value is None:
        return None
    key = f"{model.key_prefix}:{value}"
    return key if len(key) <= _KEY_MAX and key.isprintable() else f"{model.key_prefix}:{_digest(key)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:40]
