"""The event types of the contract. This file is generated: change the contract instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from commerce_event_sdk.event import Category, CommerceEvent, Double, Int32, Int64


@dataclass(frozen=True, kw_only=True)
class CompanyChangedNotification(CommerceEvent):
    """Data of a company, or of a record that belongs to it, changed in a way the event settings watch for."""

    event_type: ClassVar[str] = "CompanyChangedNotification"
    category: ClassVar[Category] = Category.CUSTOMER
    key_prefix: ClassVar[str] = "company"
    key_properties: ClassVar[tuple[str, ...]] = ("CompanyId",)

    ClientId: Int32
    """The client (tenant) whose data this is about."""
    ApplicationId: Int32 | None = None
    """The client's sales application, such as one web shop; left out for what all of them share."""
    CompanyId: Int32
    """Internal number of the company."""
    EntityChanged: str
    """The event setting, named by its data table, whose change caused the notification. Known values: tClientCompany,
    tClientCompanyAddress, tClientCompanyDeliveryMethod, tClientCompanyDiscount, tClientCompanyDivision,
    tClientCompanyFlag, tClientCompanyInfo, tClientCompanyPaymentMethod, tClientCompanyPriceList, tClientCustomer,
    tClientCustomerCompany.
    """


@dataclass(frozen=True, kw_only=True)
class CustomerChangedNotification(CommerceEvent):
    """Data of a customer, or of a record that belongs to it, changed in a way the event settings watch for."""

    event_type: ClassVar[str] = "CustomerChangedNotification"
    category: ClassVar[Category] = Category.CUSTOMER
    key_prefix: ClassVar[str] = "customer"
    key_properties: ClassVar[tuple[str, ...]] = ("CustomerId",)

    ClientId: Int32
    """The client (tenant) whose data this is about."""
    ApplicationId: Int32 | None = None
    """The client's sales application, such as one web shop; left out for what all of them share."""
    CustomerId: Int32
    """Internal number of the customer, a private person or a contact."""
    EntityChanged: str
    """The event setting, named by its data table, whose change caused the notification. Known values:
    tApplicationAccount, tClientCustomer, tClientCustomerAddress, tClientCustomerDivision, tClientCustomerFlag,
    tClientCustomerInfo, tClientCustomerPriceList.
    """


@dataclass(frozen=True, kw_only=True)
class InvoiceCaptureCompletedEvent(CommerceEvent):
    """The capture of an invoice has ended, successfully or not."""

    event_type: ClassVar[str] = "InvoiceCaptureCompletedEvent"
    category: ClassVar[Category] = Category.ORDER
    key_prefix: ClassVar[str] = "invoice"
    key_properties: ClassVar[tuple[str, ...]] = ("CapturedInvoiceId",)

    ClientId: Int32
    """The client (tenant) whose data this is about."""
    ApplicationId: Int32
    """The client's sales application, such as one web shop."""
    CapturedInvoiceId: Int32
    """Internal number of the invoice."""
    State: str
    """Whether the capture worked out. Known values: Captured, Error."""


@dataclass(frozen=True, kw_only=True)
class OrderCancelledEvent(CommerceEvent):
    """Someone asked, in the admin or through the API, for the order to be cancelled."""

    event_type: ClassVar[str] = "OrderCancelledEvent"
    category: ClassVar[Category] = Category.ORDER
    key_prefix: ClassVar[str] = "order"
    key_properties: ClassVar[tuple[str, ...]] = ("ClientOrderRef",)

    ClientId: Int32
    """The client (tenant) whose data this is about."""
    ApplicationId: Int32
    """The client's sales application, such as one web shop."""
    OrderId: Int64
    """Internal number of the order."""
    OrderNo: str
    """Order number as people know it, in most cases given by the ERP system."""
    ClientOrderRef: str
    """What the order grew from: number of the basket or quotation, or a reference from outside."""
    CellPhone: str | None = None
    """The buyer's mobile phone number."""
    FirstName: str | None = None
    """The buyer's first name."""
    LastName: str | None = None
    """The buyer's last name."""
    Source: str
    """Where the order was placed: WEB, or the marketplace or till system by name."""


