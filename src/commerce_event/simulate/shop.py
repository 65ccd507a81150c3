"""Simulate a shop as a stream of events and changes: realistic, consistent, and the same for the same seed.

A customer exists before the first order. An order is received, paid, confirmed, and then either delivered (in parts, or
picked up) or cancelled. Orders take stock, and deliveries refill it; customers move house; prices, suppliers,
translations and jobs change as well. The notifications of changed rows are decided here, not by the server's rules, so
that the demo can compare the two.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from commerce_event.simulate.rows import Data, Rows, SimulatedChange

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
_STREETS: Final = ("Storgatan", "Kyrkogatan", "Hamngatan", "Skolvägen", "Parkgatan")
_CITIES: Final = (("411 05", "Göteborg"), ("111 29", "Stockholm"), ("211 22", "Malmö"), ("903 26", "Umeå"))
_PRODUCTS: Final = 200
_PARTS_IN_A_CATEGORY: Final = 5
_CUSTOMERS_MAX: Final = 2_000
_FLAGS_MAX: Final = 3
_COMPANIES: Final = 50
_SUPPLIERS: Final = 5
_WAREHOUSES: Final = ((1, "GBG"), (2, "STO"))
_PRICE_LIST: Final = 1

_STOCK: Final = "tClientProductSkuOnHand"
_PRICE: Final = "tClientProductSkuPriceList"
_SKU: Final = "tClientProductSku"
_TRANSLATION: Final = "tClientProductSkuCulture"
_CATEGORY: Final = "tCategory"
_SUPPLIED: Final = "tSupplierProductSku"
_SUPPLIER_STOCK: Final = "tSupplierProductSkuOnHand"
_CUSTOMER: Final = "tClientCustomer"
_ADDRESS: Final = "tClientCustomerAddress"
_FLAG: Final = "tClientCustomerFlag"
_COMPANY: Final = "tClientCompany"
_COMPANY_ADDRESS: Final = "tClientCompanyAddress"

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
    supplier_id: int
    category_id: int


class _Order(msgspec.Struct):
    number: int
    reference: str
    customer: Data
    source: str
    amount: float
    currency: str


class Shop:
    """The shop of one client. It runs without end."""

    def __init__(self, seed: int, client_id: int = 1, application_ids: tuple[int, ...] = (1, 2)) -> None:
        self._rng = random.Random(seed)  # noqa: S311 - a simulation, not a secret
        self._seed = seed
        self._client_id = client_id
        self._applications = application_ids
        self._schedule: list[tuple[float, int, _Step]] = []  # time, number (keeps equal times in order), step
        self._scheduled = 0
        self._emitted: list[tuple[str, Data]] = []
        self._rows = Rows(client_id, f"sim-{seed}-{client_id}")
        self._now_s = 0.0
        self._events = 0
        self._orders = 0
        self._jobs = 0
        self._payments = 0
        self._flags: list[Data] = []
        self._used = 0  # house numbers and flags
        self._customers: list[Data] = []
        self._known_customers = 0
        self._products = [self._product(number) for number in range(_PRODUCTS)]
        self._repriced: list[_Product] = []
        self._open()
        for activity, every_s in self._activities():
            self._repeat(activity, every_s)

    def steps(self) -> Iterator[list[SimulatedEvent | SimulatedChange]]:
        """Yield the results of each activity, without end: its changes of rows, then its events and notifications."""
        while True:
            self._now_s, _, step = heapq.heappop(self._schedule)
            step()
            done: list[SimulatedEvent | SimulatedChange] = []
            done += [SimulatedChange(body, self._now_s) for body in self._rows.made]
            for event_type, data in self._emitted:
                self._events += 1
                key = f"sim-{self._seed}-{self._client_id}-{self._events}"
                done.append(SimulatedEvent(event_type, data, key, self._now_s))
            self._rows.made.clear()
            self._emitted.clear()
            yield done

    def life(self) -> Iterator[SimulatedEvent | SimulatedChange]:
        """Yield events and changes in order, without end."""
        return itertools.chain.from_iterable(self.steps())

    def events(self) -> Iterator[SimulatedEvent]:
        """Yield events in order, without end, with the notifications of changed rows."""
        return (each for each in self.life() if isinstance(each, SimulatedEvent))

    def _activities(self) -> tuple[tuple[_Step, float], ...]:
        return (
            (self._new_customer, 20.0),
            (self._place_order, 6.0),
            (self._change_customer, 45.0),
            (self._change_company, 120.0),
            (self._visit_shop, 40.0),
            (self._change_price, 25.0),
            (self._import_prices, 70.0),
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
        key = {"CustomerId": customer["CustomerId"]}
        values = {name: value for name, value in customer.items() if name not in key}
        self._rows.insert(_CUSTOMER, key, **values, LastVisit=int(self._now_s))
        self._tell_of_customer(key, _CUSTOMER)
        self._rows.insert(_ADDRESS, key, **self._address())

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
        """Take parts from the stock of a warehouse; notify when stock reaches or falls below its minimum."""
        warehouse_id, code = self._rng.choice(_WAREHOUSES)
        key = _stock_key(product, warehouse_id)
        stock = self._rows.of(_STOCK, key)
        left = max(0.0, stock["OnHandValue"] - count)
        self._rows.update(_STOCK, key, OnHandValue=left)
        if left <= stock["MinimumValue"] < stock["OnHandValue"]:
            self._emit(
                "SkuOnHandBreakPointNotification",
                PartNo=product.part_no,
                WarehouseId=warehouse_id,
                WarehouseCode=code,
                LocationId=key["LocationId"],
                LocationCode=f"{code}-A",
                OnHandValue=left,
                MinimumValue=stock["MinimumValue"],
            )
            self._later(60, 600, lambda: self._refill_stock(key))

    def _refill_stock(self, key: Data) -> None:
        left = self._rows.of(_STOCK, key)["OnHandValue"]
        self._rows.update(_STOCK, key, OnHandValue=left + self._rng.randint(20, 60))

    def _change_customer(self) -> None:
        """A customer moves house, gets another telephone number, or a flag."""
        if not self._customers:
            return
        customer = self._rng.choice(self._customers)
        key = {"CustomerId": customer["CustomerId"]}
        kind = self._rng.randrange(3)
        if kind == 0:
            self._rows.update(_ADDRESS, key, **self._address())
            self._tell_of_customer(key, _ADDRESS)
        elif kind == 1:
            number = int(customer["CellPhone"][-7:]) + self._rng.randint(1, 999)
            customer["CellPhone"] = f"+4670{number % 10**7:07d}"
            self._rows.update(_CUSTOMER, key, CellPhone=customer["CellPhone"])
            self._tell_of_customer(key, _CUSTOMER)
        else:
            self._flag_customer(key)

    def _flag_customer(self, key: Data) -> None:
        """Flag a customer for a campaign, or end the oldest campaign."""
        if len(self._flags) > _FLAGS_MAX:
            flag = self._flags.pop(0)
            self._rows.delete(_FLAG, flag)
        else:
            flag = {**key, "FlagId": self._next_number()}
            self._flags.append(flag)
            self._rows.insert(_FLAG, flag, Name=f"Campaign {flag['FlagId']}")
        self._tell_of_customer(flag, _FLAG)

    def _visit_shop(self) -> None:
        """Change a field that raises no notification."""
        if self._customers:
            key = {"CustomerId": self._rng.choice(self._customers)["CustomerId"]}
            self._rows.update(_CUSTOMER, key, LastVisit=int(self._now_s))

    def _tell_of_customer(self, key: Data, entity: str) -> None:
        self._emit("CustomerChangedNotification", CustomerId=key["CustomerId"], EntityChanged=entity)

    def _change_company(self) -> None:
        entity = self._rng.choice((_COMPANY, _COMPANY_ADDRESS))
        key = {"CompanyId": 500 + self._rng.randrange(_COMPANIES)}
        self._rows.update(entity, key, Revision=self._rows.of(entity, key)["Revision"] + 1)
        self._emit("CompanyChangedNotification", **key, EntityChanged=entity)

    def _change_price(self) -> None:
        """Move a price, now and then in a burst."""
        product = self._rng.choice(self._products)
        self._move_price(product)
        for number in range(self._rng.choice((0, 0, 1, 2))):
            self._later(number * 0.4, number * 0.4 + 0.3, lambda: self._move_price(product))

    def _move_price(self, product: _Product) -> None:
        price = round(product.price * self._rng.uniform(0.9, 1.12), 2)
        if price == product.price:
            return
        product.price = price
        self._repriced.append(product)
        key = {"PartNo": product.part_no, "PricelistId": _PRICE_LIST}
        self._rows.update(_PRICE, key, PriceSaleValue=price)
        self._emit("SkuPriceChangedNotification", **key, **self._rows.of(_PRICE, key))

    def _import_prices(self) -> None:
        """Write some prices again as they are, as text: an equal number raises no notification."""
        for product in self._repriced[-3:]:
            key = {"PartNo": product.part_no, "PricelistId": _PRICE_LIST}
            self._rows.update(_PRICE, key, PriceSaleValue=f"{product.price:.2f}")

    def _change_product(self) -> None:
        """Change a product, or the category of several."""
        product = self._rng.choice(self._products)
        if self._rng.random() < 0.75:
            key = {"PartNo": product.part_no}
            weight = self._rows.of(_SKU, key)["Weight"]
            self._rows.update(_SKU, key, Weight=round(weight + self._rng.uniform(0.01, 1.0), 3))
            self._emit("SkuChangedNotification", **key, EntityChanged=_SKU)
            return
        parts = [each.part_no for each in self._products if each.category_id == product.category_id]
        category = {"CategoryId": product.category_id, "PartNo": parts}
        self._rows.update(_CATEGORY, category, SortOrder=self._rows.of(_CATEGORY, category)["SortOrder"] + 1)
        for part_no in parts:
            self._emit("SkuChangedNotification", PartNo=part_no, EntityChanged=_CATEGORY)

    def _request_translation(self) -> None:
        """Ask for the translation of a text; it is translated later."""
        key = {"PartNo": self._rng.choice(self._products).part_no, "CultureCode": "nb-NO"}
        if self._rows.of(_TRANSLATION, key)["State"] == "requested":
            return
        self._rows.update(_TRANSLATION, key, State="requested")
        self._emit("TranslationRequestedNotification", PartNo=key["PartNo"], EntityChanged=_TRANSLATION)
        self._later(120, 900, lambda: self._rows.update(_TRANSLATION, key, State="translated"))

    def _change_supplier(self) -> None:
        product = self._rng.choice(self._products)
        key = {"SupplierId": product.supplier_id, "PartNo": product.part_no}
        kind = self._rng.randrange(3)
        if kind == 0:
            edition = self._rows.of(_SUPPLIED, key)["Edition"] + 1
            self._rows.update(_SUPPLIED, key, Edition=edition, Description=f"{product.part_no}, edition {edition}")
            self._emit("SupplierSkuChangedNotification", **key, EntityChanged=_SUPPLIED)
        elif kind == 1:
            on_hand = self._rows.of(_SUPPLIER_STOCK, key)["OnHandValue"]
            self._rows.update(_SUPPLIER_STOCK, key, OnHandValue=on_hand + self._rng.randint(1, 500))
            self._emit("SupplierSkuOnHandChangedNotification", **key, EntityChanged=_SUPPLIER_STOCK)
        else:
            cost = self._rows.of(_SUPPLIED, key)["CostValue"]
            self._rows.update(_SUPPLIED, key, CostValue=round(cost + self._rng.uniform(0.5, 9.0), 2))
            self._emit("SupplierSkuPriceChangedNotification", **key)

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
        return _Product(
            part_no=f"NT-{10_000 + number * 37}",
            price=round(self._rng.uniform(19, 2_500), 2),
            supplier_id=300 + number % _SUPPLIERS,
            category_id=1 + number // _PARTS_IN_A_CATEGORY,
        )

    def _open(self) -> None:
        """Add the rows that exist before the shop opens."""
        rows = self._rows
        for product in self._products:
            part, supplied = {"PartNo": product.part_no}, {"SupplierId": product.supplier_id, "PartNo": product.part_no}
            rows.put(_SKU, part, Name=f"Part {product.part_no}", Weight=1.0)
            rows.put(_TRANSLATION, {**part, "CultureCode": "nb-NO"}, State="translated")
            price = {"PricelistCode": "STANDARD", "PriceSaleValue": product.price, "QuantityBreak": 1.0}
            rows.put(_PRICE, {**part, "PricelistId": _PRICE_LIST}, **price)
            for warehouse_id, code in _WAREHOUSES:
                minimum = float(self._rng.randint(2, 10))
                on_hand = minimum + self._rng.randint(1, 15)
                place = {"WarehouseCode": code, "LocationCode": f"{code}-A"}
                stock = {**place, "OnHandValue": on_hand, "MinimumValue": minimum}
                rows.put(_STOCK, _stock_key(product, warehouse_id), **stock)
            cost = round(product.price * 0.6, 2)
            rows.put(_SUPPLIED, supplied, Edition=1, Description=f"{product.part_no}, edition 1", CostValue=cost)
            rows.put(_SUPPLIER_STOCK, supplied, OnHandValue=self._rng.randint(0, 900))
        for first in range(0, _PRODUCTS, _PARTS_IN_A_CATEGORY):
            of_category = self._products[first : first + _PARTS_IN_A_CATEGORY]
            category = {
                "CategoryId": of_category[0].category_id,
                "PartNo": [product.part_no for product in of_category],
            }
            rows.put(_CATEGORY, category, SortOrder=1)
        for company_id in range(500, 500 + _COMPANIES):
            rows.put(_COMPANY, {"CompanyId": company_id}, Name=f"Bolag {company_id} AB", Revision=1)
            rows.put(_COMPANY_ADDRESS, {"CompanyId": company_id}, City="Borås", Revision=1)

    def _address(self) -> Data:
        """Return an address with a house number that was not used before."""
        zip_code, city = self._rng.choice(_CITIES)
        street = f"{self._rng.choice(_STREETS)} {self._next_number()}"
        return {"Street": street, "ZipCode": zip_code, "City": city}

    def _next_number(self) -> int:
        self._used += 1
        return self._used


def _stock_key(product: _Product, warehouse_id: int) -> Data:
    return {"PartNo": product.part_no, "WarehouseId": warehouse_id, "LocationId": warehouse_id * 10}


def _order_no(order: _Order) -> str:
    return f"SO-{10_000 + order.number}"
