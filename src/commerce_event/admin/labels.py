"""What people call the thing that an event is about, and where a search found its words."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from markupsafe import Markup, escape

from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.store import text_search

# The first of these that a body has is its number; what people say most comes first.
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
_SHOWN_MAX: Final = 60
_WORD: Final = re.compile(r"[^\W_]+")


class Label(msgspec.Struct, frozen=True):
    """``number`` is the one that people know; ``key`` keeps events of a thing together and may be another."""

    kind: str = ""
    number: str = ""
    key: str = ""
    names: tuple[str, ...] = ()  # the properties that the two come from

    @property
    def text(self) -> str:
        """The label as a line: ``Order 100777 · ref. 884211``; empty for an event that is about nothing."""
        if not self.number:
            return ""
        return f"{self.kind} {self.number}" + (f" · ref. {self.key}" if self.key else "")


class Found(msgspec.Struct, frozen=True):
    """A property that holds what was searched for, with the words marked."""

    name: str
    value: Markup


def label_of(event_type: str, body: bytes) -> Label:
    """Return what people call an event's order, product or customer."""
    data = _object(body)
    if event_type not in EVENT_TYPES:
        return Label()
    prefix = EVENT_TYPES[event_type].key.prefix
    key_name, key_kind = _KEYS.get(prefix, ("", ""))
    key = _text(data.get(key_name))
    for name, kind in _NUMBERS:
        number = _text(data.get(name))
        if number:
            return Label(kind, number, key if key != number else "", (name, key_name))
    return Label(key_kind, key, "", (key_name,)) if key else Label()


def found_in(body: bytes, text: str) -> Found | None:
    """Return the first property that holds all words of a search, else the first that holds one of them."""
    wanted = text_search.wanted(text)
    if not wanted:
        return None
    members = list(_members(_object(body), ""))
    for look in (wanted, *(f" {word}" for word in wanted.split())):
        for name, value in members:
            if look in f" {' '.join(_WORD.findall(text_search.fold(value)))} ":
                return Found(name, _marked(value, look.split()))
    return None


def _marked(value: str, looked_for: list[str]) -> Markup:
    shown = value if len(value) <= _SHOWN_MAX else f"{value[:_SHOWN_MAX]}…"
    match = re.search(r"[\W_]+".join(map(re.escape, looked_for)), shown, re.IGNORECASE)
    start, end = match.span() if match else (0, len(shown))  # letters with marks: all of it
    marked = Markup("<mark>{}</mark>").format(shown[start:end])
    return escape(shown[:start]) + marked + escape(shown[end:])


def _members(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _members(member, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for member in value:
            yield from _members(member, name)
    elif value is not None:
        yield name, _text(value)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: Any) -> str:
    if value is None or isinstance(value, dict | list):
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
