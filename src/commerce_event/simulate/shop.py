"""Simulate a shop as a stream of events: realistic, consistent, and the same for the same seed.

A customer exists before the first order. An order is received, paid, confirmed, and then either delivered (in parts, or
picked up) or cancelled. Orders reduce the stock; prices, suppliers, translations and jobs change meanwhile.
"""

import heapq
import random
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

_FIRST_NAMES: Final = (
    "Åsa",
    "Anna",
    "Björn",
    "Elin",
    "Erik",
    "Freja",
    "Göran",
    "Ida",
    "Jonas",
    "Karin",
    "Lars",
    "Maja",
    "Nils",
    "Sofia",
)
_LAST_NAMES: Final = (
    "Andersson",
    "Berg",
    "Dahl",
    "Ek",
    "Forsberg",
    "Hellström",
    "Lindqvist",
    "Nyström",
    "Öberg",
    "Sjögren",
    "Åkesson",
)
_SOURCES: Final = ("WEB", "WEB", "WEB", "POS", "Marketplace")
_CURRENCIES: Final = ("SEK", "SEK", "SEK", "NOK", "DKK", "EUR")
_PAYMENTS: Final = ("card", "invoice", "swish")
_PRODUCTS: Final = 200
_CUSTOMERS_MAX: Final = 2_000
_SUPPLIERS: Final = 5
_WAREHOUSES: Final = ((1, "GBG"), (2, "STO"))

Data = dict[str, Any]
_Step = Callable[[], None]


class SimulatedEvent(msgspec.Struct, frozen=True):
    """An event of the shop. ``key`` is an idempotency key; ``at_s`` is seconds since the shop opened."""

    type: str
    data: Data
    key: str
    at_s: float


class _Product(msgspec.Struct):
    part_no: str
    price: float
    on_hand: int
    minimum: int
    supplier_id: int


class _Order(msgspec.Struct):
    number: int
    reference: str
    customer: Data
    source: str
    amount: float
    currency: str


