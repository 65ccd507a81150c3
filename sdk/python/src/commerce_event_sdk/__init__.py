"""Receive and publish commerce events.

>>> from commerce_event_sdk import OrderConfirmedEvent, Receiver
>>> receiver = Receiver(secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
>>> @receiver.on(OrderConfirmedEvent)
... def confirmed(event: OrderConfirmedEvent) -> None:
...     print(event.OrderNo)
>>> app = receiver.asgi()  # or receiver.wsgi()
"""

from typing import TYPE_CHECKING, Any

from commerce_event_sdk.answer import Answer
from commerce_event_sdk.delivery import DeadLetter, Delivery, Gone, RetryLater
from commerce_event_sdk.event import Category, CommerceEvent, InvalidEventError, UnknownEvent
from commerce_event_sdk.models import (
    MODELS,
    CompanyChangedNotification,
    CustomerChangedNotification,
    InvoiceCaptureCompletedEvent,
    JobCompletedEvent,
    OrderCancelledEvent,
    OrderConfirmedEvent,
    OrderDeliveredEvent,
    OrderPartlyDeliveredEvent,
    OrderPaymentReceivedEvent,
    OrderReadyForPickupEvent,
    OrderReceivedEvent,
    SkuChangedNotification,
    SkuOnHandBreakPointNotification,
    SkuPriceChangedNotification,
    SubscriptionFailedEvent,
    SupplierSkuChangedNotification,
    SupplierSkuOnHandChangedNotification,
    SupplierSkuPriceChangedNotification,
    TranslationRequestedNotification,
)
from commerce_event_sdk.parsing import parse
from commerce_event_sdk.receiver import Receiver
from commerce_event_sdk.signatures import InvalidSecretError, InvalidSignatureError, sign, verify

if TYPE_CHECKING:
    from commerce_event_sdk.client import AsyncClient, Client
    from commerce_event_sdk.inbox import Inbox
    from commerce_event_sdk.inbox.gaps import Gaps, GapsError
    from commerce_event_sdk.outbox import Outbox
    from commerce_event_sdk.outbox.relay import Relay
    from commerce_event_sdk.publishing import (
        Accepted,
        BufferFullError,
        ClientClosedError,
        EventRefusedError,
        NotAccepted,
        NotAcceptedError,
        PublishError,
        RequestRefusedError,
    )

__version__ = "0.1.0"

__all__ = [
    "MODELS",
    "Accepted",
    "Answer",
    "AsyncClient",
    "BufferFullError",
    "Category",
    "Client",
    "ClientClosedError",
    "CommerceEvent",
    "CompanyChangedNotification",
    "CustomerChangedNotification",
    "DeadLetter",
    "Delivery",
    "EventRefusedError",
    "Gaps",
    "GapsError",
    "Gone",
    "Inbox",
    "InvalidEventError",
    "InvalidSecretError",
    "InvalidSignatureError",
    "InvoiceCaptureCompletedEvent",
    "JobCompletedEvent",
    "NotAccepted",
    "NotAcceptedError",
    "OrderCancelledEvent",
    "OrderConfirmedEvent",
    "OrderDeliveredEvent",
    "OrderPartlyDeliveredEvent",
    "OrderPaymentReceivedEvent",
    "OrderReadyForPickupEvent",
    "OrderReceivedEvent",
    "Outbox",
    "PublishError",
    "Receiver",
    "Relay",
    "RequestRefusedError",
    "RetryLater",
    "SkuChangedNotification",
    "SkuOnHandBreakPointNotification",
    "SkuPriceChangedNotification",
    "SubscriptionFailedEvent",
    "SupplierSkuChangedNotification",
    "SupplierSkuOnHandChangedNotification",
    "SupplierSkuPriceChangedNotification",
    "TranslationRequestedNotification",
    "UnknownEvent",
    "__version__",
    "parse",
    "sign",
    "verify",
]


# Imported when they are asked for: a receiver alone needs no database and no client.
_LATER = {
    "Accepted": "publishing",
    "AsyncClient": "client",
    "BufferFullError": "publishing",
    "Client": "client",
    "ClientClosedError": "publishing",
    "EventRefusedError": "publishing",
    "Gaps": "inbox.gaps",
    "GapsError": "inbox.gaps",
    "Inbox": "inbox",
    "NotAccepted": "publishing",
    "NotAcceptedError": "publishing",
    "Outbox": "outbox",
    "PublishError": "publishing",
    "Relay": "outbox.relay",
    "RequestRefusedError": "publishing",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(f"commerce_event_sdk.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