@dataclass(frozen=True, kw_only=True)
class OrderConfirmedEvent(CommerceEvent):
    """The ERP system confirmed the order. It comes once for each order, so confirmation mails can be built on it."""

    event_type: ClassVar[str] = "OrderConfirmedEvent"
    category: ClassVar[Category] = Category.ORDER
    key_prefix: ClassVar[str] = "order"
    key_properties: ClassVar[tuple[str, ...]] = ("ClientOrderRef",)

    ClientId: Int32
    """The client (tenant) whose data this is about."""
    ApplicationId: Int32
    """The client's sales application, such as one web shop."""
    OrderId: Int64
    """Internal number of the order."""
    OrderNo: str
    """Order number as people know it, in most cases given by the ERP system."""
    ClientOrderRef: str
    """What the order grew from: number of the basket or quotation, or a reference from outside."""
    CellPhone: str | None = None
    """The buyer's mobile phone number."""
    FirstName: str | None = None
    """The buyer's first name."""
    LastName: str | None = None
    """The buyer's last name."""
    Source: str
    """Where the order was placed: WEB, or the marketplace or till system by name."""


@dataclass(frozen=True, kw_only=True)
class OrderDeliveredEvent(CommerceEvent):
    """Everything in the order has been delivered."""

    event_type: ClassVar[str] = "OrderDeliveredEvent"
    category: ClassVar[Category] = Category.ORDER
    key_prefix: ClassVar[str] = "order"
    key_properties: ClassVar[tuple[str, ...]] = ("ClientOrderRef",)

    ClientId: Int32
    """The client (tenant) whose data this is about."""
    ApplicationId: Int32
    """The client's sales application, such as one web shop."""
    OrderId: Int64
    """Internal number of the order."""
    OrderNo: str
    """Order number as people know it, in most cases given by the ERP system."""
    ClientOrderRef: str
    """What the order grew from: number of the basket or quotation, or a reference from outside."""
    CellPhone: str | None = None
    """The buyer's mobile phone number."""
    FirstName: str | None = None
    """The buyer's first name."""
    LastName: str | None = None
    """The buyer's last name."""
    Source: str
    """Where the order was placed: WEB, or the marketplace or till system by name."""


@dataclass(frozen=True, kw_only=True)
class OrderPartlyDeliveredEvent(CommerceEvent):
    """Part of the order has been delivered."""

    event_type: ClassVar[str] = "OrderPartlyDeliveredEvent"
    category: ClassVar[Category] = Category.ORDER
    key_prefix: ClassVar[str] = "order"
    key_properties: ClassVar[tuple[str, ...]] = ("ClientOrderRef",)

    ClientId: Int32
    """The client (tenant) whose data this is about."""
    ApplicationId: Int32
    """The client's sales application, such as one web shop."""
    OrderId: Int64
    """Internal number of the order."""
    OrderNo: str
    """Order number as people know it, in most cases given by the ERP system."""
    ClientOrderRef: str
    """What the order grew from: number of the basket or quotation, or a reference from outside."""
    CellPhone: str | None = None
    """The buyer's mobile phone number."""
    FirstName: str | None = None
    """The buyer's first name."""
    LastName: str | None = None
    """The buyer's last name."""
    Source: str
    """Where the order was placed: WEB, or the marketplace or till system by name."""


@dataclass(frozen=True, kw_only=True)
class OrderReadyForPickupEvent(CommerceEvent):
    """The order waits for its buyer at the drop point."""

    event_type: ClassVar[str] = "OrderReadyForPickupEvent"
    category: ClassVar[Category] = Category.ORDER
    key_prefix: ClassVar[str] = "order"
    key_properties: ClassVar[tuple[str, ...]] = ("ClientOrderRef",)

    ClientId: Int32
    """The client (tenant) whose data this is about."""
    ApplicationId: Int32
    """The client's sales application, such as one web shop."""
    OrderId: Int64
    """Internal number of the order."""
    OrderNo: str
    """Order number as people know it, in most cases given by the ERP system."""
    ClientOrderRef: str
    """What the order grew from: number of the basket or quotation, or a reference from outside."""
    CellPhone: str | None = None
    """The buyer's mobile phone number."""
    FirstName: str | None = None
    """The buyer's first name."""
    LastName: str | None = None
    """The buyer's last name."""
    Source: str
    """Where the order was placed: WEB, or the marketplace or till system by name."""
    DropPointCode: str | None = None
    """Code of the drop point where the goods wait for the buyer."""


