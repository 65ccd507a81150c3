"""The event types of the contract as pydantic models. Generated from the contract."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from commerce_event_sdk.event import Category

Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Double = Annotated[float, Field(allow_inf_nan=False)]


class CommerceEvent(BaseModel):
    """An event of the contract. Properties that the class does not know are kept in ``model_extra``."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow", use_attribute_docstrings=True)

    event_type: ClassVar[str]
    category: ClassVar[Category]
    key_prefix: ClassVar[str]
    key_properties: ClassVar[tuple[str, ...]]

    @property
    def business_key(self) -> str | None:
        """What the event is about, such as ``order:884211``; events with the same key belong in order."""
        values = (getattr(self, name) for name in self.key_properties)
        return next((f"{self.key_prefix}:{value}" for value in values if value is not None), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the event as it looks on the wire, without absent properties."""
        return self.model_dump(exclude_none=True)

    def to_json(self) -> bytes:
        """Return the event as UTF-8 JSON, without absent properties."""
        return self.model_dump_json(exclude_none=True).encode()


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
