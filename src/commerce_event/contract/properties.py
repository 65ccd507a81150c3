"""The properties that events are made of: JSON type, range and meaning, each written once."""

from typing import Annotated, Final, Literal

from msgspec import Meta

INT32_MIN: Final = -(2**31)
INT32_MAX: Final = 2**31 - 1
INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1

# \Z and not $: in Python, $ also matches before a last line feed.
TABLE_NAME_PATTERN: Final = r"^t[A-Z][A-Za-z0-9]*\Z"
KNOWN_SKU_TABLES: Final = (
    "tApplicationPriceList",
    "tCategory",
    "tCategoryCulture",
    "tCategorySalesArea",
    "tClientManufacturer",
    "tClientProductSku",
    "tClientProductSkuCulture",
    "tClientProductSkuOnHand",
    "tClientProductSkuPriceList",
    "tClientProductSkuSalesArea",
)

Int32 = Annotated[int, Meta(ge=INT32_MIN, le=INT32_MAX, extra_json_schema={"format": "int32"})]
Int64 = Annotated[int, Meta(ge=INT64_MIN, le=INT64_MAX, extra_json_schema={"format": "int64"})]
Double = Annotated[float, Meta(extra_json_schema={"format": "double"})]

# Whose
ClientId = Annotated[Int32, Meta(description="The client (tenant) whose data this is about.")]
ApplicationId = Annotated[Int32, Meta(description="The client's sales application, such as one web shop.")]
OptionalApplicationId = Annotated[
    Int32,
    Meta(description="The client's sales application, such as one web shop; left out for what all of them share."),
]

# Customers
CompanyId = Annotated[Int32, Meta(description="Internal number of the company.")]
CustomerId = Annotated[Int32, Meta(description="Internal number of the customer, a private person or a contact.")]

# Orders
OrderId = Annotated[Int64, Meta(description="Internal number of the order.")]
OrderNo = Annotated[str, Meta(description="Order number as people know it, in most cases given by the ERP system.")]
ClientOrderRef = Annotated[
    str, Meta(description="What the order grew from: number of the basket or quotation, or a reference from outside.")
]
Email = Annotated[str, Meta(description="The buyer's e-mail address.")]
CellPhone = Annotated[str, Meta(description="The buyer's mobile phone number.")]
FirstName = Annotated[str, Meta(description="The buyer's first name.")]
LastName = Annotated[str, Meta(description="The buyer's last name.")]
Source = Annotated[str, Meta(description="Where the order was placed: WEB, or the marketplace or till system by name.")]
DropPointCode = Annotated[str, Meta(description="Code of the drop point where the goods wait for the buyer.")]
CapturedInvoiceId = Annotated[Int32, Meta(description="Internal number of the invoice.")]
CaptureState = Annotated[Literal["Captured", "Error"], Meta(description="Whether the capture worked out.")]

# Payments
ErpOrderNo = Annotated[str, Meta(description="The order's number in the ERP system.")]
PaymentCode = Annotated[str, Meta(description="Identifies this payment among all others.")]
PaymentMethodCode = Annotated[str, Meta(description="Code of the payment method as it was set up.")]
PaymentRef = Annotated[str, Meta(description="The payment provider's own reference.")]
Amount = Annotated[Double, Meta(description="How much was paid, in the currency given.")]
CurrencyCode = Annotated[str, Meta(description="Currency of the amount in three letters (ISO 4217), such as SEK.")]

# Subscriptions
SubscriptionId = Annotated[Int32, Meta(description="Number of the subscription.")]
RecurringOrderId = Annotated[Int32, Meta(description="Number of the recurring order.")]
RecurringOrderScheduleId = Annotated[
    Int32, Meta(description="Number of the schedule that the recurring order follows.")
]
BasketId = Annotated[Int32, Meta(description="Number of the basket that was to become the order.")]
ErrorMessage = Annotated[str, Meta(description="What went wrong, in words.")]

# Jobs
JobId = Annotated[Int32, Meta(description="Number of the job.")]
JobStatusId = Annotated[
    Literal[1, 2, 3, 4, 5, 6],
    Meta(
        description="How the job stands: 1 initialised, 2 succeeded, 3 failed, 4 did not pass validation, "
        "5 being validated, 6 queued. A job that has ended says 2, 3 or 4.",
        extra_json_schema={"format": "int32"},
    ),
]

# Products and stock
PartNo = Annotated[str, Meta(description="Part number of the product.")]
PricelistId = Annotated[Int32, Meta(description="Internal number of the price list.")]
PricelistCode = Annotated[str, Meta(description="Code by which other systems know the price list.")]
PriceSaleValue = Annotated[Double, Meta(description="The sale price as it is now.")]
QuantityBreak = Annotated[Double, Meta(description="The price holds from this quantity on.")]
WarehouseId = Annotated[Int32, Meta(description="Internal number of the warehouse.")]
WarehouseCode = Annotated[str, Meta(description="Code by which other systems know the warehouse.")]
LocationId = Annotated[Int32, Meta(description="Internal number of the place within the warehouse.")]
LocationCode = Annotated[str, Meta(description="Code by which other systems know the place within the warehouse.")]
OnHandValue = Annotated[Double, Meta(description="Stock on hand when the notification fired.")]
MinimumValue = Annotated[Double, Meta(description="The minimum that was set up for this warehouse and place.")]

# Suppliers
SupplierId = Annotated[Int32, Meta(description="Internal number of the supplier.")]
SupplierPartNo = Annotated[str, Meta(description="Part number of the supplier's product.")]

# Which data changed, named by its table
_WHICH_DATA: Final = "The event setting, named by its data table, whose change caused the notification."
CompanyEntity = Annotated[
    Literal[
        "tClientCompany",
        "tClientCompanyAddress",
        "tClientCompanyDeliveryMethod",
        "tClientCompanyDiscount",
        "tClientCompanyDivision",
        "tClientCompanyFlag",
        "tClientCompanyInfo",
        "tClientCompanyPaymentMethod",
        "tClientCompanyPriceList",
        "tClientCustomer",
        "tClientCustomerCompany",
    ],
    Meta(description=_WHICH_DATA),
]
CustomerEntity = Annotated[
    Literal[
        "tApplicationAccount",
        "tClientCustomer",
        "tClientCustomerAddress",
        "tClientCustomerDivision",
        "tClientCustomerFlag",
        "tClientCustomerInfo",
        "tClientCustomerPriceList",
    ],
    Meta(description=_WHICH_DATA),
]
SkuEntity = Annotated[
    str,
    Meta(
        description=f"{_WHICH_DATA} The list of known names is open: expect others of the same form.",
        pattern=TABLE_NAME_PATTERN,
        examples=list(KNOWN_SKU_TABLES),
    ),
]
SupplierSkuEntity = Annotated[
    Literal["tSupplierProductSku", "tSupplierProductSkuClient"], Meta(description=_WHICH_DATA)
]
SupplierStockEntity = Annotated[Literal["tSupplierProductSkuOnHand"], Meta(description=_WHICH_DATA)]