@dataclass(frozen=True, kw_only=True)
class OrderPaymentReceivedEvent(CommerceEvent):
    """Money for an order came in."""

    event_type: ClassVar[str] = "OrderPaymentReceivedEvent"
    category: ClassVar[Category] = Category.ORDER
    key_prefix: ClassVar[str] = "order"
    key_properties: ClassVar[tuple[str, ...]] = ("ClientOrderRef",)

    ClientId: Int32
    """The client (tenant) whose data this is about."""
    ApplicationId: Int32
    """The client's sales application, such as one web shop."""
    ClientOrderRef: str
    """What the order grew from: number of the basket or quotation, or a reference from outside."""
    ErpOrderNo: str
    """The order's number in the ERP system."""
    PaymentCode: str
    """Identifies this payment among all others."""
    PaymentMethodCode: str | None = None
    """Code of the payment method as it was set up."""
    PaymentRef: str | None = None
    """The payment provider's own reference."""
    Amount: Double | None = None
    """How much was paid, in the currency given."""
    CurrencyCode: str | None = None
    """Currency of the amount in three letters (ISO 4217), such as SEK."""


@dataclass(frozen=True, kw_only=True)
class OrderReceivedEvent(CommerceEvent):
    """A buyer placed an order. The ERP system has not confirmed it yet, so it has no order number."""

    event_type: ClassVar[str] = "OrderReceivedEvent"
    category: ClassVar[Category] = Category.ORDER
    key_prefix: ClassVar[str] = "order"
    key_properties: ClassVar[tuple[str, ...]] = ("ClientOrderRef",)

    ClientId: Int32
    """The client (tenant) whose data this is about."""
    ApplicationId: Int32
    """The client's sales application, such as one web shop."""
    ClientOrderRef: str
    """What the order grew from: number of the basket or quotation, or a reference from outside."""
    Email: str | None = None
    """The buyer's e-mail address."""
    CellPhone: str | None = None
    """The buyer's mobile phone number."""
    FirstName: str | None = None
    """The buyer's first name."""
    LastName: str | None = None
    """The buyer's last name."""
    Source: str
    """Where the order was placed: WEB, or the marketplace or till system by name."""


@dataclass(frozen=True, kw_only=True)
class SubscriptionFailedEvent(CommerceEvent):
    """A subscription was due, but its order could not be placed."""

    event_type: ClassVar[str] = "SubscriptionFailedEvent"
    category: ClassVar[Category] = Category.ORDER
    key_prefix: ClassVar[str] = "subscription"
    key_properties: ClassVar[tuple[str, ...]] = ("SubscriptionId", "RecurringOrderId", "BasketId")

    ClientId: Int32
    """The client (tenant) whose data this is about."""
    ApplicationId: Int32
    """The client's sales application, such as one web shop."""
    SubscriptionId: Int32 | None = None
    """Number of the subscription."""
    RecurringOrderId: Int32 | None = None
    """Number of the recurring order."""
    RecurringOrderScheduleId: Int32 | None = None
    """Number of the schedule that the recurring order follows."""
    BasketId: Int32 | None = None
    """Number of the basket that was to become the order."""
    Email: str | None = None
    """The buyer's e-mail address."""
    CellPhone: str | None = None
    """The buyer's mobile phone number."""
    FirstName: str | None = None
    """The buyer's first name."""
    LastName: str | None = None
    """The buyer's last name."""
    ErrorMessage: str | None = None
    """What went wrong, in words."""


@dataclass(frozen=True, kw_only=True)
class JobCompletedEvent(CommerceEvent):
    """A job inside the platform, such as an import, has finished."""

    event_type: ClassVar[str] = "JobCompletedEvent"
    category: ClassVar[Category] = Category.SYSTEM
    key_prefix: ClassVar[str] = "job"
    key_properties: ClassVar[tuple[str, ...]] = ("JobId",)

    ClientId: Int32
    """The client (tenant) whose data this is about."""
    ApplicationId: Int32 | None = None
    """The client's sales application, such as one web shop; left out for what all of them share."""
    JobId: Int32
    """Number of the job."""
    StatusId: Int32
    """How the job stands: 1 initialised, 2 succeeded, 3 failed, 4 did not pass validation, 5 being validated, 6 queued.
    A job that has ended says 2, 3 or 4.
    """