class Shop:
    """The shop of one client; its events never end."""

    def __init__(self, seed: int, client_id: int = 1, application_ids: tuple[int, ...] = (1, 2)) -> None:
        self._rng = random.Random(seed)  # noqa: S311 - a simulation, not a secret
        self._seed = seed
        self._client_id = client_id
        self._applications = application_ids
        self._schedule: list[tuple[float, int, _Step]] = []  # time, number (keeps equal times in order), step
        self._scheduled = 0
        self._emitted: list[tuple[str, Data]] = []
        self._now_s = 0.0
        self._events = 0
        self._orders = 0
        self._jobs = 0
        self._payments = 0
        self._customers: list[Data] = []
        self._known_customers = 0
        self._products = [self._product(number) for number in range(_PRODUCTS)]
        for activity, every_s in self._activities():
            self._repeat(activity, every_s)

    def events(self) -> Iterator[SimulatedEvent]:
        """Yield events in order, without end."""
        while True:
            self._now_s, _, step = heapq.heappop(self._schedule)
            step()
            for event_type, data in self._emitted:
                self._events += 1
                yield SimulatedEvent(
                    event_type, data, f"sim-{self._seed}-{self._client_id}-{self._events}", self._now_s
                )
            self._emitted.clear()

    def _activities(self) -> tuple[tuple[_Step, float], ...]:
        return (
            (self._new_customer, 20.0),
            (self._place_order, 6.0),
            (self._change_customer, 45.0),
            (self._change_company, 120.0),
            (self._change_price, 25.0),
            (self._change_product, 40.0),
            (self._request_translation, 180.0),
            (self._change_supplier, 60.0),
            (self._finish_job, 90.0),
            (self._fail_subscription, 240.0),
        )

    def _new_customer(self) -> None:
        self._known_customers += 1
        first, last = self._rng.choice(_FIRST_NAMES), self._rng.choice(_LAST_NAMES)
        customer = {
            "CustomerId": 10_000 + self._known_customers,
            "Email": f"kund{self._known_customers}@example.com",
            "CellPhone": f"+4670{self._rng.randrange(10**7):07d}",
            "FirstName": first,
            "LastName": last,
        }
        self._customers.append(customer)
        if len(self._customers) > _CUSTOMERS_MAX:
            self._customers.pop(0)
        self._emit("CustomerChangedNotification", CustomerId=customer["CustomerId"], EntityChanged="tClientCustomer")

    def _place_order(self) -> None:
        if not self._customers:
            return
        self._orders += 1
        lines = [(self._rng.choice(self._products), self._rng.randint(1, 3)) for _ in range(self._rng.randint(1, 4))]
        order = _Order(
            self._orders,
            f"B-{self._seed}-{700_000 + self._orders}",
            self._rng.choice(self._customers),
            self._rng.choice(_SOURCES),
            round(sum(product.price * count for product, count in lines), 2),
            self._rng.choice(_CURRENCIES),
        )
        buyer = {name: order.customer[name] for name in ("Email", "CellPhone", "FirstName", "LastName")}
        self._emit_for_order(order, "OrderReceivedEvent", **buyer, Source=order.source)
        for product, count in lines:
            self._take_from_stock(product, count)
        self._later(5, 60, lambda: self._pay(order))

    def _pay(self, order: _Order) -> None:
        self._payments += 1
        self._emit_for_order(
            order,
            "OrderPaymentReceivedEvent",
            ErpOrderNo=_order_no(order),
            PaymentCode=f"P{self._seed}-{self._payments}",
            PaymentMethodCode=self._rng.choice(_PAYMENTS),
            Amount=order.amount,
            CurrencyCode=order.currency,
        )
        self._later(5, 120, lambda: self._confirm(order))

    def _confirm(self, order: _Order) -> None:
        self._emit_with_buyer(order, "OrderConfirmedEvent")
        outcome = self._rng.random()
        if outcome < 0.12:
            self._later(10, 300, lambda: self._emit_with_buyer(order, "OrderCancelledEvent"))
        elif outcome < 0.30:
            self._later(60, 600, lambda: self._ready_for_pickup(order))
        elif outcome < 0.50:
            self._later(60, 600, lambda: self._deliver_part(order))
        else:
            self._later(60, 900, lambda: self._deliver(order))

    def _deliver_part(self, order: _Order) -> None:
        self._emit_with_buyer(order, "OrderPartlyDeliveredEvent")
        again = self._rng.random() < 0.2
        self._later(60, 900, lambda: self._deliver_part(order) if again else self._deliver(order))

    def _ready_for_pickup(self, order: _Order) -> None:
        self._emit_with_buyer(order, "OrderReadyForPickupEvent", DropPointCode=f"DP-{self._rng.randint(1, 40):03d}")
        self._later(60, 1_800, lambda: self._deliver(order))

    def _deliver(self, order: _Order) -> None:
        self._emit_with_buyer(order, "OrderDeliveredEvent")
        self._later(30, 300, lambda: self._capture_invoice(order))

    def _capture_invoice(self, order: _Order) -> None:
        self._emit(
            "InvoiceCaptureCompletedEvent",
            ApplicationId=self._application(order),
            CapturedInvoiceId=order.number,
            State="Error" if self._rng.random() < 0.03 else "Captured",
        )

    def _take_from_stock(self, product: _Product, count: int) -> None:
        product.on_hand -= count
        if product.on_hand <= product.minimum:
            warehouse_id, code = self._rng.choice(_WAREHOUSES)
            self._emit(
                "SkuOnHandBreakPointNotification",
                PartNo=product.part_no,
                WarehouseId=warehouse_id,
                WarehouseCode=code,
                LocationId=warehouse_id * 10,
                LocationCode=f"{code}-A",
                OnHandValue=float(max(0, product.on_hand)),
                MinimumValue=float(product.minimum),
            )
            product.on_hand += self._rng.randint(20, 60)

    def _change_customer(self) -> None:
        if self._customers:
            entity = self._rng.choice(("tClientCustomer", "tClientCustomerAddress", "tClientCustomerFlag"))
            customer_id = self._rng.choice(self._customers)["CustomerId"]
            self._emit("CustomerChangedNotification", CustomerId=customer_id, EntityChanged=entity)

    def _change_company(self) -> None:
        entity = self._rng.choice(("tClientCompany", "tClientCompanyAddress", "tClientCompanyPriceList"))
        self._emit("CompanyChangedNotification", CompanyId=500 + self._rng.randrange(50), EntityChanged=entity)

    def _change_price(self) -> None:
        product = self._rng.choice(self._products)
        product.price = round(product.price * self._rng.uniform(0.9, 1.12), 2)
        self._emit(
            "SkuPriceChangedNotification",
            PartNo=product.part_no,
            PricelistId=1,
            PricelistCode="STANDARD",
            PriceSaleValue=product.price,
            QuantityBreak=1.0,
        )

    def _change_product(self) -> None:
        entity = self._rng.choice(("tClientProductSku", "tClientProductSkuCulture", "tCategory", "tClientManufacturer"))
        self._emit("SkuChangedNotification", PartNo=self._rng.choice(self._products).part_no, EntityChanged=entity)

    def _request_translation(self) -> None:
        part_no = self._rng.choice(self._products).part_no
        self._emit("TranslationRequestedNotification", PartNo=part_no, EntityChanged="tClientProductSkuCulture")

    def _change_supplier(self) -> None:
        product = self._rng.choice(self._products)
        about = {"SupplierId": product.supplier_id, "PartNo": product.part_no}
        kind = self._rng.randrange(3)
        if kind == 0:
            self._emit("SupplierSkuChangedNotification", **about, EntityChanged="tSupplierProductSku")
        elif kind == 1:
            self._emit("SupplierSkuOnHandChangedNotification", **about, EntityChanged="tSupplierProductSkuOnHand")
        else:
            self._emit("SupplierSkuPriceChangedNotification", **about)

    def _finish_job(self) -> None:
        self._jobs += 1
        self._emit("JobCompletedEvent", JobId=self._jobs, StatusId=self._rng.choice((2, 2, 2, 2, 3, 4)))

    def _fail_subscription(self) -> None:
        if self._customers:
            customer = self._rng.choice(self._customers)
            self._emit(
                "SubscriptionFailedEvent",
                ApplicationId=self._applications[0],
                SubscriptionId=1_000 + self._rng.randrange(200),
                Email=customer["Email"],
                FirstName=customer["FirstName"],
                LastName=customer["LastName"],
                ErrorMessage="Card declined",
            )

    def _emit(self, event_type: str, **data: Any) -> None:
        self._emitted.append((event_type, {"ClientId": self._client_id, **data}))

    def _emit_for_order(self, order: _Order, event_type: str, **data: Any) -> None:
        self._emit(event_type, ApplicationId=self._application(order), ClientOrderRef=order.reference, **data)

    def _emit_with_buyer(self, order: _Order, event_type: str, **data: Any) -> None:
        buyer = {name: order.customer[name] for name in ("CellPhone", "FirstName", "LastName")}
        number = {"OrderId": 4_000_000 + order.number, "OrderNo": _order_no(order)}
        self._emit_for_order(order, event_type, **number, **buyer, Source=order.source, **data)

    def _application(self, order: _Order) -> int:
        return self._applications[order.number % len(self._applications)]

    def _later(self, min_s: float, max_s: float, step: _Step) -> None:
        self._scheduled += 1
        heapq.heappush(self._schedule, (self._now_s + self._rng.uniform(min_s, max_s), self._scheduled, step))

    def _repeat(self, activity: _Step, every_s: float) -> None:
        def step() -> None:
            activity()
            self._later(0.2 * every_s, 1.8 * every_s, step)

        self._later(0.0, every_s, step)

    def _product(self, number: int) -> _Product:
        minimum = self._rng.randint(2, 10)
        return _Product(
            part_no=f"NT-{10_000 + number * 37}",
            price=round(self._rng.uniform(19, 2_500), 2),
            on_hand=minimum + self._rng.randint(1, 40),
            minimum=minimum,
            supplier_id=300 + number % _SUPPLIERS,
        )


def _order_no(order: _Order) -> str:
    return f"SO-{10_000 + order.number}"
