"""A shop that makes believable events. The same seed makes the same events in every version of Python."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, TypeVar

from commerce_event_sdk.event import CommerceEvent
from commerce_event_sdk.models import (
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
from commerce_event_sdk.testing.clock import FakeClock

Outcome = Literal["delivered", "partly_delivered", "picked_up", "cancelled"]
E = TypeVar("E", bound=CommerceEvent)

OUTCOMES: Final[tuple[Outcome, ...]] = ("delivered", "partly_delivered", "picked_up", "cancelled")
_PEOPLE: Final = (
    ("Astrid", "Lindström", "astrid.lindstrom", "+46701740612"),
    ("Björn", "Åkesson", "bjorn.akesson", "+46701740633"),
    ("Freja", "Nørgaard", "freja.norgaard", "+4520123456"),
    ("Kari", "Solberg", "kari.solberg", "+4740612345"),
    ("Mikko", "Virtanen", "mikko.virtanen", "+358401234567"),
    ("Zoë", "van den Berg", "zoe.vandenberg", "+31612345678"),
    ("Chloé", "O'Brien", "chloe.obrien", "+353851234567"),
    ("Łukasz", "Wójcik", "lukasz.wojcik", "+48512345678"),
)
_PART_NOS: Final = (
    "FJ-2210-BLK-M",
    "FJ-2210-BLK-L",
    "NT-77120",
    "NT-77121",
    "SH-0417-43",
    "CAP-9001",
    "MUG-2004",
    "BAG-31",
)
_SOURCES: Final = ("WEB", "WEB", "WEB", "POS", "Marketplace")
_PAYMENT_METHODS: Final = ("card", "swish", "invoice")
_WAREHOUSES: Final = ((3, "GBG", 17, "A-04-2"), (4, "STO", 22, "B-11-1"))
_SUCCEEDED: Final = 2
_ACTIVITIES_PER_HOUR: Final[Mapping[str, float]] = MappingProxyType(
    {
        "order": 12,
        "price_changed": 6,
        "stock_low": 3,
        "customer_changed": 3,
        "product_changed": 2,
        "job_completed": 2,
        "supplier_stock_changed": 1,
        "subscription_failed": 0.5,
    }
)
_ORDER_PROPERTIES: Final = frozenset(
    itertools.chain.from_iterable(
        each.__dataclass_fields__
        for each in (
            OrderReceivedEvent,
            OrderPaymentReceivedEvent,
            OrderConfirmedEvent,
            OrderReadyForPickupEvent,
            InvoiceCaptureCompletedEvent,
        )
    )
)


@dataclass(frozen=True)
class Customer:
    """A person who orders."""

    CustomerId: int
    Email: str
    CellPhone: str
    FirstName: str
    LastName: str


class Order:
    """An order of the shop. Each step of its life is a method that returns the event; steps can be left out."""

    def __init__(self, shop: Shop, number: int, customer: Customer, amount: float, given: Mapping[str, Any]) -> None:
        self._shop = shop
        self._payments = 0
        self._values: dict[str, Any] = {
            "OrderId": 5_012_000 + number,
            "OrderNo": str(100_234_000 + number),
            "ClientOrderRef": str(884_000 + number),
            "CellPhone": customer.CellPhone,
            "FirstName": customer.FirstName,
            "LastName": customer.LastName,
            "Email": customer.Email,
            "Source": shop.choose(_SOURCES),
            "Amount": amount,
            "CurrencyCode": "SEK",
            "PaymentMethodCode": shop.choose(_PAYMENT_METHODS),
            "DropPointCode": f"SE-GBG-{shop.choose(range(400, 440)):04d}",
            "CapturedInvoiceId": 70_000 + number,
            **given,
        }
        self.customer = customer
        unknown = given.keys() - _ORDER_PROPERTIES
        if unknown:
            raise TypeError(f"no event of an order has the property {', '.join(sorted(unknown))}")

    @property
    def OrderId(self) -> int:  # noqa: N802 - the contract's name
        """Internal number of the order."""
        return int(self._values["OrderId"])

    @property
    def OrderNo(self) -> str:  # noqa: N802
        """Order number as people know it."""
        return str(self._values["OrderNo"])

    @property
    def ClientOrderRef(self) -> str:  # noqa: N802
        """Reference that every event of the order has."""
        return str(self._values["ClientOrderRef"])

    @property
    def Amount(self) -> float:  # noqa: N802
        """What the order costs."""
        return float(self._values["Amount"])

    def received(self, **properties: Any) -> OrderReceivedEvent:
        """The buyer placed the order."""
        return self._event(OrderReceivedEvent, properties)

    def paid(self, amount: float | None = None, **properties: Any) -> OrderPaymentReceivedEvent:
        """Money came in: the whole amount, or a part of it. Each call is another payment."""
        self._payments += 1
        made = {
            "ErpOrderNo": self.OrderNo,
            "PaymentCode": f"PAY-{self.ClientOrderRef}-{self._payments}",
            "PaymentRef": f"{self._shop.choose(range(16**8)):08X}",
            **({} if amount is None else {"Amount": amount}),
        }
        return self._event(OrderPaymentReceivedEvent, {**made, **properties})

    def confirmed(self, **properties: Any) -> OrderConfirmedEvent:
        """The ERP system confirmed the order."""
        return self._event(OrderConfirmedEvent, properties)

    def partly_delivered(self, **properties: Any) -> OrderPartlyDeliveredEvent:
        """Part of the order was delivered."""
        return self._event(OrderPartlyDeliveredEvent, properties)

    def ready_for_pickup(self, **properties: Any) -> OrderReadyForPickupEvent:
        """The order waits for its buyer at the drop point."""
        return self._event(OrderReadyForPickupEvent, properties)

    def delivered(self, **properties: Any) -> OrderDeliveredEvent:
        """Everything was delivered."""
        return self._event(OrderDeliveredEvent, properties)

    def cancelled(self, **properties: Any) -> OrderCancelledEvent:
        """Someone asked for the order to be cancelled."""
        return self._event(OrderCancelledEvent, properties)

    def invoice_captured(self, state: str = "Captured", **properties: Any) -> InvoiceCaptureCompletedEvent:
        """The capture of the invoice ended: ``Captured`` or ``Error``."""
        return self._event(InvoiceCaptureCompletedEvent, {"State": state, **properties})

    def life(self, outcome: Outcome | None = None) -> list[CommerceEvent]:
        """Return the events of the whole life of the order; without an outcome, the shop chooses one."""
        end = self._shop.choose(OUTCOMES) if outcome is None else outcome
        begin: list[CommerceEvent] = [self.received(), self.paid(), self.confirmed()]
        if end == "cancelled":
            return [*begin, self.cancelled()]
        between: dict[str, list[CommerceEvent]] = {
            "partly_delivered": [self.partly_delivered()],
            "picked_up": [self.ready_for_pickup()],
        }
        return [*begin, *between.get(end, []), self.delivered(), self.invoice_captured()]

    def _event(self, model: type[E], properties: Mapping[str, Any]) -> E:
        return self._shop.event(model, self._values, properties)


class Shop:
    """Makes the events of one client. Every method takes properties of the event to set, such as ``Source="POS"``."""

    def __init__(
        self, seed: int = 1, *, clock: FakeClock | None = None, client_id: int = 1006, application_id: int = 1042
    ) -> None:
        self.clock = FakeClock() if clock is None else clock
        self.client_id = client_id
        self.application_id = application_id
        self._rng = random.Random(seed)  # noqa: S311 - test data, not a secret
        self._numbers = itertools.count(self._rng.randrange(1, 200))
        self._prices = {part_no: round(self._rng.uniform(19, 2_500), 2) for part_no in _PART_NOS}
        self._customers = [
            Customer(88_300 + number, f"{mailbox}@example.com", phone, first, last)
            for number, (first, last, mailbox, phone) in enumerate(self._rng.sample(_PEOPLE, len(_PEOPLE)))
        ]

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Move the clock forward."""
        self.clock.advance(days=days, hours=hours, minutes=minutes, seconds=seconds)

    def order(self, **properties: Any) -> Order:
        """Place an order. ``properties`` are in every event of the order that has them."""
        amount = round(sum(self._prices[self.choose(_PART_NOS)] for _ in range(self.choose(range(1, 4)))), 2)
        return Order(self, next(self._numbers), self.customer(), amount, properties)

    def customer(self) -> Customer:
        """Return one of the customers."""
        customer: Customer = self.choose(self._customers)
        return customer

    def events(self, *, hours: float) -> Iterator[CommerceEvent]:
        """Yield what happens in an open shop in this time, in order, and move the clock to each event."""
        opened_s = self.clock()
        due: list[tuple[float, int, CommerceEvent]] = []
        order_of_equals = itertools.count()
        for activity, per_hour in _ACTIVITIES_PER_HOUR.items():
            at_s = 0.0
            while (at_s := at_s + self._rng.expovariate(per_hour / 3600)) < hours * 3600:
                for delay_s, event in self._happen(activity):
                    heapq.heappush(due, (opened_s + at_s + delay_s, next(order_of_equals), event))
        while due and due[0][0] < opened_s + hours * 3600:
            at_s, _, event = heapq.heappop(due)
            self.advance(seconds=max(0.0, at_s - self.clock()))  # retries may have moved it further
            yield event

    def price_changed(self, **properties: Any) -> SkuPriceChangedNotification:
        """A product got another price."""
        part_no = properties.get("PartNo") or self.choose(_PART_NOS)
        price = round(self._prices.get(part_no, 100.0) * self._rng.uniform(0.9, 1.12) + 0.01, 2)
        self._prices[part_no] = price
        made = {
            "PartNo": part_no,
            "PricelistId": 14,
            "PricelistCode": "SE-B2C",
            "PriceSaleValue": price,
            "QuantityBreak": 1.0,
        }
        return self.event(SkuPriceChangedNotification, made, properties)

    def stock_low(self, **properties: Any) -> SkuOnHandBreakPointNotification:
        """Stock of a product fell to its minimum."""
        warehouse_id, warehouse, location_id, location = self.choose(_WAREHOUSES)
        minimum = float(self.choose(range(2, 11)))
        made = {
            "PartNo": self.choose(_PART_NOS),
            "WarehouseId": warehouse_id,
            "WarehouseCode": warehouse,
            "LocationId": location_id,
            "LocationCode": location,
            "OnHandValue": max(0.0, minimum - self.choose(range(3))),
            "MinimumValue": minimum,
        }
        return self.event(SkuOnHandBreakPointNotification, made, properties)

    def product_changed(self, **properties: Any) -> SkuChangedNotification:
        """Data of a product changed."""
        made = {"PartNo": self.choose(_PART_NOS), "EntityChanged": "tClientProductSku"}
        return self.event(SkuChangedNotification, made, properties)

    def translation_requested(self, **properties: Any) -> TranslationRequestedNotification:
        """The texts of a product are to be translated."""
        made = {"PartNo": self.choose(_PART_NOS), "EntityChanged": "tClientProductSkuCulture"}
        return self.event(TranslationRequestedNotification, made, properties)

    def customer_changed(self, **properties: Any) -> CustomerChangedNotification:
        """Data of a customer changed."""
        entity = self.choose(("tClientCustomer", "tClientCustomerAddress", "tClientCustomerFlag"))
        made = {"CustomerId": self.customer().CustomerId, "EntityChanged": entity}
        return self.event(CustomerChangedNotification, made, properties)

    def company_changed(self, **properties: Any) -> CompanyChangedNotification:
        """Data of a company changed."""
        made = {"CompanyId": 55_100 + self.choose(range(50)), "EntityChanged": "tClientCompanyAddress"}
        return self.event(CompanyChangedNotification, made, properties)

    def supplier_product_changed(self, **properties: Any) -> SupplierSkuChangedNotification:
        """Data of a supplier's product changed."""
        return self.event(SupplierSkuChangedNotification, self._supplied("tSupplierProductSku"), properties)

    def supplier_stock_changed(self, **properties: Any) -> SupplierSkuOnHandChangedNotification:
        """A supplier has more or less of a product."""
        return self.event(SupplierSkuOnHandChangedNotification, self._supplied("tSupplierProductSkuOnHand"), properties)

    def supplier_price_changed(self, **properties: Any) -> SupplierSkuPriceChangedNotification:
        """A product costs something else at the supplier."""
        return self.event(SupplierSkuPriceChangedNotification, self._supplied(""), properties)

    def job_completed(self, status_id: int = _SUCCEEDED, **properties: Any) -> JobCompletedEvent:
        """A job ended: 2 succeeded, 3 failed, 4 did not pass validation."""
        made = {"JobId": 918_000 + next(self._numbers), "StatusId": status_id}
        return self.event(JobCompletedEvent, made, properties)

    def subscription_failed(self, **properties: Any) -> SubscriptionFailedEvent:
        """The order of a subscription could not be placed."""
        customer = self.customer()
        number = next(self._numbers)
        made = {
            "SubscriptionId": 4_000 + number,
            "RecurringOrderId": 20_000 + number,
            "RecurringOrderScheduleId": 31,
            "BasketId": 885_000 + number,
            "Email": customer.Email,
            "CellPhone": customer.CellPhone,
            "FirstName": customer.FirstName,
            "LastName": customer.LastName,
            "ErrorMessage": "The card has expired.",
        }
        return self.event(SubscriptionFailedEvent, made, properties)

    def event(self, model: type[E], values: Mapping[str, Any], properties: Mapping[str, Any]) -> E:
        """Return an event of the shop with those values that its class has, and with all of the properties."""
        names = model.__dataclass_fields__
        made = {"ClientId": self.client_id, "ApplicationId": self.application_id, **values}
        known = {name: value for name, value in made.items() if name in names}
        unknown = {name: value for name, value in properties.items() if name not in names}
        if unknown:
            raise TypeError(f"{model.__name__} has no property {', '.join(unknown)}; pass others in extra={{…}}")
        return model(**{**known, **properties})

    def choose(self, values: Any) -> Any:
        """Return one of the values, as the seed decides."""
        return values[int(self._rng.random() * len(values))]

    def _supplied(self, entity: str) -> dict[str, Any]:
        return {"SupplierId": 312, "PartNo": self.choose(_PART_NOS), "EntityChanged": entity}

    def _happen(self, activity: str) -> list[tuple[float, CommerceEvent]]:
        """Return the events of an activity with their delays in seconds."""
        if activity != "order":
            make: Callable[[], CommerceEvent] = getattr(self, activity)
            return [(0.0, make())]
        delay_s, made = 0.0, []
        for event in self.order().life():
            made.append((delay_s, event))
            delay_s += self._rng.uniform(60, 1_800)
        return made
