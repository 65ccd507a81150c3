"""Which data tables (entities) each notification of the contract is about, and what its body takes from a row."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from commerce_event.contract import properties as p
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.contract.schema import Format

# What must be true of a change, beyond the setting: nothing; that the value differs; or that stock has reached or
# fallen below its minimum.
NotificationRule = Literal["any", "value", "break_point"]

ENTITY_CHANGED: Final = "EntityChanged"
_SKU_TABLE: Final = re.compile(p.TABLE_NAME_PATTERN)
_ROUTING: Final = frozenset({"ClientId", "ApplicationId", ENTITY_CHANGED})


class NotificationSource(msgspec.Struct, frozen=True, kw_only=True):
    """The data that a notification is made from.

    ``key`` are the properties that name its subject, ``row`` those that a row may add, and ``value`` the one whose
    change it reports.
    """

    event_type: str
    entities: tuple[str, ...]
    is_open: bool = False  # other tables of the same form as well
    rule: NotificationRule = "any"
    value: str | None = None
    key: tuple[str, ...] = ()
    row: tuple[str, ...] = ()
    required: frozenset[str] = frozenset()
    formats: Mapping[str, Format] = {}
    has_entity_changed: bool = True

    def takes(self, entity: str) -> bool:
        """Tell whether changes of the entity can raise this notification."""
        return self in sources_of(entity)


def _source(
    event_type: str,
    key: tuple[str, ...],
    entities: tuple[str, ...] = (),
    *,
    rule: NotificationRule = "any",
    value: str | None = None,
) -> NotificationSource:
    """``entities`` are those that the property EntityChanged lists, unless they are given."""
    fields = EVENT_TYPES[event_type].fields
    changed = next((field for field in fields if field.name == ENTITY_CHANGED), None)
    listed: tuple[str, ...] = ()
    if changed is not None:
        listed = tuple([str(value) for value in changed.values]) or changed.known_values
    return NotificationSource(
        event_type=event_type,
        entities=entities or listed,
        is_open=changed is not None and bool(changed.known_values),
        rule=rule,
        value=value,
        key=key,
        row=tuple(field.name for field in fields if field.name not in {*key, *_ROUTING}),
        required=frozenset(field.name for field in fields if field.required) - _ROUTING,
        formats={field.name: field.format for field in fields},
        has_entity_changed=changed is not None,
    )


NOTIFICATIONS: Final[Mapping[str, NotificationSource]] = MappingProxyType(
    {
        source.event_type: source
        for source in (
            _source("CompanyChangedNotification", ("CompanyId",)),
            _source("CustomerChangedNotification", ("CustomerId",)),
            _source(
                "SkuPriceChangedNotification",
                ("PartNo", "PricelistId"),
                ("tClientProductSkuPriceList",),
                rule="value",
                value="PriceSaleValue",
            ),
            _source(
                "SkuOnHandBreakPointNotification",
                ("PartNo", "WarehouseId", "LocationId"),
                ("tClientProductSkuOnHand",),
                rule="break_point",
                value="OnHandValue",
            ),
            _source("SkuChangedNotification", ("PartNo",)),
            _source("TranslationRequestedNotification", ("PartNo",)),
            _source("SupplierSkuChangedNotification", ("SupplierId", "PartNo")),
            _source(
                "SupplierSkuOnHandChangedNotification", ("SupplierId", "PartNo"), rule="value", value="OnHandValue"
            ),
            # The contract does not name a table; the cost belongs to the supplier's product.
            _source(
                "SupplierSkuPriceChangedNotification",
                ("SupplierId", "PartNo"),
                ("tSupplierProductSku", "tSupplierProductSkuClient"),
                rule="value",
                value="CostValue",
            ),
        )
    }
)

ENTITIES: Final = tuple(dict.fromkeys(entity for source in NOTIFICATIONS.values() for entity in source.entities))


def sources_of(entity: str) -> tuple[NotificationSource, ...]:
    """Return the notifications that changes of an entity can raise, in the order of the contract."""
    known = _BY_ENTITY.get(entity)
    if known is not None:
        return known
    return _OPEN if _SKU_TABLE.fullmatch(entity) else ()


def contract_fields(entity: str) -> frozenset[str]:
    """Return the fields of an entity that the contract's notifications name."""
    sources = sources_of(entity)
    named = {name for source in sources for name in (*source.key, *source.row)}
    return frozenset(named | {source.value for source in sources if source.value is not None})


_BY_ENTITY: Final = {
    entity: tuple(source for source in NOTIFICATIONS.values() if entity in source.entities) for entity in ENTITIES
}
_OPEN: Final = tuple(source for source in NOTIFICATIONS.values() if source.is_open)
