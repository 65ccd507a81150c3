"""One example of each event type, all from the same shop: an order by Astrid Lindström and the goods in it."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from commerce_event.contract import types as t

_CLIENT: Final = 1006
_SHOP: Final = 1042
_BASKET: Final = 884211
_ORDER_NO: Final = "100234567"
_PART_NO: Final = "FJ-2210-BLK-M"
_SUPPLIER: Final = 312
_ORDER: Final[dict[str, Any]] = {
    "client_id": _CLIENT,
    "application_id": _SHOP,
    "order_id": 5012207,
    "order_no": _ORDER_NO,
    "client_order_ref": str(_BASKET),
    "cell_phone": "+46701740612",
    "first_name": "Astrid",
    "last_name": "Lindström",
    "source": "WEB",
}

_EXAMPLES: Final[Sequence[t.CommerceEvent]] = (
    t.CompanyChangedNotification(client_id=_CLIENT, company_id=55120, entity_changed="tClientCompanyAddress"),
    t.CustomerChangedNotification(
        client_id=_CLIENT, application_id=_SHOP, customer_id=88301, entity_changed="tClientCustomer"
    ),
    t.InvoiceCaptureCompletedEvent(
        client_id=_CLIENT, application_id=_SHOP, captured_invoice_id=70455, state="Captured"
    ),
    t.OrderCancelledEvent(**_ORDER),
    t.OrderConfirmedEvent(**_ORDER),
    t.OrderDeliveredEvent(**_ORDER),
    t.OrderPartlyDeliveredEvent(**_ORDER),
    t.OrderReadyForPickupEvent(**_ORDER, drop_point_code="SE-GBG-0417"),
    t.OrderPaymentReceivedEvent(
        client_id=_CLIENT,
        application_id=_SHOP,
        client_order_ref=str(_BASKET),
        erp_order_no=_ORDER_NO,
        payment_code="PAY-884211-1",
        payment_method_code="swish",
        payment_ref="7C1F0A52E3D94B66",
        amount=1249.5,
        currency_code="SEK",
    ),
    t.OrderReceivedEvent(
        client_id=_CLIENT,
        application_id=_SHOP,
        client_order_ref=str(_BASKET),
        email="astrid.lindstrom@example.com",
        cell_phone="+46701740612",
        first_name="Astrid",
        last_name="Lindström",
        source="WEB",
    ),
    t.SubscriptionFailedEvent(
        client_id=_CLIENT,
        application_id=_SHOP,
        subscription_id=4410,
        recurring_order_id=20717,
        recurring_order_schedule_id=31,
        basket_id=_BASKET + 902,
        email="astrid.lindstrom@example.com",
        cell_phone="+46701740612",
        first_name="Astrid",
        last_name="Lindström",
        error_message="The card has expired.",
    ),
    t.JobCompletedEvent(client_id=_CLIENT, job_id=918273, status_id=2),
    t.SkuPriceChangedNotification(
        client_id=_CLIENT,
        application_id=_SHOP,
        part_no=_PART_NO,
        pricelist_id=14,
        pricelist_code="SE-B2C",
        price_sale_value=1249.5,
        quantity_break=1.0,
    ),
    t.SkuOnHandBreakPointNotification(
        client_id=_CLIENT,
        part_no=_PART_NO,
        warehouse_id=3,
        warehouse_code="GBG",
        location_id=17,
        location_code="A-04-2",
        on_hand_value=5.0,
        minimum_value=5.0,
    ),
    t.SkuChangedNotification(client_id=_CLIENT, part_no=_PART_NO, entity_changed="tClientProductSkuCulture"),
    t.TranslationRequestedNotification(client_id=_CLIENT, part_no=_PART_NO, entity_changed="tClientProductSkuCulture"),
    t.SupplierSkuChangedNotification(
        client_id=_CLIENT, supplier_id=_SUPPLIER, part_no="NT-77120", entity_changed="tSupplierProductSku"
    ),
    t.SupplierSkuOnHandChangedNotification(
        client_id=_CLIENT, supplier_id=_SUPPLIER, part_no="NT-77120", entity_changed="tSupplierProductSkuOnHand"
    ),
    t.SupplierSkuPriceChangedNotification(client_id=_CLIENT, supplier_id=_SUPPLIER, part_no="NT-77120"),
)
_BY_MODEL: Final = {type(example): example for example in _EXAMPLES}


def example_of(model: type[t.CommerceEvent]) -> dict[str, Any]:
    """Return a fresh copy of the example of an event type, as it looks on the wire."""
    example: dict[str, Any] = msgspec.to_builtins(_BY_MODEL[model])
    return example