@dataclass(frozen=True, kw_only=True)
class SkuPriceChangedNotification(CommerceEvent):
    """A product got another sale price on a price list."""

    event_type: ClassVar[str] = "SkuPriceChangedNotification"
    category: ClassVar[Category] = Category.PRODUCT
    key_prefix: ClassVar[str] = "sku"
    key_properties: ClassVar[tuple[str, ...]] = ("PartNo",)

    ClientId: Int32
    """The client (tenant) whose data this is about."""
    ApplicationId: Int32 | None = None
    """The client's sales application, such as one web shop; left out for what all of them share."""
    PartNo: str
    """Part number of the product."""
    PricelistId: Int32
    """Internal number of the price list."""
    PricelistCode: str | None = None
    """Code by which other systems know the price list."""
    PriceSaleValue: Double
    """The sale price as it is now."""
    QuantityBreak: Double | None = None
    """The price holds from this quantity on."""


@dataclass(frozen=True, kw_only=True)
class SkuOnHandBreakPointNotification(CommerceEvent):
    """Stock of a product reached the minimum set up for its warehouse and place."""

    event_type: ClassVar[str] = "SkuOnHandBreakPointNotification"
    category: ClassVar[Category] = Category.PRODUCT
    key_prefix: ClassVar[str] = "sku"
    key_properties: ClassVar[tuple[str, ...]] = ("PartNo",)

    ClientId: Int32
    """The client (tenant) whose data this is about."""
    ApplicationId: Int32 | None = None
    """The client's sales application, such as one web shop; left out for what all of them share."""
    PartNo: str
    """Part number of the product."""
    WarehouseId: Int32
    """Internal number of the warehouse."""
    WarehouseCode: str | None = None
    """Code by which other systems know the warehouse."""
    LocationId: Int32
    """Internal number of the place within the warehouse."""
    LocationCode: str | None = None
    """Code by which other systems know the place within the warehouse."""
    OnHandValue: Double
    """Stock on hand when the notification fired."""
    MinimumValue: Double
    """The minimum that was set up for this warehouse and place."""


@dataclass(frozen=True, kw_only=True)
class SkuChangedNotification(CommerceEvent):
    """Data of a product, or of a record that belongs to it, changed in a way the event settings watch for."""

    event_type: ClassVar[str] = "SkuChangedNotification"
    category: ClassVar[Category] = Category.PRODUCT
    key_prefix: ClassVar[str] = "sku"
    key_properties: ClassVar[tuple[str, ...]] = ("PartNo",)

    ClientId: Int32
    """The client (tenant) whose data this is about."""
    ApplicationId: Int32 | None = None
    """The client's sales application, such as one web shop; left out for what all of them share."""
    PartNo: str
    """Part number of the product."""
    EntityChanged: str
    """The event setting, named by its data table, whose change caused the notification. The list of known names is
    open: expect others of the same form. Known values: tApplicationPriceList, tCategory, tCategoryCulture,
    tCategorySalesArea, tClientManufacturer, tClientProductSku, tClientProductSkuCulture, tClientProductSkuOnHand,
    tClientProductSkuPriceList, tClientProductSkuSalesArea.
    """


@dataclass(frozen=True, kw_only=True)
class TranslationRequestedNotification(CommerceEvent):
    """A product's texts are to be translated."""

    event_type: ClassVar[str] = "TranslationRequestedNotification"
    category: ClassVar[Category] = Category.PRODUCT
    key_prefix: ClassVar[str] = "sku"
    key_properties: ClassVar[tuple[str, ...]] = ("PartNo",)

    ClientId: Int32
    """The client (tenant) whose data this is about."""
    ApplicationId: Int32 | None = None
    """The client's sales application, such as one web shop; left out for what all of them share."""
    PartNo: str
    """Part number of the product."""
    EntityChanged: str
    """The event setting, named by its data table, whose change caused the notification. The list of known names is
    open: expect others of the same form. Known values: tApplicationPriceList, tCategory, tCategoryCulture,
    tCategorySalesArea, tClientManufacturer, tClientProductSku, tClientProductSkuCulture, tClientProductSkuOnHand,
    tClientProductSkuPriceList, tClientProductSkuSalesArea.
    """


