"""What people call the subject of an event: its order, product or customer."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from commerce_event.contract.catalogue import EVENT_TYPES

# The first of these that a body has is shown; the most common comes first.
_NUMBERS: Final = (
    ("OrderNo", "Order"),
    ("ErpOrderNo", "Order"),
    ("PartNo", "Part"),
    ("CompanyId", "Company"),
    ("CustomerId", "Customer"),
    ("SubscriptionId", "Subscription"),
    ("RecurringOrderId", "Recurring order"),
    ("CapturedInvoiceId", "Invoice"),
    ("JobId", "Job"),
    ("OrderId", "Order id"),
    ("BasketId", "Basket"),
)
_KEYS: Final = {"order": ("ClientOrderRef", "Order ref.")}
_READ: Final = (*(name for name, _ in _NUMBERS), *(name for name, _ in _KEYS.values()))
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_DECODER: Final = msgspec.json.Decoder(msgspec.defstruct("_Read", [(name, Any, None) for name in _READ]))


class EventLabel(msgspec.Struct, frozen=True):
    """The subject of an event. ``number`` is what people know; ``key`` is its business key when that is another."""

    subject: str = ""
    number: str = ""
    key: str = ""
    names: tuple[str, ...] = ()  # the properties that the two come from

    @property
    def text(self) -> str:
        """The label as a line: ``Order 100777 · ref. 884211``; empty for an event without a subject."""
        if not self.number:
            return ""
        return f"{self.subject} {self.number}" + (f" · ref. {self.key}" if self.key else "")


def label_of(event_type: str, body: bytes) -> EventLabel:
    """Return what people call the subject of an event. Only the properties that name it are decoded."""
    try:
        return label_from(event_type, msgspec.structs.asdict(_DECODER.decode(body)))
    except (ValueError, RecursionError):
        return EventLabel()


def label_from(event_type: str, data: Mapping[str, Any]) -> EventLabel:
    """Return what people call the subject of a decoded event."""
    known = EVENT_TYPES.get(event_type)
    prefix = "" if known is None else known.key.prefix
    key_name, key_subject = _KEYS.get(prefix, ("", ""))
    key = plain_text(data.get(key_name))
    for name, subject in _NUMBERS:
        number = plain_text(data.get(name))
        if number:
            return EventLabel(subject, number, key if key != number else "", (name, key_name))
    return EventLabel(key_subject, key, "", (key_name,)) if key else EventLabel()


def plain_text(value: Any) -> str:
    """Return a JSON value as people read it; empty for null, objects and lists."""
    if value is None or isinstance(value, dict | list):
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def type_words(event_type: str) -> str:
    """Return the name of an event type as words: ``Order confirmed`` for OrderConfirmedEvent."""
    base = event_type.removesuffix("Event").removesuffix("Notification") or event_type
    return " ".join(_WORD.findall(base)).capitalize() or event_type
