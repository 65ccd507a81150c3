"""The event types as classes: ``msgspec.json.decode(body, type=OrderConfirmedEvent)`` makes an object of a body.

On the wire the properties are PascalCase. Absent optional ones are left out, and null means absent; unknown ones
are skipped on decoding.
"""

import msgspec

from commerce_event.contract import properties as p


class CommerceEvent(msgspec.Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    """What every event type has."""

    client_id: p.ClientId


class ClientEvent(CommerceEvent, frozen=True, kw_only=True):
    """About something that may belong to the client as a whole."""

    application_id: p.OptionalApplicationId | None = None


class ApplicationEvent(CommerceEvent, frozen=True, kw_only=True):
    """About something that always belongs to one sales application."""

    application_id: p.ApplicationId


# Customer


class CompanyChangedNotification(ClientEvent, frozen=True, kw_only=True):
    """Data of a company, or of a record that belongs to it, changed in a way the event settings watch for."""

    company_id: p.CompanyId
    entity_changed: p.CompanyEntity


class CustomerChangedNotification(ClientEvent, frozen=True, kw_only=True):
    """Data of a customer, or of a record that belongs to it, changed in a way the event settings watch for."""

    customer_id: p.CustomerId
    entity_changed: p.CustomerEntity


# Order


class InvoiceCaptureCompletedEvent(ApplicationEvent, frozen=True, kw_only=True):
    """The capture of an invoice has ended, successfully or not."""

    captured_invoice_id: p.CapturedInvoiceId
    state: p.CaptureState


class OrderEvent(ApplicationEvent, frozen=True, kw_only=True):
    """What the events of an order have in common once it has a number."""

    order_id: p.OrderId
    order_no: p.OrderNo
    client_order_ref: p.ClientOrderRef
    cell_phone: p.CellPhone | None = None
    first_name: p.FirstName | None = None
    last_name: p.LastName | None = None
    source: p.Source


class OrderCancelledEvent(OrderEvent, frozen=True, kw_only=True):
    """Someone asked, in the admin or through the API, for the order to be cancelled."""


class OrderConfirmedEvent(OrderEvent, frozen=True, kw_only=True):
    """The ERP system confirmed the order. It comes once for each order, so confirmation mails can be built on it."""


class OrderDeliveredEvent(OrderEvent, frozen=True, kw_only=True):
    """Everything in the order has been delivered."""


class OrderPartlyDeliveredEvent(OrderEvent, frozen=True, kw_only=True):
    """Part of the order has been delivered."""


class OrderReadyForPickupEvent(OrderEvent, frozen=True, kw_only=True):
    """The order waits for its buyer at the drop point."""

    drop_point_code: p.DropPointCode | None = None


class OrderPaymentReceivedEvent(ApplicationEvent, frozen=True, kw_only=True):
    """Money for an order came in."""

    client_order_ref: p.ClientOrderRef
    erp_order_no: p.ErpOrderNo
    payment_code: p.PaymentCode
    payment_method_code: p.PaymentMethodCode | None = None
    payment_ref: p.PaymentRef | None = None
    amount: p.Amount | None = None
    currency_code: p.CurrencyCode | None = None


class OrderReceivedEvent(ApplicationEvent, frozen=True, kw_only=True):
    """A buyer placed an order. The ERP system has not confirmed it yet, so it has no order number."""

    client_order_ref: p.ClientOrderRef
    email: p.Email | None = None
    cell_phone: p.CellPhone | None = None
    first_name: p.FirstName | None = None
    last_name: p.LastName | None = None
    source: p.Source


class SubscriptionFailedEvent(ApplicationEvent, frozen=True, kw_only=True):
    """A subscription was due, but its order could not be placed."""

    subscription_id: p.SubscriptionId | None = None
    recurring_order_id: p.RecurringOrderId | None = None
    recurring_order_schedule_id: p.RecurringOrderScheduleId | None = None
    basket_id: p.BasketId | None = None
    email: p.Email | None = None
    cell_phone: p.CellPhone | None = None
    first_name: p.FirstName | None = None
    last_name: p.LastName | None = None
    error_message: p.ErrorMessage | None = None


# System


class JobCompletedEvent(ClientEvent, frozen=True, kw_only=True):
    """A job inside the platform, such as an import, has finished."""

    job_id: p.JobId
    status_id: p.JobStatusId


# Product


class SkuPriceChangedNotification(ClientEvent, frozen=True, kw_only=True):
    """A product got another sale price on a price list."""

    part_no: p.PartNo
    pricelist_id: p.PricelistId
    pricelist_code: p.PricelistCode | None = None
    price_sale_value: p.PriceSaleValue
    quantity_break: p.QuantityBreak | None = None


class SkuOnHandBreakPointNotification(ClientEvent, frozen=True, kw_only=True):
    """Stock of a product reached the minimum set up for its warehouse and place."""

    part_no: p.PartNo
    warehouse_id: p.WarehouseId
    warehouse_code: p.WarehouseCode | None = None
    location_id: p.LocationId
    location_code: p.LocationCode | None = None
    on_hand_value: p.OnHandValue
    minimum_value: p.MinimumValue


class SkuChangedNotification(ClientEvent, frozen=True, kw_only=True):
    """Data of a product, or of a record that belongs to it, changed in a way the event settings watch for."""

    part_no: p.PartNo
    entity_changed: p.SkuEntity


class TranslationRequestedNotification(ClientEvent, frozen=True, kw_only=True):
    """A product's texts are to be translated."""

    part_no: p.PartNo
    entity_changed: p.SkuEntity


# Supplier


class SupplierSkuChangedNotification(ClientEvent, frozen=True, kw_only=True):
    """Data of a supplier's product changed."""

    supplier_id: p.SupplierId
    part_no: p.SupplierPartNo
    entity_changed: p.SupplierSkuEntity


class SupplierSkuOnHandChangedNotification(ClientEvent, frozen=True, kw_only=True):
    """A supplier has more or less of a product in stock than before."""

    supplier_id: p.SupplierId
    part_no: p.SupplierPartNo
    entity_changed: p.SupplierStockEntity


class SupplierSkuPriceChangedNotification(ClientEvent, frozen=True, kw_only=True):
    """A product now costs something else at the supplier."""

    supplier_id: p.SupplierId
    part_no: p.SupplierPartNo
