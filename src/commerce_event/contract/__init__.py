"""The contract: event types, their properties, examples and JSON Schemas.

Not here: anything that another package defines; this package imports nothing else of ours.
"""

from commerce_event.contract.catalogue import CATEGORIES, EVENT_TYPES, EventType
from commerce_event.contract.types import (
    CommerceEvent,
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

__all__ = [
    "CATEGORIES",
    "EVENT_TYPES",
    "CommerceEvent",
    "CompanyChangedNotification",
    "CustomerChangedNotification",
    "EventType",
    "InvoiceCaptureCompletedEvent",
    "JobCompletedEvent",
    "OrderCancelledEvent",
    "OrderConfirmedEvent",
    "OrderDeliveredEvent",
    "OrderPartlyDeliveredEvent",
    "OrderPaymentReceivedEvent",
    "OrderReadyForPickupEvent",
    "OrderReceivedEvent",
    "SkuChangedNotification",
    "SkuOnHandBreakPointNotification",
    "SkuPriceChangedNotification",
    "SubscriptionFailedEvent",
    "SupplierSkuChangedNotification",
    "SupplierSkuOnHandChangedNotification",
    "SupplierSkuPriceChangedNotification",
    "TranslationRequestedNotification",
]