@dataclass(frozen=True, kw_only=True)
class SupplierSkuChangedNotification(CommerceEvent):
    """Data of a supplier's product changed."""

    event_type: ClassVar[str] = "SupplierSkuChangedNotification"
    category: ClassVar[Category] = Category.SUPPLIER
    key_prefix: ClassVar[str] = "sku"
    key_properties: ClassVar[tuple[str, ...]] = ("PartNo",)

    ClientId: Int32
    """The client (tenant) whose data this is about."""
    ApplicationId: Int32 | None = None
    """The client's sales application, such as one web shop; left out for what all of them share."""
    SupplierId: Int32
    """Internal number of the supplier."""
    PartNo: str
    """Part number of the supplier's product."""
    EntityChanged: str
    """The event setting, named by its data table, whose change caused the notification. Known values:
    tSupplierProductSku, tSupplierProductSkuClient.
    """


@dataclass(frozen=True, kw_only=True)
class SupplierSkuOnHandChangedNotification(CommerceEvent):
    """A supplier has more or less of a product in stock than before."""

    event_type: ClassVar[str] = "SupplierSkuOnHandChangedNotification"
    category: ClassVar[Category] = Category.SUPPLIER
    key_prefix: ClassVar[str] = "sku"
    key_properties: ClassVar[tuple[str, ...]] = ("PartNo",)

    ClientId: Int32
    """The client (tenant) whose data this is about."""
    ApplicationId: Int32 | None = None
    """The client's sales application, such as one web shop; left out for what all of them share."""
    SupplierId: Int32
    """Internal number of the supplier."""
    PartNo: str
    """Part number of the supplier's product."""
    EntityChanged: str
    """The event setting, named by its data table, whose change caused the notification. Known values:
    tSupplierProductSkuOnHand.
    """


@dataclass(frozen=True, kw_only=True)
class SupplierSkuPriceChangedNotification(CommerceEvent):
    """A product now costs something else at the supplier."""

    event_type: ClassVar[str] = "SupplierSkuPriceChangedNotification"
    category: ClassVar[Category] = Category.SUPPLIER
    key_prefix: ClassVar[str] = "sku"
    key_properties: ClassVar[tuple[str, ...]] = ("PartNo",)

    ClientId: Int32
    """The client (tenant) whose data this is about."""
    ApplicationId: Int32 | None = None
    """The client's sales application, such as one web shop; left out for what all of them share."""
    SupplierId: Int32
    """Internal number of the supplier."""
    PartNo: str
    """Part number of the supplier's product."""


MODELS: Mapping[str, type[CommerceEvent]] = MappingProxyType(
    {
        "CompanyChangedNotification": CompanyChangedNotification,
        "CustomerChangedNotification": CustomerChangedNotification,
        "InvoiceCaptureCompletedEvent": InvoiceCaptureCompletedEvent,
        "OrderCancelledEvent": OrderCancelledEvent,
        "OrderConfirmedEvent": OrderConfirmedEvent,
        "OrderDeliveredEvent": OrderDeliveredEvent,
        "OrderPartlyDeliveredEvent": OrderPartlyDeliveredEvent,
        "OrderReadyForPickupEvent": OrderReadyForPickupEvent,
        "OrderPaymentReceivedEvent": OrderPaymentReceivedEvent,
        "OrderReceivedEvent": OrderReceivedEvent,
        "SubscriptionFailedEvent": SubscriptionFailedEvent,
        "JobCompletedEvent": JobCompletedEvent,
        "SkuPriceChangedNotification": SkuPriceChangedNotification,
        "SkuOnHandBreakPointNotification": SkuOnHandBreakPointNotification,
        "SkuChangedNotification": SkuChangedNotification,
        "TranslationRequestedNotification": TranslationRequestedNotification,
        "SupplierSkuChangedNotification": SupplierSkuChangedNotification,
        "SupplierSkuOnHandChangedNotification": SupplierSkuOnHandChangedNotification,
        "SupplierSkuPriceChangedNotification": SupplierSkuPriceChangedNotification,
    }
)
