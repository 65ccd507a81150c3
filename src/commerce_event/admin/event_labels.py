"""What people call the subject of an event, and the property in which a search found its text."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from markupsafe import Markup, escape

from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core.search_words import entry, find_span, wanted

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
_SHOWN_MAX: Final = 60
_SEARCHED_MAX: Final = 20_000  # letters of an event: cutting 250,000 into words takes up to 0.7 s


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


class SearchHit(msgspec.Struct, frozen=True):
    """A property that holds the text of a search, with the text marked."""

    name: str
    value: Markup


def label_of(event_type: str, body: bytes) -> EventLabel:
    """Return what people call an event's order, product or customer."""
    data = _object(body)
    known = EVENT_TYPES.get(event_type)
    prefix = "" if known is None else known.key.prefix
    key_name, key_subject = _KEYS.get(prefix, ("", ""))
    key = _text(data.get(key_name))
    for name, subject in _NUMBERS:
        number = _text(data.get(name))
        if number:
            return EventLabel(subject, number, key if key != number else "", (name, key_name))
    return EventLabel(key_subject, key, "", (key_name,)) if key else EventLabel()


def search_hit(body: bytes, text: str) -> SearchHit | None:
    """Return the first property that holds all words of a search, else the first that holds one of them.

    Only the first 20,000 letters of an event are searched.
    """
    phrase = wanted(text)
    if not phrase:
        return None
    members = []
    left = _SEARCHED_MAX
    for name, value in _members(_object(body), ""):
        members.append((name, value, entry(value[:left])))
        left -= len(value)
        if left <= 0:
            break
    for part, part_text in ((phrase, text), *((f" {word}", word) for word in phrase.split())):
        for name, value, words in members:
            if part in words:
                return SearchHit(name, _marked(value, part_text))
    return None


def _marked(value: str, text: str) -> Markup:
    shown = value if len(value) <= _SHOWN_MAX else f"{value[:_SHOWN_MAX]}…"
    start, end = find_span(shown, text) or (0, len(shown))
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
