"""The event types by name: category, description, fields, example and business key.

A catalogue has those of the contract, and own event types.
"""

import hashlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec

from commerce_event.contract import types as t
from commerce_event.contract.examples import example_of
from commerce_event.contract.json_schema import SchemaValidator
from commerce_event.contract.schema import Property, properties_of

Kind = Literal["event", "notification"]
_KEY_MAX: Final = 200


class BusinessKey(msgspec.Struct, frozen=True):
    """How to name what an event is about: a prefix, and the value of the first of ``names`` that the body has."""

    prefix: str
    names: tuple[str, ...]

    def read(self, data: Mapping[str, Any]) -> str | None:
        for name in self.names:
            value = data.get(name)
            if value is not None:
                return f"{self.prefix}:{_short(str(value))}"
        return None


class EventType(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """An event type. An event always happens; a notification needs a setting of the client.

    A type of the contract has a ``model``; an own event type has ``own_schema`` and ``validator``.
    """

    name: str
    category: str
    kind: Kind
    description: str
    model: type[t.CommerceEvent] | None
    example: dict[str, Any]
    fields: tuple[Property, ...]  # in wire order
    properties: frozenset[str]  # their wire names
    key: BusinessKey
    own_schema: dict[str, Any] | None = None
    validator: SchemaValidator | None = None

    @cached_property
    def folded_names(self) -> Mapping[str, str]:
        """The names of the properties by their case-folded form."""
        return {name.casefold(): name for name in self.properties}

    @cached_property
    def required(self) -> frozenset[str]:
        """The names of the properties that a body must have; ClientId is always one of them."""
        return frozenset(("ClientId", *self.schema()["required"]))

    def is_selected(self, entries: Iterable[str], except_entries: Iterable[str] = ()) -> bool:
        """Tell whether entries (names, categories or ``*``) include the type, and the exceptions do not."""
        names = {"*", self.category, self.name}
        return not names.isdisjoint(entries) and names.isdisjoint(except_entries)

    @property
    def is_own(self) -> bool:
        return self.own_schema is not None

    def business_key(self, data: Mapping[str, Any]) -> str | None:
        """Return the key that events about the same thing share, such as ``order:884211``; None without one."""
        return self.key.read(data)

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of the body. Properties beyond the contract are allowed."""
        if self.own_schema is not None:
            return self._own_schema(self.own_schema)
        return {
            "title": self.name,
            "description": self.description,
            "type": "object",
            "properties": {field.name: field.schema() for field in self.fields},
            "required": [field.name for field in self.fields if field.required],
            "examples": [self.example],
        }

    def _own_schema(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the schema with what every event has, unless it says so itself."""
        routing = {field.name: field.schema() for field in self.fields[:2]}
        required = given.get("required", [])
        return {
            "title": self.name,
            "description": self.description,
            "type": "object",
            **given,
            "properties": {**routing, **given.get("properties", {})},
            "required": [*required, *(each for each in ("ClientId",) if each not in required)],
            "examples": [self.example],
        }


def _short(value: str) -> str:
    """Return the value, or its digest when it is too long for an index."""
    return value if len(value) <= _KEY_MAX else hashlib.sha256(value.encode()).hexdigest()


def _event_type(category: str, model: type[t.CommerceEvent], key: BusinessKey) -> EventType:
    fields = tuple(properties_of(model))
    return EventType(
        name=model.__name__,
        category=category,
        kind="event" if model.__name__.endswith("Event") else "notification",
        description=(model.__doc__ or "").strip(),
        model=model,
        example=example_of(model),
        fields=fields,
        properties=frozenset(field.name for field in fields),
        key=key,
    )


_ORDER: Final = BusinessKey("order", ("ClientOrderRef",))
_SKU: Final = BusinessKey("sku", ("PartNo",))
_SUBSCRIPTION: Final = BusinessKey("subscription", ("SubscriptionId", "RecurringOrderId", "BasketId"))

_TYPES: Final = (
    _event_type("Customer", t.CompanyChangedNotification, BusinessKey("company", ("CompanyId",))),
    _event_type("Customer", t.CustomerChangedNotification, BusinessKey("customer", ("CustomerId",))),
    _event_type("Order", t.InvoiceCaptureCompletedEvent, BusinessKey("invoice", ("CapturedInvoiceId",))),
    _event_type("Order", t.OrderCancelledEvent, _ORDER),
    _event_type("Order", t.OrderConfirmedEvent, _ORDER),
    _event_type("Order", t.OrderDeliveredEvent, _ORDER),
    _event_type("Order", t.OrderPartlyDeliveredEvent, _ORDER),
    _event_type("Order", t.OrderReadyForPickupEvent, _ORDER),
    _event_type("Order", t.OrderPaymentReceivedEvent, _ORDER),
    _event_type("Order", t.OrderReceivedEvent, _ORDER),
    _event_type("Order", t.SubscriptionFailedEvent, _SUBSCRIPTION),
    _event_type("System", t.JobCompletedEvent, BusinessKey("job", ("JobId",))),
    _event_type("Product", t.SkuPriceChangedNotification, _SKU),
    _event_type("Product", t.SkuOnHandBreakPointNotification, _SKU),
    _event_type("Product", t.SkuChangedNotification, _SKU),
    _event_type("Product", t.TranslationRequestedNotification, _SKU),
    _event_type("Supplier", t.SupplierSkuChangedNotification, _SKU),
    _event_type("Supplier", t.SupplierSkuOnHandChangedNotification, _SKU),
    _event_type("Supplier", t.SupplierSkuPriceChangedNotification, _SKU),
)

EVENT_TYPES: Final[Mapping[str, EventType]] = MappingProxyType({kind.name: kind for kind in _TYPES})
CATEGORIES: Final = tuple(dict.fromkeys(kind.category for kind in _TYPES))


class Catalogue:
    """The event types that may be published: those of the contract, then own event types by name. Immutable."""

    def __init__(self, own: Iterable[EventType] = ()) -> None:
        self.own = tuple(sorted(own, key=lambda each: each.name))
        self.types: Mapping[str, EventType] = MappingProxyType(
            {**EVENT_TYPES, **{each.name: each for each in self.own}}
        )
        self.categories = tuple(dict.fromkeys(each.category for each in self.types.values()))
        self.entries = ("*", *self.categories, *self.types)  # what an endpoint may subscribe to

    def get(self, name: str) -> EventType | None:
        return self.types.get(name)

    def of_event(self, name: str) -> EventType:
        """Return the type of a stored event; a type that was deleted has no category and no properties."""
        return self.types.get(name) or _deleted_type(name)

    def select(self, entries: Iterable[str], except_entries: Iterable[str] = ()) -> list[EventType]:
        """Return the types that entries name: by themselves, by their category or by ``*``; without the exceptions."""
        wanted, left_out = frozenset(entries), frozenset(except_entries)
        return [each for each in self.types.values() if each.is_selected(wanted, left_out)]

    def by_category(self) -> list[tuple[str, list[EventType]]]:
        return [(name, [each for each in self.types.values() if each.category == name]) for name in self.categories]


def _deleted_type(name: str) -> EventType:
    return EventType(
        name=name,
        category="",
        kind="event",
        description="This event type was deleted.",
        model=None,
        example={},
        fields=(),
        properties=frozenset(),
        key=BusinessKey("", ()),
    )


CONTRACT: Final = Catalogue()
